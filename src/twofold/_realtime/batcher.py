"""Gathers waiting rows into the next call, and never waits for more.

Rows that arrived in this tick of the event loop, or while the previous call ran, make the next batch. An idle model
starts at once; nothing is gathered that a free process could start now.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._realtime.backends import Backend

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._runner import Result

__all__ = ["Answers", "Batcher", "Ticket"]

# From the outputs of a call (n rows) to n answers, in a caller's own form: tuples, JSON texts.
Answers = Callable[[Batch], Sequence[Any]]

EXPIRED = RowFailure("deadline_exceeded", "the deadline passed before the row was answered")


class Ticket:
    """The rows of one request on their way: the answers travel in it, and it can be taken back."""

    open = True
    started = 0  # rows handed to a call so far
    answered = 0  # rows with an answer so far, where the rows went into several calls
    results: list[Any] | None = None
    timer: asyncio.TimerHandle | None = None

    def __init__(
        self,
        batcher: Batcher,
        rows: Sequence[tuple[Any, ...]],
        answers: Answers,
        done: Callable[[Sequence[Any]], None],
        deadline: float,
    ) -> None:
        self.batcher = batcher
        self.rows = rows
        self.answers = answers
        self.done = done
        self.deadline = deadline  # of the loop's clock, seconds

    @property
    def waiting(self) -> bool:
        """No row of it has reached a model yet."""
        return self.open and not self.started

    def cancel(self) -> None:
        """Take the rows out of the queue; `done` will not be called."""
        if self.open:
            self.batcher.close(self)

    def deliver(self, first: int, answers: Sequence[Any]) -> None:
        """Answers of rows `first`…; the last ones end the ticket."""
        if self.results is None:
            self.results = [None] * len(self.rows)
        self.results[first : first + len(answers)] = answers
        self.answered += len(answers)
        if self.answered == len(self.rows):
            self.batcher.finish(self, self.results)


class Batcher:
    """One queue of rows in front of one backend. Lives in one event loop."""

    def __init__(self, backend: Backend, schema: pa.Schema, *, batch_rows: int) -> None:
        self._backend = backend
        self._schema = schema
        self._call_rows = min(batch_rows, backend.call_rows or batch_rows)
        self._queue: OrderedDict[Ticket, None] = OrderedDict()
        self._rows_waiting = 0
        self._pump_is_due = False
        self.calls_started = 0
        self.rows_started = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        backend.on_free = self._wake

    @property
    def rows_waiting(self) -> int:
        """Rows in the queue that no call has taken yet."""
        return self._rows_waiting

    def submit(
        self,
        rows: Sequence[tuple[Any, ...]],
        answers: Answers,
        done: Callable[[Sequence[Any]], None],
        *,
        deadline_s: float,
    ) -> Ticket:
        """Queue at least one row; `done` gets one answer or `RowFailure` a row, after this returned."""
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        ticket = Ticket(self, rows, answers, done, loop.time() + deadline_s)
        if not self._backend.inline:
            ticket.timer = loop.call_at(ticket.deadline, self._expire, ticket)
        self._queue[ticket] = None
        self._rows_waiting += len(rows)
        if not self._pump_is_due:
            self._pump_is_due = True
            loop.call_soon(self._pump)
        return ticket

    def close(self, ticket: Ticket) -> None:
        """End a ticket: what is left of it in the queue will not be computed, what is computed is dropped."""
        ticket.open = False
        if ticket.timer is not None:
            ticket.timer.cancel()
        if ticket.started < len(ticket.rows):
            del self._queue[ticket]
            self._rows_waiting -= len(ticket.rows) - ticket.started

    def finish(self, ticket: Ticket, results: Sequence[Any]) -> None:
        """End a ticket with its answers. A caller that fails to take them must not harm its neighbours."""
        if ticket.timer is None and ticket.started == len(ticket.rows):
            ticket.open = False
        else:
            self.close(ticket)
        try:
            ticket.done(results)
        except Exception as error:
            assert self._loop is not None
            self._loop.call_exception_handler({"message": "an answer could not be delivered", "exception": error})

    def _expire(self, ticket: Ticket) -> None:
        self.finish(ticket, [EXPIRED] * len(ticket.rows))

    def _wake(self) -> None:
        if self._rows_waiting and not self._pump_is_due and self._loop is not None:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Start every call that can start now. Inline, one call a tick: the loop serves in between."""
        self._pump_is_due = False
        backend = self._backend
        while self._rows_waiting and (free := backend.free) > 0:
            # Shared out, so that no free process idles while another gets two rows.
            self._start_call(min(self._call_rows, -(-self._rows_waiting // free)))
            if backend.inline:
                self._wake()
                return

    def _start_call(self, room: int) -> None:
        assert self._loop is not None
        now = self._loop.time()
        parts: list[tuple[Ticket, int, int]] = []  # a ticket, its first row in this call, how many
        rows: list[tuple[Any, ...]] = []
        last_deadline = now
        queue = self._queue
        while room and queue:
            ticket = next(iter(queue))
            deadline = ticket.deadline
            if deadline <= now:
                self._expire(ticket)
                continue
            if deadline > last_deadline:
                last_deadline = deadline
            first, in_all = ticket.started, len(ticket.rows)
            if in_all - first <= room:
                count = ticket.started = in_all
                del queue[ticket]
                if first:
                    count -= first
                    rows += ticket.rows[first:]
                else:
                    rows += ticket.rows
            else:
                count = room
                ticket.started = first + room
                rows += ticket.rows[first : first + room]
            parts.append((ticket, first, count))
            room -= count
        self._rows_waiting -= len(rows)
        if not rows:
            return
        try:
            self.calls_started += 1
            self.rows_started += len(rows)
            batch = Batch.from_rows(self._schema, rows)
            self._backend.start_call(batch, partial(self._deliver, parts), last_deadline)
        except Exception as error:
            failure = self._reported(error)
            for ticket, first, count in parts:
                if ticket.open:
                    ticket.deliver(first, [failure] * count)

    def _deliver(self, parts: list[tuple[Ticket, int, int]], result: Result) -> None:
        """Cut the result of a call into the answers of its tickets."""
        form: Answers | None = None  # nearly always the same for all tickets of a call
        items: Sequence[Any] = ()
        position = 0
        for ticket, first, count in parts:
            if ticket.open:
                if ticket.answers is not form:
                    form = ticket.answers
                    try:
                        items = _in_order(form(result.outputs), result.failures)
                    except Exception as error:
                        items = [self._reported(error)] * (result.outputs.n_rows + len(result.failures))
                answers = items[position : position + count]
                if count == len(ticket.rows):
                    self.finish(ticket, answers)
                else:
                    ticket.deliver(first, answers)
            position += count
        self._wake()

    def _reported(self, error: Exception) -> RowFailure:
        """Something of ours broke around a call: its callers are told, and the loop's handler gets the traceback."""
        assert self._loop is not None
        self._loop.call_exception_handler({"message": "a call could not be handled", "exception": error})
        return RowFailure("model_failed", str(error), type(error).__name__)


def _in_order(answers: Sequence[Any], failures: dict[int, RowFailure]) -> Sequence[Any]:
    """One item per row of the call: answers in order, a failure at each place that has one."""
    if not failures:
        return answers
    answered = iter(answers)
    return [failures[i] if i in failures else next(answered) for i in range(len(answers) + len(failures))]
