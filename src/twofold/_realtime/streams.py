"""Answers in pieces: who may stream, who waits for a place, and when a stream is given up.

    submit -> waiting -> start_next -> on_piece ... on_piece -> on_end
              429, 504   a place of the backend; kept until the model's generator has ended or is closed

A stream shares the backend's places with calls: what is due first gets the next one (see `Batcher`).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._realtime.limits import Reason, Refused
from twofold._realtime.tickets import Asker
from twofold._runner import failure_of
from twofold._usage import Piece

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._realtime.counters import Counters

__all__ = ["LATE", "AnyTicket", "OnEnd", "OnPiece", "OnePiece", "Running", "StreamTicket", "Streaming", "Streams"]

OnPiece = Callable[[Piece], None]
OnEnd = Callable[[RowFailure | None], None]
Row = tuple[Any, ...]

TIMER_S = 0.001  # the event loop's timers are not more exact
LATE = RowFailure("deadline_exceeded", "the deadline passed before the first piece of the answer was there")
STUCK = RowFailure("deadline_exceeded", "the next piece of the answer did not come before the deadline")


class Running(Protocol):
    """A stream that a backend computes. Its `on_end` is called once, also after `cancel`: then its place is free."""

    def cancel(self, *, hung: bool) -> None:
        """Close the model's generator. `hung`: it had its time, and is not waited for where that can be helped."""
        ...

    def pause(self) -> None:
        """The reader is slower than the model: make no more pieces for now. A few may still come."""
        ...

    def resume(self) -> None: ...


class StreamTicket:
    """One answer in pieces on its way. `deadline` is a time.monotonic(): of the next piece."""

    open = True
    asker: Asker | None = None
    running: Running | None = None
    timer: asyncio.TimerHandle | None = None
    paused = False
    began = False  # a piece has come
    started_s = 0.0

    def __init__(
        self, streams: Streams, row: Row, on_piece: OnPiece, on_end: OnEnd, patience_s: float, now: float
    ) -> None:
        self.streams = streams
        self.row = row
        self.on_piece = on_piece
        self.on_end = on_end
        self.patience_s = patience_s
        self.came = now
        self.deadline = now + patience_s

    @property
    def waiting(self) -> bool:
        """It has no place yet."""
        return self.open and self.running is None

    def cancel(self) -> None:
        """Nobody wants the rest: the generator is closed. `on_piece` and `on_end` will not be called any more."""
        if self.open:
            self.streams.close(self)

    def pause(self) -> None:
        """The reader is behind. The deadline of the next piece stands still meanwhile."""
        self.paused = True
        if self.running is not None:
            self.running.pause()

    def resume(self) -> None:
        self.paused = False
        self.streams.extend(self)
        if self.running is not None:
            self.running.resume()


class AnyTicket(Protocol):
    """A request on its way."""

    asker: Asker | None

    @property
    def waiting(self) -> bool: ...

    def cancel(self) -> None: ...


class OnePiece:
    """The ticket of an answer that comes at once, as the only piece of a stream."""

    paused = False

    def __init__(self, ticket: AnyTicket) -> None:
        self._ticket = ticket

    @property
    def asker(self) -> Asker | None:
        return self._ticket.asker

    @asker.setter
    def asker(self, asker: Asker | None) -> None:
        self._ticket.asker = asker

    @property
    def waiting(self) -> bool:
        return self._ticket.waiting

    def cancel(self) -> None:
        self._ticket.cancel()

    def pause(self) -> None:
        """There is nothing to hold back."""

    def resume(self) -> None: ...


class Streaming(Protocol):
    """What a backend has beside its calls when it can stream."""

    @property
    def free(self) -> int: ...

    def start_stream(self, batch: Batch, on_piece: OnPiece, on_end: OnEnd) -> Running:
        """Compute the answer to the one row of the batch in pieces. It takes a place until `on_end`, which is called
        once, in any case; neither is called before this returned."""
        ...


