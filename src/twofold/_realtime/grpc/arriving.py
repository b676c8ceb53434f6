"""The calls of one connection whose requests are not complete: what has come of them, and how long they may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from twofold._realtime.grpc.calls import PREFIX_BYTES, RESOURCE_EXHAUSTED, Call, CallRefused, too_large
from twofold._realtime.http.terms import BODY_BYTES_A_SECOND, BODY_S

__all__ = ["Arriving"]

MOST_MESSAGES: Final = 2
"""How many messages of the largest size a connection may have coming in at once."""


class Arriving:
    """`on_late` is told of a call that has not come to its end in time, and has left."""

    def __init__(self, most_bytes: int, on_late: Callable[[Call], None]) -> None:
        self._most_bytes = most_bytes
        self._on_late = on_late
        self._calls: dict[int, Call] = {}
        self._n_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def add(self, call: Call) -> None:
        self._calls[call.stream_id] = call

    def take(self, call: Call, data: bytes) -> None:
        """More of its message has come. Raises CallRefused for more than may; the call has left then."""
        self._n_bytes += len(data)
        if not call.body:
            call.body = data
        elif isinstance(call.body, bytes):
            call.body = bytearray(call.body + data)
        else:
            call.body += data
        most = self._most_bytes
        if len(call.body) > most + PREFIX_BYTES:
            self.leave(call)
            raise CallRefused(RESOURCE_EXHAUSTED, too_large(most))
        if self._n_bytes > MOST_MESSAGES * most:
            self.leave(call)
            raise CallRefused(RESOURCE_EXHAUSTED, "Too many large messages come at once. Send one after the other.")

    def leave(self, call: Call) -> bytes | bytearray:
        """Nothing more of it is waited for; gives what has come."""
        self._calls.pop(call.stream_id, None)
        body = call.body
        self._n_bytes -= len(body)
        call.body = b""
        return body

    def watch(self) -> None:
        """Called when there is nothing to read for now: nearly always all requests are complete then."""
        if self._calls and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BODY_S, self._look)

    def end(self) -> None:
        self._calls.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        loop = asyncio.get_running_loop()
        now, next_s = loop.time(), BODY_S
        for call in list(self._calls.values()):
            left_s = call.began + BODY_S + len(call.body) / BODY_BYTES_A_SECOND - now
            if left_s > 0.001:
                next_s = min(next_s, left_s)
            else:
                self.leave(call)
                self._on_late(call)
        self._timer = loop.call_later(next_s, self._look) if self._calls else None
