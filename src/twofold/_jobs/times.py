"""When a job falls due: a cron line in a time zone, or every so many seconds. All times are whole seconds since 1970.

A schedule is a set of moments that does not depend on where one begins to look: what falls due after a moment is the
same whether it was asked for a second or a year before. So nothing is lost or repeated when clocks jump or processes
restart. On the day a zone's clocks go forward, a time that is not there (02:30) is the next one that is (03:00); on
the day they go back, a time that is there twice is the first. A line with a star for its hours or minutes follows the
clock's hours as they pass.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import takewhile
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from twofold._jobs.wrong import Wrong

__all__ = ["Cron", "Every", "Schedule", "between", "latest", "seconds_of", "zone_of"]

UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
FIELDS = ("minute", "hour", "day of month", "month", "day of week")


def zone_of(name: object, field: str = "timezone") -> ZoneInfo:
    try:
        return ZoneInfo(str(name))
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Wrong(
            field, f"there is no time zone {name!r}. They have names such as Europe/Berlin, Asia/Kolkata and UTC."
        ) from None


def seconds_of(text: object, field: str) -> int:
    """ "90s", "15m", "2h", "1d" in seconds; more than 0."""
    found = re.fullmatch(r"\s*(\d+)\s*([a-z]+)\s*", text) if isinstance(text, str) else None
    if found is None or found[2] not in UNITS or not int(found[1]):
        raise Wrong(field, f"{text!r} is no span of time. It looks like 90s, 15m, 2h, 1d or 1w.")
    return int(found[1]) * UNITS[found[2]]


@dataclass(frozen=True)
class Cron:
    """A cron line of five fields (six: seconds come first), read by the clocks of a zone."""

    line: str
    zone: ZoneInfo

    def __post_init__(self) -> None:
        try:
            CronSim(self.line, datetime(2024, 1, 1, tzinfo=self.zone))
        except CronSimError as error:
            n = len(self.line.split())
            words = f"it has {n} fields, not five ({', '.join(FIELDS)})" if n not in (5, 6) else str(error).lower()
            raise Wrong(
                "schedule", f'{self.line!r} is no cron line: {words}. "30 2 * * *" is every day at 02:30.'
            ) from None

    def after(self, at: int) -> Iterator[int]:
        """The moments later than `at`, in order."""
        last = at
        for found in CronSim(self.line, datetime.fromtimestamp(at, self.zone)):
            moment = int(found.timestamp())
            if moment > last:  # a time that is there twice, or several that are not there, stand for one moment
                last = moment
                yield moment

    def key(self) -> str:
        return f"{self.line} {self.zone.key}"


@dataclass(frozen=True)
class Every:
    """The multiples of so many seconds since 1970-01-01T00:00Z: 15m is at :00, :15, :30 and :45."""

    seconds: int

    def after(self, at: int) -> Iterator[int]:
        """The moments later than `at`, in order."""
        moment = (at // self.seconds + 1) * self.seconds
        while True:
            yield moment
            moment += self.seconds

    def key(self) -> str:
        return f"every {self.seconds} s"


Schedule = Cron | Every


def between(schedule: Schedule, after: int, until: int) -> Iterator[int]:
    """The moments later than `after`, up to and with `until`."""
    return takewhile(lambda moment: moment <= until, schedule.after(after))


def latest(schedule: Schedule, after: int, until: int, most: int) -> list[int]:
    """The last `most` moments of those between, in order; looks back no further than it must."""
    span = 3600
    while True:
        start = max(after, until - span)
        found = list(between(schedule, start, until))
        if len(found) >= most or start == after:
            return found[-most:]
        span *= 8
