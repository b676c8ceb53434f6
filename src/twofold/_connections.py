"""Connections to one HTTP server, kept open between requests and lent to one thread at a time."""

from __future__ import annotations

import http.client
import os
import select
import socket
import time
import weakref
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urlsplit

from twofold._errors import DeadlineExceeded, Unreachable, UsageError, WorkerLost
from twofold._version import __version__

__all__ = ["Connections", "Reply"]

CONNECT_S: Final = 10.0
# Servers end connections that idle for 75 s (ours), 60 s (many a proxy): ours are gone before.
IDLE_S: Final = 50.0
HEAD: Final = (
    "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: twofold/{version}\r\nAccept-Encoding: identity\r\n"
    "Content-Type: application/json\r\nContent-Length: "
)

Idle = list[tuple[http.client.HTTPConnection, float]]


@dataclass(frozen=True, slots=True)
class Reply:
    """A complete answer."""

    status: int
    reason: str
    headers: http.client.HTTPMessage
    body: bytes


class Connections:
    """Asks the server at `url`. Any number of threads may ask at once, each on a connection of its own."""

    def __init__(self, url: str, timeout_s: float) -> None:
        """`timeout_s` bounds the wait for each piece of an answer. UsageError for what is no http URL."""
        self.url, self._secure, self._host, self._port, self._path = _parts(url)
        self._heads: dict[tuple[str, str], bytes] = {}
        self._timeout_s = timeout_s
        self._idle: Idle = []
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(self, _close_all, self._idle)

    def close(self) -> None:
        """End the connections that nobody uses now."""
        _close_all(self._idle)

    def ask(self, method: str, path: str, body: bytes = b"") -> Reply:
        """One request. Raises Unreachable, DeadlineExceeded, or WorkerLost when the connection ended without answer."""
        head = self._heads.get((method, path)) or self._head(method, path)
        connection = self._take() or self._opened()
        keep = False
        try:
            try:  # in one piece: http.client would send head and body apart
                connection.sock.sendall(b"%b%d\r\n\r\n%b" % (head, len(body), body))
            except (BrokenPipeError, ConnectionResetError):
                pass  # a server that refuses a body answers before it has read it all
            with http.client.HTTPResponse(connection.sock, method=method) as response:
                response.begin()
                reply = Reply(response.status, response.reason, response.headers, response.read())
                keep = not response.will_close
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{self.url} gave no answer within {self._timeout_s:g} s. Give it longer with connect(timeout_s=…).",
                url=self.url,
            ) from error
        except (OSError, http.client.RemoteDisconnected, http.client.IncompleteRead) as error:
            raise WorkerLost(
                f"the connection to {self.url} ended before the answer was there: the process that had the request "
                "has ended, or was cut off. Ask again if the row is not to blame.",
                url=self.url,
            ) from error
        except http.client.HTTPException as error:
            raise Unreachable(
                f"what listens at {self.url} does not answer in HTTP. Check the address.", url=self.url
            ) from error
        finally:
            if keep:
                self._idle.append((connection, time.monotonic()))
            else:
                connection.close()
        return reply

    def _head(self, method: str, path: str) -> bytes:
        """All of a request's head up to the length of its body."""
        host = urlsplit(self.url).netloc.rpartition("@")[2]
        head = HEAD.format(method=method, path=self._path + path, host=host, version=__version__).encode("latin-1")
        self._heads[method, path] = head
        return head

    def _take(self) -> http.client.HTTPConnection | None:
        """A connection that is open and idle. Those of before a fork belong to the parent."""
        if self._pid != os.getpid():
            self._idle[:], self._pid = [], os.getpid()
        while True:
            try:
                connection, since_s = self._idle.pop()
            except IndexError:
                return None
            if time.monotonic() - since_s < IDLE_S and connection.sock is not None and not _readable(connection.sock):
                return connection
            connection.close()

    def _opened(self) -> http.client.HTTPConnection:
        make = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = make(self._host, self._port, timeout=min(CONNECT_S, self._timeout_s))
        try:
            connection.connect()
        except (OSError, UnicodeError) as error:
            connection.close()
            raise Unreachable(
                f"nobody answers at {self.url}: {_why(error)}. Is the server running, and is this its address?",
                url=self.url,
            ) from error
        connection.sock.settimeout(self._timeout_s)
        return connection


def _parts(url: str) -> tuple[str, bool, str, int | None, str]:
    """(url, is it https, host, port, path before `/predict`)."""
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    plain = text.isascii() and text.isprintable() and " " not in (host or " ")
    if not host or not plain or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is not the URL of a server. It looks like http://127.0.0.1:8000.", url=url)
    path = quote(parts.path.rstrip("/"), safe="/%")
    return text.rstrip("/"), parts.scheme == "https", host, port, path


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the connection was not made in time"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _readable(sock: socket.socket) -> bool:
    """On an idle connection: the server has ended it."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])


def _close_all(idle: Idle) -> None:
    while idle:
        idle.pop()[0].close()
