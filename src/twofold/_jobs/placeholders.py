"""Placeholders in a job's texts: what a firing is for, in words.

{time}              the firing's logical time in the job's zone: 2026-11-24T02:30:00+01:00
{time:%Y-%m-%d}     as strftime writes it
{time-1d:%Y-%m-%d}  a day before, at the same time of day (w, d); or so much time before (h, m, s)
{file.path}         the file that arrived; {file.name}, and {file.stem} without its endings
{{ and }}           braces
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from string import Formatter
from zoneinfo import ZoneInfo

from twofold._jobs.wrong import Wrong

__all__ = ["Occasion", "filled", "placeholders"]

TIME = re.compile(r"time(?:([+-])(\d+)([wdhms]))?")
SPANS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
KNOWN = "{time:%Y-%m-%d}, {time-1d:%Y-%m-%d}, {file.path}, {file.name} and {file.stem}"


@dataclass(frozen=True)
class Occasion:
    """What a firing is for: its logical time (seconds since 1970), and the file that arrived."""

    time: int
    zone: ZoneInfo
    file: str | None = None


def placeholders(text: str, field: str) -> set[str]:
    """What stands in braces: "time" or "file". Raises Wrong for anything else."""
    found = set()
    for _, name, _ in _parts(text, field):
        if name is None:
            continue
        if TIME.fullmatch(name):
            found.add("time")
        elif name in ("file.path", "file.name", "file.stem"):
            found.add("file")
        else:
            raise Wrong(field, f"{{{name}}} in {text!r} is no placeholder. There are {KNOWN}; a brace is {{{{.")
    return found


def filled(text: str, occasion: Occasion, field: str) -> str:
    """The text with its placeholders filled in."""
    return "".join(
        before + ("" if name is None else _value(name, spec, occasion)) for before, name, spec in _parts(text, field)
    )


def _parts(text: str, field: str) -> Iterator[tuple[str, str | None, str]]:
    try:
        for before, name, spec, _ in Formatter().parse(text):
            yield before, name, spec or ""
    except ValueError:
        raise Wrong(field, f"{text!r} has a brace without its partner. A brace itself is {{{{ or }}}}.") from None


def _value(name: str, spec: str, occasion: Occasion) -> str:
    found = TIME.fullmatch(name)
    if found is not None:
        at = datetime.fromtimestamp(occasion.time, occasion.zone)
        if found[1]:
            span = timedelta(**{SPANS[found[3]]: int(found[1] + found[2])})
            # days and weeks by the calendar; hours and less by what passes
            at = (
                at + span
                if found[3] in "wd"
                else datetime.fromtimestamp(at.timestamp() + span.total_seconds(), at.tzinfo)
            )
        return at.strftime(spec) if spec else at.isoformat()
    path = occasion.file or ""
    if name == "file.path":
        return path
    last = path.rstrip("/").rpartition("/")[2]
    return last if name == "file.name" else _stem(last)


def _stem(name: str) -> str:
    for packed in (".gz", ".zst"):
        name = name.removesuffix(packed)
    return name.rpartition(".")[0] or name
