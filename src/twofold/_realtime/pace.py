"""How many rows the next call should hold, and how long what waits will take: decided by t(n), as it is learned."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twofold._profile import Profile

__all__ = ["Drain", "Pace"]

# A usual inline call lasts no longer, unless one row does: the event loop serves in between. By the median: where
# what holds one call up also makes the next ones smaller, small calls are all that is ever seen.
INLINE_CALL_S: Final = 0.0005
# A one-row call that holds the event loop for longer does not belong there; so many in a row are not an accident.
SLOW_ROW_S: Final = 0.005
SLOW_CALLS: Final = 3
# A larger call is worth its latency as long as it makes a row cheaper by more than this.
GAIN: Final = 0.03
LITTLE_MORE: Final = 1.1
# Sizes up to this one are tried, so that a gain can be seen at all.
TRIED_ROWS: Final = 5
# Of calls as long as nothing is known.
FIRST_ROWS: Final = 16
# The drain is worked out after so long and so many calls, and believed for so long.
DRAIN_SEEN_S: Final = 0.1
DRAIN_CALLS: Final = 8
DRAIN_MOST: Final = 8.0
DRAIN_KEPT_S: Final = 10.0


class Pace:
    """What the Batcher goes by. `call_rows`: the most rows of the next call; `call_s`: what such a call takes;
    `row_s`: what a row of it takes; 0.0 as long as nothing is known.

    `on_slow` is told the seconds of the last of three one-row calls in a row that held the event loop up.
    """

    def __init__(self, profile: Profile, most_rows: int, *, inline: bool) -> None:
        self.profile = profile
        self.on_slow: Callable[[float], None] | None = None
        self.call_rows = self._most_rows = most_rows
        self.call_s = self.row_s = 0.0
        self._inline = inline
        self._slow_calls = 0
        self._changes = -1
        self._renew()

    def learn(self, n_rows: int, seconds: float) -> bool:
        """A call took so long. Whether the pace has changed."""
        profile = self.profile
        profile.learn(n_rows, seconds)
        if profile.changes == self._changes:
            return False
        self._renew()
        return True

    def held(self, n_rows: int, seconds: float) -> None:
        """A call held the event loop for so long."""
        if n_rows == 1:
            self._slow_calls = self._slow_calls + 1 if seconds > SLOW_ROW_S else 0
            if self._slow_calls == SLOW_CALLS and self.on_slow is not None:
                self.on_slow(seconds)

    def shrink(self, n_rows: int) -> None:
        """A call with so many rows ran out of memory."""
        self.profile.shrink(n_rows)
        self._renew()

    def seconds_for(self, n_rows: int) -> float:
        """What nine of ten calls with so many rows stay within."""
        return self.profile.seconds_for(n_rows)

    def typical_s(self, n_rows: int) -> float:
        """The median of calls with so many rows."""
        return self.profile.typical_s(n_rows)

    def rows_within(self, seconds: float) -> int:
        """The most rows whose call takes no longer; at least 1."""
        return min(self.call_rows, self.profile.rows_within(seconds))

    def costs_about_as_much(self, n_rows: int, more: int) -> bool:
        """Whether a row in a call with `n_rows` costs little more than in one with `more`."""
        profile = self.profile
        return profile.typical_s(n_rows) / n_rows <= LITTLE_MORE * profile.typical_s(more) / more

    def fair_share(self, rows: int, least: int, most: int, busy_s: float) -> int:
        """How many of the `rows` that wait a free place should take, so that a place which is busy for another
        `busy_s` would be done with the rest no earlier: between `least` and `most`."""
        profile = self.profile
        if not profile.known:
            return most
        while least < most:
            middle = (least + most) // 2
            if profile.typical_s(middle) >= busy_s + profile.typical_s(rows - middle):
                most = middle
            else:
                least = middle + 1
        return least

    def _renew(self) -> None:
        profile = self.profile
        self._changes = profile.changes
        most = min(self._most_rows, profile.most_rows or self._most_rows)
        if not profile.known:
            self.call_rows = min(most, FIRST_ROWS)
            return
        if self._inline:
            best = profile.rows_within(INLINE_CALL_S, typically=True)
        else:
            best = profile.worthwhile_rows(GAIN, TRIED_ROWS)
        self.call_rows = rows = min(most, best)
        self.call_s = profile.seconds_for(rows)
        self.row_s = profile.typical_s(rows) / rows


class Drain:
    """How much longer it takes to work off what waits than t(n) says, as there is something between the calls, too, and
    calls that take far longer than usual.

    `ratio`: 1.0 as long as that has not been seen, or not for a while.
    """

    def __init__(self) -> None:
        self.ratio = 1.0
        self._took_s = self._expected_s = 0.0
        self._calls = 0
        # Of the last call, if some waited behind it: when it started, and what it should take.
        self._before: tuple[float, float] | None = None
        self._seen = 0.0

    def started(self, expected_s: float, some_left: bool, now: float) -> bool:
        """A call has started that should take so long, divided by the places; some rows are left. Whether `ratio` has
        changed."""
        changed = False
        if self._before is not None:
            began, should_s = self._before
            self._took_s += now - began
            self._expected_s += should_s
            self._calls += 1
            if self._calls >= DRAIN_CALLS and self._took_s >= DRAIN_SEEN_S and self._expected_s:
                found = self._took_s / self._expected_s
                self.ratio = min(max(self.ratio + (found - self.ratio) / 4, 1.0), DRAIN_MOST)
                self._took_s, self._expected_s, self._calls = 0.0, 0.0, 0
                self._seen, changed = now, True
        elif self.ratio != 1.0 and now - self._seen > DRAIN_KEPT_S:
            self.ratio, changed = 1.0, True
        self._before = (now, expected_s) if some_left else None
        return changed
