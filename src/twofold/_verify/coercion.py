"""What becomes of rows on their way through a protocol: an echo is served, which answers with what arrived."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twofold._fingerprint import Sources
from twofold._flavors.loaded import Loaded
from twofold._signature import Signature
from twofold._verify.asking import Answer, Row
from twofold._verify.experiments import Cause
from twofold._verify.judging import Found, Judge

if TYPE_CHECKING:
    from twofold._columns import Batch
    from twofold._model import Model

__all__ = ["Travelled", "coerced", "echo"]


def echo(signature: Signature) -> Model:
    """A model that answers with its inputs."""
    from twofold._columns import Batch
    from twofold._model import Model

    answering = Signature(signature.inputs, signature.inputs, nulls_as_nan=signature.nulls_as_nan)

    def call(batch: Batch) -> Batch:
        return Batch.from_arrow(batch.arrow())

    loaded = Loaded("echo", answering, "columns", Sources(), "", call=call, call_columns=call)
    return Model(loaded, None, {})


Ask = Callable[[Sequence[Row]], list[Answer]]
"""Asks the model these rows, each in a call of its own."""


class Travelled:
    """Answers that came through the protocol `name` and differ; the rows as they were sent and as they arrived."""

    def __init__(
        self, name: str, found: Found, answers: Sequence[Answer], rows: Sequence[Row], arrived: Sequence[Row | None]
    ) -> None:
        self.name = name
        self.found = found
        self.answers = answers
        self.rows = rows
        self.arrived = arrived

    def changed(self, at: int) -> list[int]:
        """The differing rows whose field number `at` is another than was sent."""
        return [row for row in sorted(self.found.beyond) if self._came(row, at) != repr(self.rows[row][at])]

    def _came(self, row: int, at: int) -> str:
        there = self.arrived[row]
        return repr(self.rows[row][at] if there is None else there[at])

    def with_only(self, row: int, fields: Sequence[int]) -> Row:
        """The row with these fields as they arrived and the others as they were sent."""
        there = self.arrived[row] or self.rows[row]
        return tuple(there[at] if at in fields else value for at, value in enumerate(self.rows[row]))

    def explained(self, ask: Ask, judge: Judge, fields: Sequence[int], outputs: set[str]) -> set[str]:
        """Those of the outputs that a change of these fields alone makes what they are."""
        changed = sorted({row for at in fields for row in self.changed(at)})
        if not changed:
            return set()
        asked = ask([self.with_only(row, fields) for row in changed])
        unlike = judge.found(
            (row, self.answers[row], answer) for row, answer in zip(changed, asked, strict=True)
        ).fields_beyond
        seen = set(changed)
        return {name for name in outputs if name not in unlike and self.found.fields[name].beyond & seen}


def coerced(ask: Ask, judge: Judge, way: Travelled, outputs: set[str], *, ours: bool = True) -> list[Cause]:
    """Why these outputs differ: the fields whose change on the way explains it, or the place.

    One field at a time: the model is asked with this one as it arrived and the others as they were sent. Where its
    answers are those that came through, that field is the cause. `ours`: it is the same model at the other end, so that
    what no field explains is the place.
    """
    causes: list[Cause] = []
    left = set(outputs)
    changing = [at for at in range(len(judge.signature.inputs)) if way.changed(at)]
    for fields in [*([at] for at in changing), changing]:
        explained = way.explained(ask, judge, fields, left)
        for at in fields if explained else ():
            row = way.changed(at)[0]
            sent, came = way.rows[row][at], way.with_only(row, [at])[at]
            name = judge.signature.inputs[at].name
            shown = f"row {row}: {sent!r} was sent, {came!r} arrived"
            causes.append(Cause("coercion", tuple(sorted(explained)), shown, name, way.name))
        left -= explained
    if left and ours:
        example = judge.example(way.found, left, "there", "in a call of its own")
        shown = f"through {way.name} it is asked with the same values, and answers otherwise; {example}"
        causes.append(Cause("place", tuple(sorted(left)), shown, through=way.name))
    return causes
