"""A connection that sends exactly the bytes it is given, and reads what comes back."""

from __future__ import annotations

import re
import socket
from typing import NamedTuple

__all__ = ["ANSWERS_WITHIN_S", "NoAnswer", "Reply", "Wire", "statuses_of", "talk"]

ANSWERS_WITHIN_S = 20.0
LENGTH = re.compile(rb"\r\ncontent-length: (\d+)", re.IGNORECASE)
KIND = re.compile(rb"\r\ncontent-type: ([^\r;]*)", re.IGNORECASE)


class NoAnswer(Exception):
    """The server said nothing, or not all of it."""


class Reply(NamedTuple):
    status: int
    content_type: str
    body: bytes


class Wire:
    """One connection after the other: where the server ends one, the next request opens a new one."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._socket: socket.socket | None = None
        self._rest = b""

    def ask(self, request: bytes) -> Reply:
        """Raises NoAnswer."""
        fresh = self._socket is None
        try:
            return self._ask(request)
        except (NoAnswer, OSError) as error:
            self.close()
            if fresh or isinstance(error, TimeoutError):
                raise NoAnswer(repr(error)) from error
        return self.ask(request)  # the connection may have ended between two requests

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, request: bytes) -> Reply:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=ANSWERS_WITHIN_S)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._rest = b""
        self._socket.sendall(request)
        while True:
            head = self._until(b"\r\n\r\n")
            status = int(head[9:12])
            if status != 100:
                break
        kind = KIND.search(head)
        length = LENGTH.search(head)
        body = self._exactly(int(length[1])) if length else self._chunks()
        if b"\r\nconnection: close" in head:
            self.close()
        return Reply(status, kind[1].decode() if kind else "", body)

    def _chunks(self) -> bytes:
        found = b""
        while size := int(self._until(b"\r\n"), 16):
            found += self._exactly(size + 2)[:-2]
        self._until(b"\r\n")
        return found

    def _until(self, end: bytes) -> bytes:
        while (at := self._rest.find(end)) < 0:
            self._more()
        found, self._rest = self._rest[: at + len(end)], self._rest[at + len(end) :]
        return found

    def _exactly(self, size: int) -> bytes:
        while len(self._rest) < size:
            self._more()
        found, self._rest = self._rest[:size], self._rest[size:]
        return found

    def _more(self) -> None:
        assert self._socket is not None
        piece = self._socket.recv(1 << 16)
        if not piece:
            raise NoAnswer(f"the connection ended after {self._rest!r}")
        self._rest += piece


def talk(port: int, request: bytes, *, half_close: bool = True) -> bytes:
    """Send these bytes on a connection of their own, end our half of it, and read until the server ends its own.

    Raises NoAnswer where it does not.
    """
    found = b""
    with socket.create_connection(("127.0.0.1", port), timeout=ANSWERS_WITHIN_S) as connection:
        try:
            connection.sendall(request)
            if half_close:
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(1 << 16):
                found += piece
        except TimeoutError:
            raise NoAnswer(f"nothing more came after {found!r}") from None
        except OSError:  # it ended the connection before we did
            pass
    return found


def statuses_of(data: bytes) -> list[int]:
    """Of all answers in these bytes."""
    return [int(found) for found in re.findall(rb"(?:^|\r\n|\}|\n)HTTP/1\.1 (\d{3}) ", data)]
