"""Why answers differ. Each cause has an experiment of its own, and is named where that experiment shows it.

unseeded randomness   the same calls in two fresh processes
state                 the same call twice in one process, and in another order
row order             the same rows in one call, in another order
neighbours            one row among copies of itself; and one row of a call changed, its neighbours looked at
batch size            what is left: alone against together
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from twofold._verify.asking import Answer, Subject
from twofold._verify.judging import Found, Judge
from twofold._verify.shapes import full_calls

__all__ = ["CAUSES", "Cause", "within_calls", "within_process"]

CAUSES = {
    "randomness": "unseeded randomness",
    "state": "state kept between calls",
    "state_or_randomness": "state kept between calls, or unseeded randomness",
    "row_order": "row order",
    "neighbours": "batch-dependent preprocessing",
    "batch_size": "batch size",
    "coercion": "coercion",
    "place": "the place where it runs",
}
LOOKED_CALLS = 4
LOOKED_ROWS = 8
SEED = 11


@dataclass(frozen=True, slots=True)
class Cause:
    """Why answers differ: a key of CAUSES, the output fields it was seen in, and what the experiment showed. Of a
    coercion, `field` is the input that changes on its way, and `through` the protocol."""

    kind: str
    outputs: tuple[str, ...]
    shown: str
    field: str = ""
    through: str = ""

    def __str__(self) -> str:
        name = CAUSES[self.kind]
        if self.kind == "coercion":
            name = f"coercion of field {self.field!r} through {self.through}"
        return f"{name}, in {', '.join(map(repr, self.outputs))}: {self.shown}"

    def to_json(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value} | {"name": CAUSES[self.kind]}


def _outputs(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(names))


def within_process(judge: Judge, again: Sequence[Found], fresh: Found | None) -> list[Cause]:
    """Of the rows asked alone: again in the same process, and in a fresh one (None: there is none)."""
    causes = []
    random_fields = fresh.fields_beyond if fresh is not None else set()
    if fresh is not None and random_fields:
        example = judge.example(fresh, random_fields, "in the other", "in the one")
        causes.append(
            Cause("randomness", _outputs(random_fields), f"two fresh processes, the same calls in each; {example}")
        )
    for found in again:
        kept = found.fields_beyond - random_fields
        if kept:
            kind = "state" if fresh is not None else "state_or_randomness"
            example = judge.example(found, kept, "later", "at first")
            causes.append(Cause(kind, _outputs(kept), f"the same row alone, twice in one process; {example}"))
            break
    return causes


def within_calls(subject: Subject, judge: Judge, n_rows: int, size: int, found: Found, blamed: set[str]) -> list[Cause]:
    """Of rows that differ in calls of `size` rows from what they are alone, in outputs that are not `blamed` yet."""
    outputs = found.fields_beyond - blamed
    rows = sorted(row for name in outputs for row in found.fields[name].beyond)
    calls = [call for call in full_calls(range(n_rows), size) if set(rows) & set(call)][:LOOKED_CALLS]
    as_it_is = subject.ask(calls)
    causes = []
    for kind, experiment in (("row_order", _other_order), ("neighbours", _other_neighbours)):
        seen, how = experiment(subject, judge, calls, as_it_is, rows)
        named = seen.fields_beyond & outputs
        if named:
            now, before = ("so", "as they stood")
            shown = f"calls of {size} rows, {how}; {judge.example(seen, named, now, before)}"
            causes.append(Cause(kind, _outputs(named), shown))
            outputs -= named
    if outputs:
        example = judge.example(found, outputs, f"in a call of {size}", "alone")
        causes.append(Cause("batch_size", _outputs(outputs), f"neither order nor other rows change it; {example}"))
    return causes


Calls = list[list[int]]
Asked = list[list[Answer]]


def _other_order(
    subject: Subject,
    judge: Judge,
    calls: Calls,
    as_it_is: Asked,
    rows: Sequence[int],  # noqa: ARG001
) -> tuple[Found, str]:
    """The same rows backwards, and mixed."""
    mixing = random.Random(SEED)
    pairs = []
    for places, answers in zip(calls, as_it_is, strict=True):
        backwards = list(range(len(places)))[::-1]
        mixed = mixing.sample(backwards, len(backwards))
        for order, asked in zip(
            (backwards, mixed), subject.ask([[places[at] for at in o] for o in (backwards, mixed)]), strict=True
        ):
            pairs += [(places[at], answer, answers[at]) for at, answer in zip(order, asked, strict=True)]
    return judge.found(pairs), "with their rows in another order"


def _other_neighbours(
    subject: Subject, judge: Judge, calls: Calls, as_it_is: Asked, rows: Sequence[int]
) -> tuple[Found, str]:
    """A row among copies of itself; where that shows nothing, one row of a call changed for another."""
    wanted = set(rows)
    pairs = []
    for places, answers in zip(calls, as_it_is, strict=True):
        for at in [at for at, row in enumerate(places) if row in wanted][:LOOKED_ROWS]:
            (asked,) = subject.ask([[places[at]] * len(places)])
            pairs.append((places[at], asked[at], answers[at]))
    found = judge.found(pairs)
    if found.beyond:
        return found, "with the other rows replaced by copies of the row"
    pairs = []
    for places, answers in zip(calls, as_it_is, strict=True):
        for at in range(0, len(places), max(1, len(places) // LOOKED_ROWS)):
            changed = [*places[:at], places[(at + 1) % len(places)], *places[at + 1 :]]
            (asked,) = subject.ask([changed])
            beside = [other for other in range(len(places)) if other != at]
            pairs += [(places[other], asked[other], answers[other]) for other in beside]
    return judge.found(pairs), "with one other row changed"