class Streams:
    """The streams of one Service. Lives in its event loop.

    `longest_s` is how long a piece may take: a request may want it sooner, but only then is its process held for hung.
    `wake` is called when a stream waits, or a place has become free.
    """

    def __init__(
        self,
        backend: Streaming,
        schema: pa.Schema,
        *,
        max_streams: int,
        longest_s: float,
        wake: Callable[[], None],
        counters: Counters,
    ) -> None:
        self._backend = backend
        self._schema = schema
        self._max_streams = max_streams
        self._longest_s = longest_s
        self._wake = wake
        self._counters = counters
        self.waiting: OrderedDict[StreamTicket, None] = OrderedDict()  # in order of arrival
        self._occupied = 0  # places, by streams that run or are being closed
        self._most_places = 1
        self._usual_s = 0.0  # how long a stream keeps its place
        self._loop: asyncio.AbstractEventLoop | None = None
        self.started = 0
        self.on_failed: Callable[[Asker | None, RowFailure], None] = lambda _asker, _failure: None

    @property
    def open(self) -> int:
        """Streams that wait or run, and those that are being closed."""
        return len(self.waiting) + self._occupied

    @property
    def next_deadline(self) -> float:
        """When the first that waits is due (a time.monotonic()); infinite where none waits."""
        return next(iter(self.waiting)).deadline if self.waiting else math.inf

    def submit(self, row: Row, on_piece: OnPiece, on_end: OnEnd, *, deadline_s: float) -> StreamTicket:
        """Stream the answer to a row. `on_piece` gets each piece, and a Usage where the model yields one; `on_end` is
        called once after them, with why it broke off or None. Neither is called before this returned.

        `deadline_s` is how long the first piece may take, and each that follows. Raises Refused at once where too many
        stream already, or one would not begin in time.
        """
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        expected_s = self._expected_wait_s()
        if self.open >= self._max_streams:
            raise self._refused("streams", expected_s)
        if expected_s > deadline_s:
            raise self._refused("deadline", expected_s - deadline_s)
        ticket = StreamTicket(self, row, on_piece, on_end, deadline_s, time.monotonic())
        ticket.timer = loop.call_later(deadline_s, self._due, ticket)
        self.waiting[ticket] = None
        self._counters.arrived()
        self._wake()
        return ticket

    def start_next(self) -> None:
        """Give the first that waits a place: the backend has one."""
        ticket, _ = self.waiting.popitem(last=False)
        self._occupied += 1
        self._most_places = max(self._most_places, self._occupied)
        self.started += 1
        ticket.started_s = time.monotonic()

        def piece(found: Piece) -> None:
            if ticket.open:
                ticket.began = True
                self.extend(ticket)
                self._told(ticket.on_piece, found)

        def end(failure: RowFailure | None) -> None:
            self._ended(ticket, failure)

        try:
            batch = Batch.from_rows(self._schema, [ticket.row])
            ticket.running = self._backend.start_stream(batch, piece, end)
        except Exception as error:
            self._ended(ticket, failure_of(error))
            return
        if ticket.paused:
            ticket.running.pause()

    def extend(self, ticket: StreamTicket) -> None:
        """The next piece has its whole time from now on; the timer that runs finds out when it fires."""
        ticket.deadline = time.monotonic() + ticket.patience_s

    def close(self, ticket: StreamTicket, *, silent_s: float = 0.0) -> None:
        """End a ticket; its place is free when the generator has been closed, or, by force, when it has made no piece
        for `longest_s`. `silent_s` of that have passed."""
        self._leave(ticket)
        self.waiting.pop(ticket, None)
        if ticket.timer is not None:
            ticket.timer.cancel()
            ticket.timer = None
        if ticket.running is not None:
            assert self._loop is not None
            left_s = self._longest_s - silent_s
            if left_s > 0:
                ticket.timer = self._loop.call_later(left_s, partial(ticket.running.cancel, hung=True))
            ticket.running.cancel(hung=left_s <= 0)

    def _expected_wait_s(self) -> float:
        """Until a place is free for one more, by what streams took so far."""
        ahead = len(self.waiting) + 1 - self._backend.free
        if ahead <= 0 or not self._occupied:
            return 0.0
        return ahead * self._usual_s / self._most_places

    def _due(self, ticket: StreamTicket) -> None:
        assert self._loop is not None
        if ticket.paused:
            self.extend(ticket)
        now = time.monotonic()
        if ticket.deadline > now + TIMER_S:
            ticket.timer = self._loop.call_later(ticket.deadline - now + TIMER_S, self._due, ticket)
            return
        self.close(ticket, silent_s=ticket.patience_s)
        self._told(ticket.on_end, STUCK if ticket.began else LATE)

    def _ended(self, ticket: StreamTicket, failure: RowFailure | None) -> None:
        self._occupied -= 1
        took_s = time.monotonic() - ticket.started_s
        self._counters.called(1, failure is not None, took_s, ticket.started_s, (ticket.came,))
        self._usual_s += (took_s - self._usual_s) / min(self.started, 8)
        if ticket.timer is not None:
            ticket.timer.cancel()
            ticket.timer = None
        if ticket.open:
            self._leave(ticket)
            if failure is not None:
                self.on_failed(ticket.asker, failure)
            self._told(ticket.on_end, failure)
        self._wake()

    def _leave(self, ticket: StreamTicket) -> None:
        ticket.open = False
        self._counters.left(time.monotonic(), (ticket.came,))

    def _refused(self, reason: Reason, after_s: float) -> Refused:
        self._counters.refused(reason)
        return Refused(reason, after_s)

    def _told(self, whom: Callable[[Any], None], what: object) -> None:
        """A caller that fails to take what it gets must not harm others."""
        try:
            whom(what)
        except Exception as error:
            assert self._loop is not None
            self._loop.call_exception_handler({"message": "a piece could not be delivered", "exception": error})
