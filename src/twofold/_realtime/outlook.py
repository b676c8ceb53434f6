"""What lies ahead of the rows that wait: until when they will be answered, and how many of them the next call takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from twofold._realtime.pace import Drain, Pace

if TYPE_CHECKING:
    from twofold._realtime.backends import Backend
    from twofold._realtime.tickets import Line, Ticket

__all__ = ["SAFE", "Outlook", "RunningCall"]

# Of its time, a request may need no more than this share by what is known: the rest is for what nobody can foresee.
SAFE: Final = 0.85


class RunningCall(Protocol):
    ends: float
    """When it will be over, as far as is known; a time of `time.monotonic`."""


class Outlook:
    """Of one Batcher. `row_s`: what each row that waits takes; `call_s`: a call that has just begun, and one's own."""

    def __init__(self, backend: Backend, pace: Pace, running: set[RunningCall]) -> None:
        self.row_s = self.call_s = 0.0
        self._backend = backend
        self._inline = backend.inline
        self._pace = pace
        self._running = running
        self._drain = Drain()
        self.renew()

    def renew(self) -> None:
        """The pace has changed, or the number of places."""
        pace = self._pace
        self.row_s = pace.row_s * self._drain.ratio / max(1, self._backend.places)
        self.call_s = 2 * pace.call_s

    def started(self, n_rows: int, some_left: bool, now: float) -> None:
        """A call has started; some rows still wait."""
        expected_s = self._pace.typical_s(n_rows) / max(1, self._backend.places)
        if self._drain.started(expected_s, some_left, now):
            self.renew()

    def too_late_s(self, ticket: Ticket, limit_s: float, line: Line, bulk: Line) -> float:
        """By how much a request that comes now with `limit_s` to go would miss its time, or make others miss theirs:
        more than 0 if it would. `bulk`: the line of those that take several calls."""
        now, n_rows = ticket.came, ticket.n_rows
        if n_rows > self._pace.call_rows:
            # every second call is theirs while others wait, and others will come
            before = 2 * bulk.rows_before(ticket.deadline) + min(line.rows, n_rows)
            return self._seconds_until_done(before + n_rows, limit_s, now) - SAFE * limit_s
        before = line.rows_before(ticket.deadline)
        before += min(before + self._pace.call_rows, bulk.rows)
        late_s = self._seconds_until_done(before + n_rows, limit_s, now) - SAFE * limit_s
        latest = line.latest
        if ticket.deadline < latest:  # those it would overtake must not be late by that
            late_s = max(late_s, self._seconds_until_done(line.rows + n_rows, limit_s, now) - (latest - now))
        return late_s

    def _seconds_until_done(self, rows: int, limit_s: float, now: float) -> float:
        """Until the last of so many rows would be answered, of a request with `limit_s` to go, if they were all that
        is to be done before those that come later fill up its own call."""
        pace = self._pace
        residual_s = 0.0
        if self._backend.free <= 0 and self._running:
            residual_s = max(0.0, min(call.ends for call in self._running) - now)
        call_rows = min(pace.call_rows, pace.rows_within(SAFE * limit_s / 2))
        rounds = (rows - 1) // (call_rows * max(1, self._backend.places))
        return residual_s + rounds * pace.typical_s(call_rows) * self._drain.ratio + pace.seconds_for(call_rows)

    def room(self, line: Line, head: Ticket, free: int, now: float) -> tuple[int, float]:
        """How many rows the next call takes, and the deadline that a row of it must have at least. `free`: places."""
        pace = self._pace
        room = pace.call_rows
        rows = line.rows
        if not self._inline:
            # Shared out, so that no free process idles while another gets two rows.
            room = min(room, -(-rows // free))
            busy = len(self._running)
            if busy and room > 1 and (least := -(-rows // (free + busy))) < room:
                busy_s = max(0.0, min(call.ends for call in self._running) - now)
                room = pace.fair_share(rows, least, room, busy_s)
        left_s = head.deadline - now
        if self.call_s <= left_s:
            return room, now
        # It must not last so long that those who come now, and have as much time, wait for it and are late by that.
        room = min(room, pace.rows_within(SAFE * (head.deadline - head.came) / 2))
        if pace.seconds_for(room) <= left_s:
            return room, now
        # The rows in it must not be late by its length. But calls that hold too few rows make all others late.
        in_time = min(room, pace.rows_within(left_s))
        if in_time >= rows or pace.costs_about_as_much(in_time, room):
            return in_time, now + pace.seconds_for(1) if rows > head.n_rows else now
        return room, now + pace.seconds_for(room)
