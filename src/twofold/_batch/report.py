"""What a run says at its end, and while it works."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from twofold._errors import RowFailure, UsageError

__all__ = [
    "FIRST_SHOWN",
    "BatchReport",
    "OnProgress",
    "PlaceProgress",
    "Progress",
    "allowed_bad_rows",
    "error_lines",
    "exit_code_of",
    "merge_reasons",
    "summary",
]

FIRST_SHOWN = 5


@dataclass(frozen=True)
class BatchReport:
    """A finished run. `rows_in == rows_out + rows_quarantined`, always.

    `splits_resumed` were there from an earlier start; `seconds` and `rows_per_second` are of this start alone.
    `reasons` counts the quarantined rows by cause; `first_errors` has the first five.
    `model_calls` are those of this start.
    """

    rows_in: int
    rows_out: int
    rows_quarantined: int
    seconds: float
    rows_per_second: float
    splits: int
    splits_resumed: int
    output: str
    quarantine: str | None = None
    reasons: dict[str, int] = field(default_factory=dict)
    first_errors: tuple[dict[str, Any], ...] = ()
    model_calls: int = 0
    exit_code: int = 0

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "first_errors": list(self.first_errors)}


@dataclass(frozen=True, slots=True)
class PlaceProgress:
    """A worker: the splits in its hands, the rows it has answered or put aside, since when."""

    name: str
    splits: tuple[int, ...]
    rows: int
    seconds: float

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands. `stage`: "rows", "joining" or "done"; `rows_resumed` were done before it started; `places`
    are the workers that live."""

    stage: str
    rows_done: int
    rows_total: int
    rows_quarantined: int
    rows_resumed: int
    seconds: float
    places: tuple[PlaceProgress, ...] = ()

    @property
    def rows_per_second(self) -> float:
        return (self.rows_done - self.rows_resumed) / self.seconds if self.seconds > 0 else 0.0

    @property
    def seconds_left(self) -> float | None:
        speed = self.rows_per_second
        return (self.rows_total - self.rows_done) / speed if speed > 0 else None


OnProgress = Callable[[Progress], None]


def allowed_bad_rows(limit: str | int | None, rows_total: int) -> int | None:
    """How many rows may be bad: of "100" or "0.5%" (of all rows, rounded down). None: any number."""
    if limit is None:
        return None
    text = str(limit).strip()
    try:
        if text.endswith("%"):
            share = float(text[:-1])
            allowed = int(rows_total * share / 100)
            if not 0 <= share <= 100:
                raise ValueError(text)
        else:
            allowed = int(text)
            if allowed < 0:
                raise ValueError(text)
    except ValueError:
        raise UsageError(
            f"--max-bad-rows {text!r} is neither a number of rows (100) nor a share of them (0.5%)."
        ) from None
    return allowed


def exit_code_of(rows_quarantined: int, limit: str | int | None) -> int:
    """0: done. 3: done, with rows in quarantine that nobody said were allowed."""
    return 3 if rows_quarantined and limit is None else 0


def error_lines(reasons: Mapping[str, int], first: Sequence[Mapping[str, Any]]) -> list[str]:
    """Counts per reason, most frequent first, and the first five rows, for people."""
    lines = [f"  {count:,} × {reason}" for reason, count in sorted(reasons.items(), key=lambda item: -item[1])]
    for error in first[:FIRST_SHOWN]:
        where = f"{error['field']}: " if error.get("field") and error["field"] not in error["message"] else ""
        lines.append(f"  {error['file']}, row {error['row']}: {where}{error['message']}")
    return lines


def summary(file: str, failures: Mapping[int, RowFailure]) -> tuple[dict[str, int], list[dict[str, Any]]]:
    """Failing rows (of the file) as counts per reason, and the first five: {file, row, code, field, message}."""
    reasons: dict[str, int] = {}
    for failure in failures.values():
        reason = " ".join(part for part in (failure.code, failure.field or failure.kind) if part)
        reasons[reason] = reasons.get(reason, 0) + 1
    first = sorted(failures)[:FIRST_SHOWN]
    return reasons, [{"file": file, "row": row, **failures[row].to_json()} for row in first]


def merge_reasons(into: dict[str, int], more: dict[str, int]) -> None:
    for reason, count in more.items():
        into[reason] = into.get(reason, 0) + count
