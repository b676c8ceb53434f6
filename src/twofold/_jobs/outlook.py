"""Whether a run will be done before its window closes and before `finish_by`; said as soon as it is known."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, time, timedelta
from typing import Any

from twofold._jobs.clock import utc_text
from twofold._jobs.job import JobSpec
from twofold._jobs.store import Firing
from twofold._jobs.windows import open_window

__all__ = ["Outlook", "deadlines", "finish_by", "outlook"]


def finish_by(job: JobSpec, at: int) -> int | None:
    """The first moment after a firing's logical time at which it is `finish_by` in the job's zone."""
    if job.finish_by is None:
        return None
    day = datetime.fromtimestamp(at, job.zone).date()
    for ahead in range(3):
        days, minutes = divmod(job.finish_by, 1440)
        local = datetime.combine(day + timedelta(days=ahead + days), time(minutes // 60, minutes % 60), job.zone)
        if local.timestamp() > at:
            return int(local.timestamp())
    return None


def deadlines(job: JobSpec, firing: Firing, now: float) -> list[tuple[str, int]]:
    """What the run should be done by: each in words, and when."""
    found = []
    by = finish_by(job, firing.time)
    if by is not None:
        found.append(("finish_by", by))
    window = open_window(job.windows, now) if job.windows and not firing.anytime else None
    if window is not None:
        found.append(("window", window[1]))
    return found


def outlook(job: JobSpec, firing: Firing, progress: dict[str, Any] | None, now: float) -> dict[str, int]:
    """By how many seconds the run will be late, for each deadline that it will miss at the speed it has."""
    left = progress.get("seconds_left") if progress else None
    found = {}
    for name, by in deadlines(job, firing, now):
        late = now + (left or 0.0) - by
        if (left is not None or name == "finish_by") and late > 0:
            found[name] = int(late) + 1
    return found


class Outlook:
    """Says what changes, once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._said: dict[tuple[int, str], int] = {}

    def look(self, job: JobSpec, firing: Firing, progress: dict[str, Any] | None, now: float) -> None:
        late = outlook(job, firing, progress, now)
        for name, by in deadlines(job, firing, now):
            before, seconds = self._said.get((firing.id, name), 0), late.get(name, 0)
            if seconds and not before / 2 <= seconds <= before * 2:
                what = "finish_by" if name == "finish_by" else "the end of its window"
                self._say(f"{job.name}: run {firing.run} will miss {what} ({utc_text(by)}) by {seconds} s")
                self._said[firing.id, name] = seconds
            elif before and not seconds:
                self._say(f"{job.name}: run {firing.run} will be done in time after all")
                self._said[firing.id, name] = 0
