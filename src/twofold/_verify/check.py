"""One model and a table of rows, asked in every way there is; what differs, and why."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twofold._errors import UsageError
from twofold._verify.asking import Answer, Row, Subject
from twofold._verify.experiments import Cause, within_calls, within_process
from twofold._verify.judging import FieldFound, Found, Judge, Tolerance
from twofold._verify.shapes import Exact, sizes_of, smallest_exact, widened

__all__ = ["Checked", "Pass", "VerifyOptions", "Ways", "check"]

SEED = 3

Ways = Callable[[Sequence[Answer]], Iterable[tuple[str, Sequence[Answer]]]]
"""Given the answers of the rows alone, asks in further ways: the name of each, and answers in the table's order."""
OnStage = Callable[[str], None]


@dataclass(frozen=True)
class VerifyOptions:
    """How answers are compared. `limit_rows`: the first rows of the input. `map`: as for batch. `rtol`, `atol`: of
    floats (None: what is usual for their width). `deadline_s`: how long one request may take. `expect`: columns of the
    answers that are expected, COLUMN or OUTPUT=COLUMN. `against`: other models, URLs, files of predictions."""

    limit_rows: int = 1000
    map: dict[str, str] = field(default_factory=dict)
    rtol: float | None = None
    atol: float | None = None
    deadline_s: float = 300.0
    expect: tuple[str, ...] = ()
    against: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("limit_rows", "deadline_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name} must be more than 0, and {getattr(self, name)} was given.")
        for name in ("rtol", "atol"):
            given = getattr(self, name)
            if given is not None and not 0 <= given < float("inf"):
                raise UsageError(f"{name} must be at least 0, and {given} was given.")

    @property
    def tolerance(self) -> Tolerance:
        return Tolerance(self.rtol, self.atol)


@dataclass(frozen=True)
class Pass:
    """All rows asked in one way, beside their answers alone."""

    name: str
    found: Found


@dataclass
class Checked:
    """`exact`: the smallest call that is bit-exact against all larger ones, where there is one."""

    reference: list[Answer] = field(default_factory=list)
    passes: list[Pass] = field(default_factory=list)
    causes: list[Cause] = field(default_factory=list)
    exact: Exact | None = None

    @property
    def blamed(self) -> set[str]:
        return {name for cause in self.causes for name in cause.outputs}

    @property
    def fields(self) -> dict[str, FieldFound]:
        """What is known of each output, over all passes."""
        found: dict[str, FieldFound] = {}
        for one in self.passes:
            for name, seen in one.found.fields.items():
                found.setdefault(name, FieldFound()).add(seen)
        return found

    @property
    def beyond(self) -> set[int]:
        return {row for one in self.passes for row in one.found.beyond}

    @property
    def differ(self) -> set[int]:
        return {row for one in self.passes for row in one.found.differ}


class _Check:
    def __init__(self, subject: Subject, rows: Sequence[Row], judge: Judge, on_stage: OnStage) -> None:
        self.subject = subject
        self.judge = judge
        self.order = range(len(rows))
        self.on_stage = on_stage
        self.found = Checked()
        self._by_size: dict[int, Sequence[Answer]] = {}

    def add(self, name: str, answers: Sequence[Answer]) -> Found:
        found = self.judge.found(zip(self.order, answers, self.found.reference, strict=True))
        self.found.passes.append(Pass(name, found))
        return found

    def _mixed(self) -> list[int]:
        return random.Random(SEED).sample(self.order, len(self.order))

    def alone(self) -> None:
        """Each row in a call of its own: once for reference, again, in another order, and in a fresh process."""
        self.on_stage("each row alone")
        reference = self.found.reference = [answers[0] for answers in self.subject.ask([[at] for at in self.order])]
        self._by_size[1] = reference
        again = [
            self.add("alone, again", widened(self.subject, self.order, 1)),
            self.add("alone, in another order", widened(self.subject, self._mixed(), 1)),
        ]
        fresh = self.subject.twice_fresh(reference, any(found.beyond for found in again))
        seen = None
        if fresh is not None:
            seen = self.judge.found(zip(self.order, fresh[1], fresh[0], strict=True))
            self.found.passes.append(Pass("alone, in a fresh process", seen))
        self.found.causes += within_process(self.judge, again, seen)

    def together(self) -> None:
        """In batches of each size, and all of them shuffled."""
        n_rows = len(self.order)
        seen: list[tuple[int, Found]] = []
        for size in sizes_of(n_rows):
            self.on_stage(f"batches of {size:,}")
            answers = self._by_size[size] = widened(self.subject, self.order, size)
            seen.append((size, self.add(f"in batches of {size:,}", answers)))
        if seen:
            shuffled = widened(self.subject, self._mixed(), n_rows)
            seen.append((n_rows, self.add(f"in a batch of {n_rows:,}, shuffled", shuffled)))
        for size, found in seen:
            blamed = self.found.blamed
            if found.fields_beyond - blamed:
                self.on_stage(f"why batches of {size:,} differ")
                self.found.causes += within_calls(self.subject, self.judge, n_rows, size, found, blamed)

    def exact(self) -> None:
        if self.found.causes or len(self.order) < 2:
            return
        self.on_stage("the smallest call that is bit-exact")
        self.found.exact = smallest_exact(self.subject, len(self.order), self._by_size)


Explain = Callable[[str, Found, Sequence[Answer], set[str]], list[Cause]]
"""Why the answers of a way differ in outputs that are not blamed yet."""


def check(
    subject: Subject,
    rows: Sequence[Row],
    judge: Judge,
    ways: Ways,
    explain: Explain,
    on_stage: OnStage = lambda _: None,
) -> Checked:
    """Ask the rows alone, in batches, and in all further `ways`; find the causes of what differs."""
    one = _Check(subject, rows, judge, on_stage)
    one.alone()
    one.together()
    for name, answers in ways(one.found.reference):
        found = one.add(name, answers)
        if found.fields_beyond - one.found.blamed:
            one.found.causes += explain(name, found, answers, one.found.blamed)
    one.exact()
    return one.found


def as_json(checked: Checked, judge: Judge, positions: Sequence[int]) -> dict[str, Any]:
    """Passes, outputs, causes and the exact shape, for programs; rows by their positions in the input."""
    return {
        "passes": [
            {
                "name": one.name,
                "rows": one.found.rows,
                "differ_bytes": len(one.found.differ),
                "differ": len(one.found.beyond),
            }
            for one in checked.passes
        ],
        "fields": {name: _field_json(found, positions) for name, found in checked.fields.items()},
        "causes": [cause.to_json() for cause in checked.causes],
        "examples": [
            {"row": positions[row], "way": one.name, "answer": judge.json(answer), "alone": judge.json(reference)}
            for one in checked.passes
            for row, answer, reference in one.found.examples[:1]
        ],
        "exact": None if checked.exact is None else _exact_json(checked.exact),
    }


def _field_json(found: FieldFound, positions: Sequence[int]) -> dict[str, Any]:
    return {
        "differ_bytes": len(found.differ),
        "differ": len(found.beyond),
        "flips": len(found.flips),
        "largest_absolute": _number(found.absolute),
        "largest_relative": _number(found.relative),
        "largest_ulp": found.ulp,
        "largest_row": None if found.largest_row is None else positions[found.largest_row],
        "first_rows": [positions[row] for row in sorted(found.beyond)[:5]],
    }


def _number(value: float) -> float | str:
    return value if value < float("inf") else "Infinity"


def _exact_json(exact: Exact) -> dict[str, Any]:
    return {"rows": exact.rows, "seconds": exact.seconds, "one_row_s": exact.one_row_s}
