"""The rows of a request on their way through the Batcher, and the line in which they wait."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Protocol

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._runner import Result

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "Answers",
    "Asker",
    "BatchTicket",
    "Gathered",
    "Keeper",
    "Line",
    "Part",
    "RowsTicket",
    "Ticket",
    "Watcher",
    "cut",
    "in_order",
]

Row = tuple[Any, ...]

# From the outputs of a call (n rows) to n answers, in a caller's own form: tuples, JSON texts.
Answers = Callable[[Batch], Sequence[Any]]

TIDIED_AT = 64


class Asker(Protocol):
    """Who waits for the answer."""

    def identify(self) -> str:
        """The request's id, for a log, made where there is none; "" where the protocol has no such thing."""
        ...


class Keeper(Protocol):
    """Whom a ticket belongs to."""

    def close(self, ticket: Ticket) -> None: ...


class Ticket:
    """The rows of one request on their way: the answers travel in it, and it can be taken back.

    Times are those of `time.monotonic`.
    """

    open = True
    started = 0  # rows handed to a call so far
    bulk = False  # it waits in the line of those that take several calls
    rows: Sequence[Row] | None = None  # None: it has columns
    n_bytes = 0
    asker: Asker | None = None
    keeper: Keeper
    n_rows: int
    came: float
    deadline: float

    @property
    def waiting(self) -> bool:
        """No row of it has reached a model yet."""
        return self.open and not self.started

    def cancel(self) -> None:
        """Take the rows out of the queue; `done` will not be called."""
        if self.open:
            self.keeper.close(self)

    def fail(self, failure: RowFailure) -> None:
        """Tell the caller that none of its rows has an answer. The ticket must be closed."""
        raise NotImplementedError  # pragma: no cover (both kinds of tickets have their own)


class RowsTicket(Ticket):
    """Rows as tuples; `done` gets an answer or a failure for each."""

    results: list[Any] | None = None
    answered = 0  # rows with an answer so far, where the rows went into several calls

    def __init__(
        self, keeper: Keeper, rows: Sequence[Row], answers: Answers, done: Callable[[Sequence[Any]], None]
    ) -> None:
        self.keeper = keeper
        self.rows = rows
        self.n_rows = len(rows)
        self.answers = answers
        self.done = done

    def add(self, first: int, answers: Sequence[Any]) -> bool:
        """Answers of rows `first`…; whether these were the last ones: `results` are complete."""
        if self.results is None:
            self.results = [None] * self.n_rows
        self.results[first : first + len(answers)] = answers
        self.answered += len(answers)
        return self.answered == self.n_rows

    def fail(self, failure: RowFailure) -> None:
        self.done([failure] * self.n_rows)


class BatchTicket(Ticket):
    """Columns; `done` gets one Result for all rows."""

    answered = 0

    def __init__(self, keeper: Keeper, batch: Batch, outputs: pa.Schema, done: Callable[[Result], None]) -> None:
        self.keeper = keeper
        self.batch = batch
        self.n_rows = batch.n_rows
        self.outputs = outputs
        self.done = done
        self.pieces: list[tuple[int, Batch]] = []
        self.failures: dict[int, RowFailure] = {}

    def add(self, first: int, n_rows: int, outputs: Batch, failures: dict[int, RowFailure]) -> bool:
        """What became of `n_rows` rows from `first` on, failures by their place in the request. Whether that is all."""
        if outputs.n_rows:
            self.pieces.append((first, outputs))
        self.failures.update(failures)
        self.answered += n_rows
        return self.answered == self.n_rows

    def result(self) -> Result:
        self.pieces.sort(key=lambda piece: piece[0])
        outputs = [piece for _, piece in self.pieces] or [Batch.from_rows(self.outputs, [])]
        return Result(Batch.concat(outputs), dict(sorted(self.failures.items())))

    def fail(self, failure: RowFailure) -> None:
        self.done(Result(Batch.from_rows(self.outputs, []), dict.fromkeys(range(self.n_rows), failure)))


Part = tuple[Ticket, int, int]
"""A ticket, its first row in a call, how many."""


Watcher = Callable[[list[Part], float, Batch, Result], None]
"""Sees the parts of a call that is over, when it began (a time.monotonic()), its rows, and what became of them."""


class Gathered:
    """What a call takes from the line. `rows` are the rows of all parts in order, or None where some are columns."""

    __slots__ = ("late", "n_bytes", "n_rows", "parts", "rows")

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.rows: list[Row] | None = []
        self.n_rows = 0
        self.n_bytes = 0
        self.late: list[Ticket] = []  # their deadline has passed: they are out of the line


