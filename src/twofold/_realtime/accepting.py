"""Server processes that accept on one listening socket, each taking its share of the connections.

Left alone, whichever process is awake takes nearly all of them (measured: 57 of 64 in one of two processes). So each
keeps its number of open connections on a board that all of them see; one that has more than another lets that one go
first, for a few milliseconds at most. A process that hangs therefore gets no new connections, and delays nobody.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from typing import Final

from twofold._realtime.board import HTTP, Board

__all__ = ["Acceptor"]

DEFERRED_S: Final = 0.001
MOST_DEFERRALS: Final = 5
ACCEPTED_AT_ONCE: Final = 64
SWEPT_AT_END: Final = 4096
# After an error such as "too many open files".
PAUSE_S: Final = 0.25
# An idle client does not see that we close, and says no goodbye: without a limit it holds up a drain for 30 s.
TLS_END_S: Final = 1.0


class Acceptor:
    """Accepts on a listening socket in one event loop. Has the methods of `asyncio.Server` that uvicorn calls."""

    def __init__(
        self,
        listening: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Callable[[], int],
        board: Board,
        slot: int,
        *,
        port: int = HTTP,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        """`connections` says how many are open in this process; `slot` is its place on the board, `port` which of the
        ports it is."""
        self._tls = tls
        self._listening = listening
        self._protocol = protocol
        self._connections = connections
        self._board = board
        self._slot = slot
        self._port = port
        self._loop = asyncio.get_running_loop()
        self._deferrals = 0
        self._timer: asyncio.TimerHandle | None = None
        self._opening: set[asyncio.Task[object]] = set()
        self._closed = False
        listening.setblocking(False)
        self.tell()
        self._resume()

    def tell(self) -> None:
        """Put our number on the board; also called now and then, as connections end."""
        if not self._closed:
            self._board.put(self._slot, self._connections() + len(self._opening), self._port)

    def close(self) -> None:
        """Accept those who wait already, and nobody any more."""
        if not self._closed:
            self._pause()
            self._accept(SWEPT_AT_END)
            self._closed = True
            self._board.leave(self._slot, self._port)
            self._pause()

    async def wait_closed(self) -> None:
        if self._opening:
            await asyncio.wait(self._opening)

    def _readable(self) -> None:
        self.tell()
        if self._deferrals < MOST_DEFERRALS and self._board.someone_has_fewer(self._slot, self._port):
            self._deferrals += 1
            self._pause(DEFERRED_S)
            return
        self._deferrals = 0
        self._accept(ACCEPTED_AT_ONCE if self._board.alone(self._slot, self._port) else 1)

    def _accept(self, at_most: int) -> None:
        for _ in range(at_most):
            try:
                connection, _ = self._listening.accept()
            except (BlockingIOError, InterruptedError):
                return
            except ConnectionAbortedError:
                continue
            except OSError:
                self._pause(PAUSE_S)
                return
            connection.setblocking(False)
            task = self._loop.create_task(self._open(connection))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, connection: socket.socket) -> None:
        try:
            limit_s = TLS_END_S if self._tls is not None else None
            await self._loop.connect_accepted_socket(
                self._protocol, connection, ssl=self._tls, ssl_shutdown_timeout=limit_s
            )
        except OSError:  # gone again, or no TLS that we speak
            connection.close()

    def _pause(self, seconds: float | None = None) -> None:
        self._loop.remove_reader(self._listening)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if seconds is not None and not self._closed:
            self._timer = self._loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._timer = None
        self._loop.add_reader(self._listening, self._readable)
