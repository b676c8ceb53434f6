"""Writes firings down when they fall due: those of schedules, and those of files that arrived.

Each moment of a schedule becomes one row, whatever clocks do and however many schedulers there are: `cursor` says up to
where they are written, is moved together with them, and only by who saw it where it was.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import islice

from twofold._jobs.clock import utc_text
from twofold._jobs.job import JobSpec
from twofold._jobs.store import NewFiring, Progressed, Store
from twofold._jobs.times import between, latest

__all__ = ["Planner"]

LATE_S = 60
"""A firing that is written down later than this was missed: nobody was there, or the clock went forward."""
MOST_AT_ONCE = 1000
MOST_SKIPPED = 100
"""Of missed firings that do not run, the last so many are written down."""
AHEAD_S = 7200
"""A cursor further ahead than this was set by a clock that was wrong."""


class Planner:
    """Keeps in mind when each schedule falls due next."""

    def __init__(self, store: Store, jobs: Mapping[str, JobSpec], now: float) -> None:
        self._store = store
        self._jobs = {name: job for name, job in jobs.items() if job.schedule is not None}
        self._due: list[tuple[int, str]] = []
        self._begin(int(now))

    def _begin(self, now: int) -> None:
        """A job that is new, or has another schedule than before, begins now."""
        seen = self._store.progressed()
        fresh = []
        for name, job in self._jobs.items():
            assert job.schedule is not None
            before = seen.get(name, Progressed())
            if before.cursor is None or before.schedule != job.schedule.key() or before.cursor > now + AHEAD_S:
                fresh.append((name, job.schedule.key(), before, now, ()))
        self._store.advance_all(fresh)
        seen = self._store.progressed()
        for name in self._jobs:
            self._push(name, seen[name].cursor or now)

    def _push(self, name: str, cursor: int) -> None:
        schedule = self._jobs[name].schedule
        assert schedule is not None
        moment = next(iter(schedule.after(cursor)), None)
        if moment is not None:
            heapq.heappush(self._due, (moment, name))

    def next_due(self) -> float | None:
        return self._due[0][0] if self._due else None

    def plan(self, now: float) -> list[NewFiring]:
        """Write down what fell due; gives what this call wrote."""
        names = set()
        while self._due and self._due[0][0] <= now:
            names.add(heapq.heappop(self._due)[1])
        if not names:
            return []
        seen = self._store.progressed()
        steps = [self._step(self._jobs[name], seen[name], int(now)) for name in sorted(names)]
        written = self._store.advance_all(steps)
        for (name, _, before, cursor, _), was_first in zip(steps, written, strict=True):
            self._push(name, cursor if was_first else before.cursor or cursor)  # else: looks again at once
        return [new for step, was_first in zip(steps, written, strict=True) if was_first for new in step[4]]

    def _step(self, job: JobSpec, seen: Progressed, now: int) -> tuple[str, str, Progressed, int, list[NewFiring]]:
        schedule = job.schedule
        assert schedule is not None
        cursor = seen.cursor if seen.cursor is not None else now
        if cursor >= now:  # another scheduler was here
            return job.name, schedule.key(), seen, cursor, []
        until = now
        if job.missed == "all":
            moments = list(islice(between(schedule, cursor, now), MOST_AT_ONCE))
            if len(moments) == MOST_AT_ONCE:
                until = moments[-1]
        else:
            moments = latest(schedule, cursor, now, MOST_SKIPPED)
        new = [NewFiring(job.name, utc_text(moment), moment, "schedule", due=float(moment)) for moment in moments]
        new = self._without_overlap(job, _without_missed(job, new, now))
        if seen.paused:
            new = [_skipped(one, "the job is paused") for one in new]
        return job.name, schedule.key(), seen, until, new

    def _without_overlap(self, job: JobSpec, new: Iterable[NewFiring]) -> list[NewFiring]:
        if job.overlap == "queue":
            return list(new)
        busy = next((utc_text(firing.time) for firing in self._store.open_firings(job.name)), None)
        found = []
        for one in new:
            if one.state == "waiting" and busy is not None:
                one = _skipped(one, f"the firing of {busy} was not done")
            elif one.state == "waiting":
                busy = utc_text(one.time)
            found.append(one)
        return found


def _without_missed(job: JobSpec, new: list[NewFiring], now: int) -> list[NewFiring]:
    """What the job says about firings that nobody was there for."""
    missed = [one for one in new if now - one.time > LATE_S]
    if not missed or job.missed == "all":
        return new
    on_time = new[len(missed) :]
    kept = missed[-1:] if job.missed == "once" and not on_time else []
    skipped = missed[: len(missed) - len(kept)]
    return [*(_skipped(one, "it was missed") for one in skipped), *kept, *on_time]


def _skipped(one: NewFiring, reason: str) -> NewFiring:
    return replace(one, state="skipped", reason=reason) if one.state == "waiting" else one