class Line:
    """Tickets that wait, the earliest deadline first.

    Nearly all come in that order, as their requests have the same time. Those that are in more of a hurry than
    somebody before them stand apart, in a heap. Tickets that were closed stay until somebody meets them, but never
    more of them than of others.
    """

    def __init__(self) -> None:
        self.rows = 0  # that wait, of tickets that are open
        self._queue: deque[Ticket] = deque()
        self._hurried: list[tuple[float, int, Ticket]] = []
        self._hurried_rows = 0  # about: it is put right whenever nobody hurries
        self._numbers = count()
        self._latest = 0.0
        self._gone = 0

    def put(self, ticket: Ticket) -> None:
        self.rows += ticket.n_rows
        if ticket.deadline >= self._latest or not self._queue:
            self._latest = ticket.deadline
            self._queue.append(ticket)
        else:
            if not self._hurried:
                self._hurried_rows = 0
            self._hurried_rows += ticket.n_rows
            heapq.heappush(self._hurried, (ticket.deadline, next(self._numbers), ticket))

    def closed(self, ticket: Ticket) -> None:
        """A ticket of this line has been closed."""
        self.rows -= ticket.n_rows - ticket.started
        ticket.rows = ()
        self._gone += 1
        if self._gone > max(TIDIED_AT, (len(self._queue) + len(self._hurried)) // 2):
            self._queue = deque(waits for waits in self._queue if waits.open)
            self._hurried = [entry for entry in self._hurried if entry[2].open]
            heapq.heapify(self._hurried)
            self._gone = 0

    def head(self) -> Ticket | None:
        """The one that is first; closed ones before it are let go."""
        queue, hurried = self._queue, self._hurried
        while queue and not queue[0].open:
            queue.popleft()
            self._gone -= 1
        while hurried and not hurried[0][2].open:
            heapq.heappop(hurried)
            self._gone -= 1
        if hurried and not (queue and queue[0].deadline <= hurried[0][0]):
            return hurried[0][2]
        return queue[0] if queue else None

    def take(self, room: int, now: float) -> Gathered:
        """The first rows, at most `room`, of those whose deadline lies after `now`."""
        if self.rows <= room and not self._hurried and not self._gone and self._queue:
            head = self._queue[0]
            if head.deadline > now and not head.started:
                return self._take_all()
        gathered = Gathered()
        parts, late = gathered.parts, gathered.late
        rows: list[Row] = []
        columns = False
        left = room
        queue, hurried = self._queue, self._hurried
        while left:
            if hurried:
                found = self.head()
                if found is None:
                    break
                ticket = found
            elif queue:
                ticket = queue[0]
                if not ticket.open:
                    queue.popleft()
                    self._gone -= 1
                    continue
            else:
                break
            first, in_all = ticket.started, ticket.n_rows
            n_rows = in_all - first
            if ticket.deadline <= now:
                self._pop(ticket)
                self.rows -= n_rows
                late.append(ticket)
                gathered.n_bytes += ticket.n_bytes
                continue
            if n_rows <= left:
                ticket.started = in_all
                gathered.n_bytes += ticket.n_bytes
                if hurried:
                    self._pop(ticket)
                else:
                    queue.popleft()
            else:
                n_rows = left
                ticket.started = first + n_rows
            if ticket.rows is None:
                columns = True
            elif n_rows == in_all:
                rows += ticket.rows
            else:
                rows += ticket.rows[first : first + n_rows]
            parts.append((ticket, first, n_rows))
            left -= n_rows
        gathered.n_rows = room - left
        self.rows -= gathered.n_rows
        gathered.rows = None if columns else rows
        return gathered

    def _take_all(self) -> Gathered:
        """What `take` gives where there is room for all, none is late, in a hurry or closed, and none has begun."""
        gathered = Gathered()
        parts, rows, n_bytes, columns = gathered.parts, gathered.rows, 0, False
        assert rows is not None
        for ticket in self._queue:
            ticket.started = n_rows = ticket.n_rows
            n_bytes += ticket.n_bytes
            parts.append((ticket, 0, n_rows))
            if ticket.rows is None:
                columns = True
            else:
                rows += ticket.rows
        self._queue.clear()
        gathered.n_rows, self.rows = self.rows, 0
        gathered.n_bytes = n_bytes
        if columns:
            gathered.rows = None
        return gathered

    def expired(self, now: float) -> list[Ticket]:
        """Take out those whose deadline has passed."""
        late = []
        while (ticket := self.head()) is not None and ticket.deadline <= now:
            self._pop(ticket)
            self.rows -= ticket.n_rows - ticket.started
            late.append(ticket)
        return late

    def rows_before(self, deadline: float) -> int:
        """About how many rows will be taken before those of a new ticket with this deadline."""
        queue = self._queue
        if deadline >= self._latest or not queue:
            return self.rows
        hurried = min(self._hurried_rows, self.rows) if self._hurried else 0
        first = queue[0].deadline
        if first >= deadline:
            return hurried
        return hurried + int((self.rows - hurried) * (deadline - first) / (self._latest - first))

    @property
    def latest(self) -> float:
        """The latest deadline in the line; 0.0 when it is empty."""
        return self._latest if self._queue else 0.0

    def __iter__(self) -> Iterator[Ticket]:
        yield from (ticket for ticket in self._queue if ticket.open)
        yield from (ticket for _, _, ticket in self._hurried if ticket.open)

    def _pop(self, ticket: Ticket) -> None:
        """Remove the head."""
        if self._hurried and self._hurried[0][2] is ticket:
            heapq.heappop(self._hurried)
            self._hurried_rows -= ticket.n_rows
        else:
            self._queue.popleft()


def in_order(answers: Sequence[Any], failures: dict[int, RowFailure]) -> Sequence[Any]:
    """One item per row of the call: answers in order, a failure at each place that has one."""
    if not failures:
        return answers
    answered = iter(answers)
    return [failures[i] if i in failures else next(answered) for i in range(len(answers) + len(failures))]


def cut(result: Result, position: int, n_rows: int, first: int) -> tuple[Batch, dict[int, RowFailure]]:
    """Of the rows from `position` on: the answers, and the failures of the others, counted from `first`."""
    outputs, failures = result.outputs, result.failures
    if not failures:
        return outputs if n_rows == outputs.n_rows else outputs.slice(position, position + n_rows), {}
    failed = [at for at in failures if position <= at < position + n_rows]
    start = position - sum(at < position for at in failures)
    cut = outputs.slice(start, start + n_rows - len(failed))
    return cut, {at - position + first: failures[at] for at in failed}
