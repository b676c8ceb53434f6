"""When a job may run: "22:00-06:00 mon-fri Europe/Berlin". A window that spans midnight belongs to the day it opens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from twofold._jobs.times import zone_of
from twofold._jobs.wrong import Wrong, did_you_mean

__all__ = ["PRIORITIES", "Window", "next_opening", "open_window", "time_of_day", "window_of"]

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOURS = re.compile(r"(\d{1,2}:\d{2})-(\d{1,2}:\d{2})")
PRIORITIES = ("normal", "low", "idle")
EXAMPLE = '"22:00-06:00", "22:00-06:00 mon-fri Europe/Berlin"'
FURTHEST_DAYS = 8


@dataclass(frozen=True)
class Window:
    """Minutes since midnight; `closes` is of the next day where it is not after `opens`. `days`: those it opens on.

    `workers` and `priority` hold while it is open; None: the job's own.
    """

    opens: int
    closes: int
    zone: ZoneInfo
    days: frozenset[int] = frozenset(range(7))
    workers: int | None = None
    priority: str | None = None

    def spans(self, at: float) -> Iterator[tuple[int, int]]:
        """When it opens and closes, from the day before `at` on."""
        today = datetime.fromtimestamp(at, self.zone).date()
        for ahead in range(-1, FURTHEST_DAYS):
            day = today + timedelta(days=ahead)
            if day.weekday() in self.days:
                opens = _moment(day, self.opens, self.zone)
                closes = _moment(day, self.closes + (1440 if self.closes <= self.opens else 0), self.zone)
                if closes > opens:  # else the clocks went over it
                    yield opens, closes

    @property
    def settings(self) -> tuple[int | None, str | None]:
        return self.workers, self.priority


def _moment(day: date, minutes: int, zone: ZoneInfo) -> int:
    """Of a time of day that is there twice, the first; one that is not there is as much later as the clocks jump."""
    days, minutes = divmod(minutes, 1440)
    local = datetime.combine(day + timedelta(days=days), time(minutes // 60, minutes % 60), zone)
    return int(local.timestamp())


def open_window(windows: Sequence[Window], at: float) -> tuple[Window, int] | None:
    """The window that is open (the one that stays so longest), and when it closes."""
    found = [
        (closes, index)
        for index, window in enumerate(windows)
        for opens, closes in window.spans(at)
        if opens <= at < closes
    ]
    if not found:
        return None
    closes, index = max(found)
    return windows[index], closes


def next_opening(windows: Sequence[Window], at: float) -> int:
    """When the next one opens; at least one opens within a week."""
    return min(opens for window in windows for opens, _ in window.spans(at) if opens > at)


def time_of_day(text: object, field: str) -> int:
    """ "06:00" in minutes; up to "24:00"."""
    found = re.fullmatch(r"(\d{1,2}):(\d{2})", text) if isinstance(text, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found else 1441
    if found is None or int(found[2]) > 59 or minutes > 1440:
        raise Wrong(field, f"{text!r} is no time of day. It looks like 06:00.")
    return minutes


def window_of(given: object, zone: ZoneInfo) -> Window:
    """A window as it stands in a job: its text, or a table with `hours` and what holds while it is open."""
    if isinstance(given, dict):
        return _from_table(dict(given), zone)
    if not isinstance(given, str) or not given.strip():
        raise Wrong("window", f"{given!r} is no window. It looks like {EXAMPLE}.")
    hours, days, opens_on = None, [], frozenset(range(7))
    for word in given.replace(", ", ",").split():
        if HOURS.fullmatch(word):
            hours = word
        elif word.lower()[:3] in DAYS:
            days.append(word)
        elif "/" in word or word == "UTC":
            zone = zone_of(word, "window")
        else:
            raise Wrong("window", f"{word!r} in {given!r} is neither hours, days nor a time zone: {EXAMPLE}.")
    if hours is None:
        raise Wrong("window", f"{given!r} has no hours. A window looks like {EXAMPLE}.")
    if days:
        opens_on = _days(",".join(days))
    opens, closes = (time_of_day(text, "window") for text in hours.split("-"))
    return Window(opens % 1440, closes, zone, opens_on)


def _from_table(given: dict[str, Any], zone: ZoneInfo) -> Window:
    known = ("hours", "workers", "priority")
    for name in given:
        if name not in known:
            raise Wrong("window", f"it has no {name!r}. {did_you_mean(name, known, 'It has')}")
    window = window_of(given.get("hours"), zone)
    workers, priority = given.get("workers"), given.get("priority")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise Wrong("window", f"workers is a whole number of at least 1, and {workers!r} was given.")
    if priority is not None and priority not in PRIORITIES:
        raise Wrong("window", f"priority is one of {', '.join(PRIORITIES)}, and {priority!r} was given.")
    return Window(window.opens, window.closes, window.zone, window.days, workers, priority)


def _days(text: str) -> frozenset[int]:
    """ "mon-fri,sun": a range may go over the end of the week."""
    found: set[int] = set()
    for part in text.lower().split(","):
        ends = [DAYS.index(day[:3]) if day[:3] in DAYS else None for day in part.split("-")]
        if not 1 <= len(ends) <= 2 or ends[0] is None or ends[-1] is None:
            raise Wrong("window", f"{part!r} is no day of the week, nor a range of them such as mon-fri.")
        first, last = ends[0], ends[-1]
        found |= {day % 7 for day in range(first, last + (7 if last < first else 0) + 1)}
    return frozenset(found)
