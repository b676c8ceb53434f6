"""One connection: a socket that a thread waits for, or streams of an event loop. And the steps that use one."""

from __future__ import annotations

import select
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import asyncio
    import ssl

__all__ = ["Address", "LoopLink", "Open", "Receive", "Send", "ThreadLink", "Until"]

RECEIVE_BYTES: Final = 1 << 16


class Until:
    """The time that one request has, from now on."""

    __slots__ = ("_at_s", "timeout_s")

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self._at_s = time.monotonic() + timeout_s

    @property
    def left_s(self) -> float:
        return self._at_s - time.monotonic()


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int
    tls: ssl.SSLContext | None


class ThreadLink:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.rested_s = 0.0  # time.monotonic() since when it is idle

    def usable(self) -> bool:
        """Whether an idle one still has its other side, which has nothing to say before it is asked."""
        return self.sock.fileno() >= 0 and not _readable(self.sock)

    def close(self) -> None:
        self.sock.close()


class LoopLink:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.rested_s = 0.0

    def usable(self) -> bool:
        return not (self.reader.at_eof() or self.writer.is_closing())

    def close(self) -> None:
        self.writer.transport.abort()


Link = Any  # ThreadLink in a step's `now`, LoopLink in its `later`


@dataclass(frozen=True, slots=True)
class Open:
    """Gives a new link."""

    address: Address
    timeout_s: float

    def now(self) -> ThreadLink:
        address = self.address
        until_s = time.monotonic() + self.timeout_s
        sock = socket.create_connection((address.host, address.port), timeout=self.timeout_s)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if address.tls is not None:
                sock.settimeout(max(0.001, until_s - time.monotonic()))
                sock = address.tls.wrap_socket(sock, server_hostname=address.host)
        except BaseException:
            sock.close()
            raise
        return ThreadLink(sock)

    async def later(self) -> LoopLink:
        import asyncio

        address = self.address
        async with asyncio.timeout(self.timeout_s):
            return LoopLink(*await asyncio.open_connection(address.host, address.port, ssl=address.tls))


@dataclass(frozen=True, slots=True)
class Send:
    link: Link
    data: bytes
    timeout_s: float

    def now(self) -> None:
        _set_timeout(self.link.sock, self.timeout_s)
        self.link.sock.sendall(self.data)

    async def later(self) -> None:
        import asyncio

        writer = self.link.writer
        writer.write(self.data)
        async with asyncio.timeout(self.timeout_s):
            await writer.drain()


@dataclass(frozen=True, slots=True)
class Receive:
    """Gives what comes next; b"" at the end."""

    link: Link
    timeout_s: float

    def now(self) -> bytes:
        _set_timeout(self.link.sock, self.timeout_s)
        received: bytes = self.link.sock.recv(RECEIVE_BYTES)
        return received

    async def later(self) -> bytes:
        import asyncio

        async with asyncio.timeout(self.timeout_s):
            received: bytes = await self.link.reader.read(RECEIVE_BYTES)
        return received


def _set_timeout(sock: socket.socket, seconds: float) -> None:
    if seconds <= 0:  # which would mean: do not wait at all
        raise TimeoutError
    sock.settimeout(seconds)


def _readable(sock: socket.socket) -> bool:
    """On an idle connection: the server has ended it."""
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([sock], [], [], 0)[0])
