"""Gathers waiting rows into the next call, and never waits for more.

Rows that arrived in this tick of the event loop, or while the previous call ran, make the next batch, the earliest
deadline first. An idle model starts at once; nothing is gathered that a free process could start now. How many rows a
call holds, and whether a request can be answered in time at all, is told by t(n): see `Pace`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._realtime.calls import Call, joined
from twofold._realtime.limits import Limits, Refused
from twofold._realtime.outlook import SAFE, Outlook, RunningCall
from twofold._realtime.pace import Pace
from twofold._realtime.streams import Streams
from twofold._realtime.tickets import Answers, BatchTicket, Line, Part, RowsTicket, Ticket, Watcher, cut, in_order

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._profile import Profile
    from twofold._realtime.backends import Backend
    from twofold._realtime.counters import Counters
    from twofold._runner import Result

__all__ = ["Answers", "Batcher", "Ticket"]

EXPIRED = RowFailure("deadline_exceeded", "the deadline passed before the row was answered")
# What a request that waits takes beside its body.
REQUEST_BYTES = 1000
TIMER_S = 0.001  # the event loop's timers are not more exact
NEVER = float("inf")
# Inline, calls that are known to be shorter are not fitted to deadlines.
HURRY_S = 0.002

LOG = logging.getLogger("twofold")


class Batcher:
    """The rows that wait in front of one backend. Lives in one event loop.

    Requests of more rows than a call takes stand in a line of their own; while there are others, every second call is
    theirs.
    """

    def __init__(
        self,
        backend: Backend,
        inputs: pa.Schema,
        outputs: pa.Schema,
        *,
        limits: Limits,
        profile: Profile,
        counters: Counters,
    ) -> None:
        self._backend = backend
        self._inline = backend.inline
        self._inputs = inputs
        self._outputs = outputs
        self._deadline_s = limits.deadline_s
        self._queue_bytes = limits.queue_bytes
        self._counters = counters
        most_rows = min(limits.batch_rows, backend.call_rows or limits.batch_rows)
        self.pace = Pace(profile, most_rows, inline=backend.inline)
        self._line = Line()
        self._bulk = Line()
        self._bulk_is_next = False
        self._rows_waiting = 0
        self._bytes_waiting = 0
        self._running: set[RunningCall] = set()
        self._outlook = Outlook(backend, self.pace, self._running)
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._pump_is_due = False
        self._tick = 0.0
        self._arrived = 0  # requests since the counters were told
        self._rows_shown = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self.streams: Streams | None = None  # of a model that yields: they share the places
        self._watchers: list[Watcher] = []
        self.on_failed: Callable[[list[Part], dict[int, RowFailure]], None] = lambda _parts, _failures: None
        backend.longest_s = limits.deadline_s
        backend.on_free = self._freed
        backend.on_held = self.pace.held

    def watch(self, watcher: Watcher) -> None:
        """Show each call that is over to `watcher` too, once its answers are out."""
        self._watchers.append(watcher)

    @property
    def rows_waiting(self) -> int:
        """Rows in the queue that no call has taken yet."""
        return self._rows_waiting

    def submit(
        self,
        rows: Sequence[tuple[Any, ...]],
        answers: Answers,
        done: Callable[[Sequence[Any]], None],
        deadline_s: float | None = None,
        n_bytes: int = 0,
    ) -> Ticket:
        """Queue at least one row; `done` gets one answer or `RowFailure` a row, after this returned. Raises Refused."""
        ticket = RowsTicket(self, rows, answers, done)
        self._queue(ticket, ticket.n_rows, deadline_s, n_bytes)
        return ticket

    def submit_batch(
        self, batch: Batch, done: Callable[[Result], None], *, deadline_s: float | None = None, n_bytes: int = 0
    ) -> Ticket:
        """The same with columns; `done` gets one Result for all rows."""
        ticket = BatchTicket(self, batch, self._outputs, done)
        self._queue(ticket, batch.n_rows, deadline_s, n_bytes)
        return ticket

    def _queue(self, ticket: Ticket, n_rows: int, deadline_s: float | None, n_bytes: int) -> None:
        limit_s = self._deadline_s
        if deadline_s is not None and deadline_s < limit_s:
            limit_s = deadline_s
        if not self._pump_is_due:
            self._pump_soon()
        ticket.n_bytes = n_bytes = n_bytes + REQUEST_BYTES
        now = ticket.came = self._tick
        ticket.deadline = deadline = now + limit_s
        waiting = self._rows_waiting + n_rows
        n_bytes += self._bytes_waiting
        ahead = self._outlook
        if waiting * ahead.row_s + ahead.call_s > SAFE * limit_s or n_bytes > self._queue_bytes:
            self._admit(ticket, limit_s)
        self._rows_waiting = waiting
        self._bytes_waiting = n_bytes
        if n_rows > self.pace.call_rows:
            ticket.bulk = True
            self._bulk.put(ticket)
        else:
            self._line.put(ticket)
        self._arrived += 1
        if deadline < self._timer_at and not self._inline:
            self._set_timer(deadline, now)

    # ---- admission ----

    def _admit(self, ticket: Ticket, limit_s: float) -> None:
        """Raise Refused if the request cannot be answered in time, or there is no room for it. An idle model takes
        whatever comes: what is known of it may be wrong."""
        if not self._rows_waiting and self._backend.free > 0:
            return
        if self._bytes_waiting + ticket.n_bytes > self._queue_bytes:
            raise self._refused("queue", self._rows_waiting * self._outlook.row_s)
        late_s = self._outlook.too_late_s(ticket, limit_s, self._line, self._bulk)
        if late_s > 0:
            raise self._refused("deadline", late_s)

    def _refused(self, reason: Any, after_s: float) -> Refused:
        self._counters.refused(reason)
        return Refused(reason, after_s)

    # ---- the end of a ticket ----

    def close(self, ticket: Ticket) -> None:
        """End a ticket: what is left of it in the queue will not be computed, what is computed is dropped."""
        ticket.open = False
        left = ticket.n_rows - ticket.started
        if left:
            (self._bulk if ticket.bulk else self._line).closed(ticket)
            self._rows_waiting -= left
            self._bytes_waiting -= ticket.n_bytes
        self._counters.left(time.monotonic(), (ticket.came,))

    def _finish(self, ticket: Ticket, done: Callable[[Any], None], result: Any) -> None:
        """End a ticket with its answers. A caller that fails to take them must not harm its neighbours."""
        self.close(ticket)
        try:
            done(result)
        except Exception as error:
            self._undelivered(error)

    def _fail(self, ticket: Ticket, failure: RowFailure) -> None:
        self._finish(ticket, ticket.fail, failure)

    def _drop_late(self, late: list[Ticket]) -> None:
        """Tickets that have left their line because their deadline has passed."""
        for ticket in late:
            self._rows_waiting -= ticket.n_rows - ticket.started
            ticket.started = ticket.n_rows
            self._fail(ticket, EXPIRED)

    def _set_timer(self, deadline: float, now: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._timer_at = deadline
        self._timer = self._loop.call_later(max(deadline - now, TIMER_S), self._expire)

    def _expire(self) -> None:
        """Fail every request whose deadline has passed, waiting or in a call; then sleep until the next one."""
        now = time.monotonic()
        self._timer, self._timer_at = None, NEVER
        for line in (self._line, self._bulk):
            late = line.expired(now + TIMER_S)
            self._bytes_waiting -= sum(ticket.n_bytes for ticket in late)
            self._drop_late(late)
        next_at = NEVER
        for call in list(self._running):
            assert isinstance(call, Call)
            for ticket, _, _ in call.parts:
                if ticket.open:
                    if ticket.deadline <= now + TIMER_S:
                        self._fail(ticket, EXPIRED)
                    else:
                        next_at = min(next_at, ticket.deadline)
        next_at = min(next_at, self._next_deadline())
        if next_at < min(NEVER, self._timer_at):
            self._set_timer(next_at, now)

    # ---- calls ----

    def _freed(self) -> None:
        """The backend has a place for a call, or another number of places."""
        self._outlook.renew()
        self._wake()

    def _wake(self) -> None:
        if (self._rows_waiting or self.streams is not None) and not self._pump_is_due and self._loop is not None:
            self._pump_soon()

    def _pump_soon(self) -> None:
        """In the next tick of the loop. What comes until then has all come at the time of this one."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        self._pump_is_due = True
        self._tick = time.monotonic()
        loop.call_soon(self._pump)

    def wake(self) -> None:
        """A stream waits, or has freed its place."""
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self._wake()

    def _next_deadline(self) -> float:
        return min((head.deadline for line in (self._line, self._bulk) if (head := line.head())), default=NEVER)

    def _pump(self) -> None:
        self._pump_is_due = False
        if self._arrived:
            self._counters.arrived(self._arrived)
            self._arrived = 0
        self._start_calls()
        if self._rows_waiting != self._rows_shown:
            self._rows_shown = self._rows_waiting
            self._counters.waiting(self._rows_waiting)

    def _start_calls(self) -> None:
        """Start every call that can start now. Inline, one call a tick: the loop serves in between."""
        backend, streams = self._backend, self.streams
        while (self._rows_waiting or (streams is not None and streams.waiting)) and (free := backend.free) > 0:
            line = self._line
            if streams is not None and streams.next_deadline < self._next_deadline():
                streams.start_next()
                continue
            if self._bulk.rows and (self._bulk_is_next or not line.rows):
                line = self._bulk
                self._bulk_is_next = False
            else:
                self._bulk_is_next = True
            self._start_call(line, free)
            if self._inline:
                self._wake()
                return

    def _start_call(self, line: Line, free: int) -> None:
        now = soonest = time.monotonic()
        room = self.pace.call_rows
        if not self._inline or self._outlook.call_s > HURRY_S:
            head = line.head()
            if head is None:
                return
            room, soonest = self._outlook.room(line, head, free, now)
        gathered = line.take(room, soonest)
        self._bytes_waiting -= gathered.n_bytes
        if gathered.late:
            self._drop_late(gathered.late)
        n_rows = gathered.n_rows
        if not n_rows:
            return
        self._rows_waiting -= n_rows
        if not self._inline:
            self._outlook.started(n_rows, self._rows_waiting > 0, now)
        call = Call(self.ended, gathered.parts, n_rows, now)
        rows = gathered.rows
        try:
            batch = call.batch = (
                joined(gathered.parts, self._inputs) if rows is None else Batch.from_rows(self._inputs, rows)
            )
            if self._inline:
                self._backend.start_call(batch, call, now)
            else:
                call.ends = now + self.pace.seconds_for(n_rows)
                self._running.add(call)
                self._backend.start_call(batch, call, max(ticket.deadline for ticket, _, _ in gathered.parts))
        except Exception as error:
            self._running.discard(call)
            failure = self._reported(error)
            for ticket, _, _ in gathered.parts:
                if ticket.open:
                    self._fail(ticket, failure)

    def ended(self, call: Call, result: Result) -> None:
        """A call is over: learn from it, and hand out its answers."""
        seconds = time.monotonic() - call.began
        n_rows = call.n_rows
        if self._inline:
            self.pace.held(n_rows, seconds)
        else:
            self._running.discard(call)
        if result.outputs.n_rows and self.pace.learn(n_rows, seconds):
            self._outlook.renew()
        if result.exhausted_rows:
            self.pace.shrink(result.exhausted_rows)
            self._outlook.renew()
        parts = call.parts
        if result.failures:
            self.on_failed(parts, result.failures)
        came = self._deliver(parts, result)
        self._counters.left(time.monotonic(), came)
        if len(came) < len(parts):
            came = [ticket.came for ticket, first, _ in parts if not first]
        self._counters.called(n_rows, len(result.failures), seconds, call.began, came)
        for watcher in self._watchers:
            try:
                watcher(parts, call.began, call.batch, result)
            except Exception:
                LOG.exception("a call could not be logged")
        self._wake()

    def _deliver(self, parts: list[Part], result: Result) -> list[float]:
        """Cut the result of a call into the answers of its tickets. Those of which it was the only call are not
        `close`d: when they came is what this returns."""
        came: list[float] = []
        form: Answers | None = None  # nearly always the same for all tickets of a call
        items: Sequence[Any] = ()
        made: dict[Answers, Sequence[Any]] = {}
        position = 0
        for ticket, first, n_rows in parts:
            if not ticket.open:
                pass
            elif isinstance(ticket, RowsTicket):
                if ticket.answers is not form:
                    form = ticket.answers
                    if form not in made:
                        made[form] = self._made(form, result)
                    items = made[form]
                answers = items[position : position + n_rows]
                if n_rows == ticket.n_rows:
                    ticket.open = False
                    came.append(ticket.came)
                    try:
                        ticket.done(answers)
                    except Exception as error:
                        self._undelivered(error)
                elif ticket.add(first, answers):
                    self._finish(ticket, ticket.done, ticket.results)
            elif isinstance(ticket, BatchTicket) and ticket.add(first, n_rows, *cut(result, position, n_rows, first)):
                self._finish(ticket, ticket.done, ticket.result())
            position += n_rows
        return came

    def _made(self, form: Answers, result: Result) -> Sequence[Any]:
        """What this form makes of all answers of a call, and the failures in their places."""
        try:
            return in_order(form(result.outputs), result.failures)
        except Exception as error:
            return [self._reported(error)] * (result.outputs.n_rows + len(result.failures))

    def _undelivered(self, error: Exception) -> None:
        assert self._loop is not None
        self._loop.call_exception_handler({"message": "an answer could not be delivered", "exception": error})

    def _reported(self, error: Exception) -> RowFailure:
        """Something of ours broke around a call: its callers are told, and the loop's handler gets the traceback."""
        assert self._loop is not None
        self._loop.call_exception_handler({"message": "a call could not be handled", "exception": error})
        return RowFailure("model_failed", str(error), type(error).__name__)
