"""When two answers to a row count as the same, and what is said of those that do not."""

from __future__ import annotations

import json
import math
import struct
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twofold._compare.parity import TOLERANCES, Difference, differences
from twofold._signature import Signature
from twofold._verify.asking import Answer

__all__ = ["FAILURE", "FieldFound", "Found", "Judge", "Tolerance"]

FAILURE = "(failure)"
"""Stands for a field where one side has an answer and the other none, or another error."""
SHOWN_ROWS = 5

Pair = tuple[int, Answer, Answer]
"""A row's place in the table, an answer to it, and the one it should be."""


@dataclass(frozen=True, slots=True)
class Tolerance:
    """Floats are the same up to `atol + rtol * |reference|`; None: what is usual for their width. All else must be
    equal."""

    rtol: float | None = None
    atol: float | None = None

    def holds(self, found: Difference) -> bool:
        if found.size is None or not math.isfinite(found.size):
            return False
        relative, absolute = TOLERANCES[found.bits]
        relative = relative if self.rtol is None else self.rtol
        absolute = absolute if self.atol is None else self.atol
        return bool(found.size <= absolute + relative * abs(found.batch))


@dataclass
class FieldFound:
    """What is known of one output field. `differ` are the rows whose bytes differ, `beyond` those beyond tolerance,
    `flips` those with another discrete value. The largest differences are those of floats; `ulp`: in units of the last
    place, None where there is none to count."""

    differ: set[int] = field(default_factory=set)
    beyond: set[int] = field(default_factory=set)
    flips: set[int] = field(default_factory=set)
    absolute: float = 0.0
    relative: float = 0.0
    ulp: int | None = None
    largest_row: int | None = None

    def add(self, other: FieldFound) -> None:
        self.differ |= other.differ
        self.beyond |= other.beyond
        self.flips |= other.flips
        if other.absolute > self.absolute:
            self.absolute, self.largest_row = other.absolute, other.largest_row
        self.relative = max(self.relative, other.relative)
        self.ulp = max((ulp for ulp in (self.ulp, other.ulp) if ulp is not None), default=None)


@dataclass
class Found:
    """What a number of answers, beside those they should be, showed: by output field, and the first rows beyond
    tolerance."""

    rows: int = 0
    fields: dict[str, FieldFound] = field(default_factory=dict)
    examples: list[Pair] = field(default_factory=list)

    @property
    def differ(self) -> set[int]:
        return {row for found in self.fields.values() for row in found.differ}

    @property
    def beyond(self) -> set[int]:
        return {row for found in self.fields.values() for row in found.beyond}

    @property
    def fields_beyond(self) -> set[str]:
        return {name for name, found in self.fields.items() if found.beyond}


class Judge:
    """Compares answers of one signature by one tolerance. `positions`: of the rows in the input, for messages."""

    def __init__(self, signature: Signature, tolerance: Tolerance, positions: Sequence[int] | None = None) -> None:
        self.signature = signature
        self.positions = positions
        self.tolerance = tolerance
        self._outputs = signature.outputs
        self._decode = Signature(signature.outputs, ()).decode_row

    def found(self, pairs: Iterable[Pair]) -> Found:
        result = Found()
        for row, answer, reference in pairs:
            result.rows += 1
            if answer != reference:
                self._look(result, row, answer, reference)
        return result

    def _look(self, result: Found, row: int, answer: Answer, reference: Answer) -> None:
        before = len(result.beyond)
        if answer.error or reference.error:
            if answer.error and reference.error and "*" in (answer.error[0], reference.error[0]):
                return  # it is not known by our word which error it was
            unlike = result.fields.setdefault(FAILURE, FieldFound())
            unlike.differ.add(row)
            unlike.beyond.add(row)
        else:
            values = zip(self._outputs, self._decode(answer.encoded), self._decode(reference.encoded), strict=True)
            for output, left, right in values:
                if repr(left) != repr(right):
                    one = self._field(row, differences([output], (left,), (right,)))
                    result.fields.setdefault(output.name, FieldFound()).add(one)
        if len(result.beyond) > before and len(result.examples) < SHOWN_ROWS:
            result.examples.append((row, answer, reference))

    def _field(self, row: int, unequal: Sequence[Difference]) -> FieldFound:
        """Of a field whose bytes are not the same in one row (0.0 and -0.0 are equal)."""
        found = FieldFound(differ={row})
        for one in unequal:
            if not self.tolerance.holds(one):
                found.beyond.add(row)
            if one.size is None:
                found.flips.add(row)
                continue
            size, against = one.size, abs(one.batch)
            ulp = _ulps(one.real_time, one.batch, one.bits) if math.isfinite(size) else None
            relative = size / against if against else math.inf
            found.add(FieldFound(absolute=size, relative=relative, ulp=ulp, largest_row=row))
        return found

    def shown(self, answer: Answer) -> str:
        """An answer in a message."""
        text = f"no answer ({answer.error})" if answer.error else answer.encoded.decode()
        return textwrap.shorten(text, 100, placeholder=" …")

    def example(self, found: Found, outputs: Iterable[str], now: str, before: str) -> str:
        """`row 3: … before, … now`, of the first row that differs in one of these outputs."""
        rows = {row for name in outputs for row in found.fields[name].beyond}
        for row, answer, reference in found.examples:
            if row in rows:
                at = row if self.positions is None else self.positions[row]
                return f"row {at}: {self.shown(reference)} {before}, {self.shown(answer)} {now}"
        return f"{len(rows):,} rows"

    def json(self, answer: Answer) -> Any:
        return {"error": {"code": answer.error}} if answer.error else json.loads(answer.encoded)


_FORMATS = {16: ("<e", "<h"), 32: ("<f", "<i"), 64: ("<d", "<q")}


def _ulps(left: float, right: float, bits: int) -> int:
    """How many floats of this width lie between the two, one of them counted."""
    return abs(_place(left, bits) - _place(right, bits))


def _place(value: float, bits: int) -> int:
    """A float's place among all of its width."""
    as_float, as_int = _FORMATS[bits]
    (number,) = struct.unpack(as_int, struct.pack(as_float, value))
    return int(number) if number >= 0 else -(int(number) + (1 << (bits - 1)))
