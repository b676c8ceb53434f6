"""Server-Sent Events of one answer in pieces, whichever protocol words them.

The status is decided by the first piece: what goes wrong before it is an answer of its own kind (422, 429, 504, …),
what goes wrong behind it is an event. While a model that has begun gives nothing, a comment is sent now and then, so
that proxies keep the connection open; the first one is a 200, too. A client that goes away has the model's generator
closed; one that reads slower than the model makes pieces slows the model down; one that reads nothing at all loses the
connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from twofold._errors import RowFailure
from twofold._realtime.http.problems import CONNECTION, STOPPING, Answer
from twofold._realtime.http.responses import ANSWERED, AnswerResponse, ScopeAsker, request_id_of
from twofold._realtime.http.waiting import attended
from twofold._realtime.limits import Refused
from twofold._realtime.service import Service
from twofold._realtime.streams import OnePiece, StreamTicket
from twofold._usage import Piece, Usage

__all__ = ["EventsResponse", "Words", "event"]

KEEP_ALIVE_S = 15.0
COMMENT = b": still here\n\n"
# A client that has ended its half of the connection is gone, or still reads: writing to it tells.
PROBES_S = (0.005, 0.02, 0.1, 0.5, 2.0)
HELD_CHARACTERS = 1 << 16  # of pieces that the client has not been sent; from there on the model is paused

HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),  # nginx would wait for more
)


class Words(Protocol):
    """How a protocol says it. Each gives whole events."""

    def piece(self, text: str) -> bytes: ...

    def end(self, usage: Usage | None) -> bytes: ...

    def broken(self, failure: RowFailure) -> bytes:
        """The last event of a stream that breaks off."""
        ...

    def failed(self, failure: RowFailure) -> Answer:
        """The answer where there was no piece yet."""
        ...

    def refused(self, refused: Refused) -> Answer: ...


def event(data: bytes, name: bytes = b"") -> bytes:
    """One event; `data` has no line breaks."""
    return b"event: %b\ndata: %b\n\n" % (name, data) if name else b"data: %b\n\n" % data


class _Arrivals:
    """What came of a stream and is not sent yet. It stands for the client at the connection, too."""

    def __init__(self) -> None:
        self.came = asyncio.Event()
        self.texts: list[str] = []
        self.usage: Usage | None = None
        self.ended = False
        self.failure: RowFailure | None = None
        self.lost = False
        self.stuck = False  # lost, as it reads nothing
        self.half_closed = False
        self.ticket: StreamTicket | OnePiece | None = None
        self._held = 0

    def piece(self, piece: Piece) -> None:
        if isinstance(piece, Usage):
            self.usage = piece
            return
        self.texts.append(piece)
        self._held += len(piece)
        if self._held > HELD_CHARACTERS and self.ticket is not None and not self.ticket.paused:
            self.ticket.pause()
        self.came.set()

    def end(self, failure: RowFailure | None) -> None:
        self.ended, self.failure = True, failure
        self.came.set()

    def taken(self) -> list[str]:
        texts, self.texts = self.texts, []
        self._held = 0
        self.came.clear()
        return texts

    def resume(self) -> None:
        if self.ticket is not None and self.ticket.paused and not self.texts:
            self.ticket.resume()

    @property
    def waiting(self) -> bool:
        return self.ticket is not None and self.ticket.waiting

    def drop_if_waiting(self) -> None:
        if self.waiting:
            self.lose()
        self.half_closed = True
        self.came.set()

    def give_up(self) -> None:
        if self.ticket is not None and not self.ended:
            self.ticket.cancel()
            self.end(RowFailure("not_ready", STOPPING))

    def lose(self) -> None:
        self.lost = True
        if self.ticket is not None:
            self.ticket.cancel()
        self.came.set()


class EventsResponse:
    """The answer to one row as events, an ASGI response. The request's body must have been read."""

    def __init__(self, service: Service, row: tuple[Any, ...], words: Words, deadline_s: float | None) -> None:
        self._service = service
        self._row = row
        self._words = words
        self._deadline_s = deadline_s
        self._began = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrivals = _Arrivals()
        try:
            arrivals.ticket = self._service.stream(self._row, arrivals.piece, arrivals.end, deadline_s=self._deadline_s)
        except Refused as refused:
            await AnswerResponse(self._words.refused(refused), self._service)(scope, receive, send)
            return
        arrivals.ticket.asker = ScopeAsker(scope)
        try:
            with attended(scope, receive, arrivals) as gone:
                await self._send_all(arrivals, scope, receive, send)
                if arrivals.stuck and CONNECTION in (extensions := scope.get("extensions", {})):
                    extensions[CONNECTION]["protocol"].transport.abort()  # closing would wait until it reads
                    await gone
        finally:
            arrivals.ticket.cancel()

    async def _send_all(self, arrivals: _Arrivals, scope: Scope, receive: Receive, send: Send) -> None:
        """Until all is sent, or nobody takes it."""
        words, probes = self._words, iter(PROBES_S)
        while True:
            await _wait(arrivals, next(probes, KEEP_ALIVE_S) if arrivals.half_closed else KEEP_ALIVE_S)
            if arrivals.lost:
                if not self._began:
                    raise ClientDisconnect  # it may only have ended its half
                self._service.counters.ended("client_gone")
                return
            texts, ended = arrivals.taken(), arrivals.ended
            if not self._began:
                if not texts and not ended and arrivals.waiting:
                    continue
                if ended and arrivals.failure is not None and not texts:
                    answer = AnswerResponse(words.failed(arrivals.failure), self._service)
                    await answer(scope, receive, send)
                    return
                await self._begin(scope, send)
            chunk = b"".join(map(words.piece, texts))
            if ended:
                chunk += words.end(arrivals.usage) if arrivals.failure is None else words.broken(arrivals.failure)
            try:
                async with asyncio.timeout(self._service.limits.deadline_s):
                    await send({"type": "http.response.body", "body": chunk or COMMENT, "more_body": not ended})
            except TimeoutError:  # it does not read what it asked for
                arrivals.lose()
                arrivals.stuck = True
                self._service.counters.ended("client_gone")
                return
            if ended:
                code = "ok" if arrivals.failure is None else arrivals.failure.code
                self._service.counters.ended(code)
                scope[ANSWERED] = (self._service.name, code)
                return
            arrivals.resume()

    async def _begin(self, scope: Scope, send: Send) -> None:
        self._began = True
        named = (b"x-request-id", request_id_of(scope).encode())  # always: what fails later cannot say it any more
        headers = [(b"model-version", self._service.version.encode()), named, *HEADERS]
        await send({"type": "http.response.start", "status": 200, "headers": headers})


async def _wait(arrivals: _Arrivals, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await arrivals.came.wait()
    except TimeoutError:
        pass
