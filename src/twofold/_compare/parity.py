"""Are the answers of the two modes the same? Compared row by row, as bytes and as values.

Discrete values must be equal. Floats may differ by `absolute + relative * |batch|`, with the defaults per width that
PyTorch's `assert_close` made usual; NaN equals NaN. A row that only one mode answered differs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from twofold._signature.types import Field, Float, List, Struct, Tensor, Type

if TYPE_CHECKING:
    from twofold._signature import Signature

__all__ = ["TOLERANCES", "Difference", "Outcome", "Parity", "compare_outcomes", "differences"]

# bits: (relative, absolute)
TOLERANCES = {16: (1e-3, 1e-5), 32: (1.3e-6, 1e-5), 64: (1e-7, 1e-7)}

SHOWN_ROWS = 5


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one row in one mode: its canonical output row and the bytes of its JSON, or an error code."""

    row: tuple[Any, ...] | None
    encoded: bytes = b""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """Two values of one output field (dotted path) that are not equal; `size` is |real time - batch|, of floats, and
    `bits` their width."""

    field: str
    real_time: Any
    batch: Any
    size: float | None
    within: bool
    bits: int = 0


@dataclass
class Parity:
    """`rows` asked in both modes; `differ_bytes` includes `differ`, those beyond tolerance.

    `largest` is the largest difference between two floats, with the row it is in; `examples` the first rows that
    differ beyond tolerance, as JSON-ready objects.
    """

    rows: int = 0
    answered: int = 0
    differ_bytes: int = 0
    differ: int = 0
    largest: float = 0.0
    largest_field: str = ""
    largest_row: int | None = None
    examples: list[dict[str, Any]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        largest = self.largest if math.isfinite(self.largest) else "Infinity"
        return {
            "rows": self.rows,
            "answered": self.answered,
            "differ_bytes": self.differ_bytes,
            "differ_beyond_tolerance": self.differ,
            "largest_difference": largest,
            "largest_difference_field": self.largest_field,
            "largest_difference_row": self.largest_row,
            "examples": self.examples,
        }


def compare_outcomes(
    signature: Signature, real_time: Sequence[Sequence[Outcome]], batch: Sequence[Outcome], positions: Sequence[int]
) -> Parity:
    """Compare, row by row, every real-time outcome (a row may have been asked several times) with batch's.

    `positions` are the rows' places in the input, for messages.
    """
    parity = Parity()
    for asked, stored, position in zip(real_time, batch, positions, strict=True):
        parity.rows += 1
        parity.answered += stored.row is not None and all(outcome.row is not None for outcome in asked)
        unlike = [outcome for outcome in asked if _unlike(outcome, stored)]
        if not unlike:
            continue
        parity.differ_bytes += 1
        beyond = [outcome for outcome in unlike if _beyond(signature, outcome, stored, position, parity)]
        if beyond:
            parity.differ += 1
            if len(parity.examples) < SHOWN_ROWS:
                parity.examples.append(_example(signature, position, beyond[0], stored))
    return parity


def _unlike(outcome: Outcome, stored: Outcome) -> bool:
    return outcome.encoded != stored.encoded or (outcome.row is None) != (stored.row is None)


def _beyond(signature: Signature, outcome: Outcome, stored: Outcome, position: int, parity: Parity) -> bool:
    """Whether two unlike outcomes differ beyond tolerance; notes the largest difference."""
    if outcome.row is None or stored.row is None:
        return True
    found = differences(signature.outputs, outcome.row, stored.row)
    for difference in found:
        if difference.size is not None and difference.size > parity.largest:
            parity.largest = difference.size
            parity.largest_field = difference.field
            parity.largest_row = position
    return any(not difference.within for difference in found)


def _example(signature: Signature, position: int, outcome: Outcome, stored: Outcome) -> dict[str, Any]:
    def shown(side: Outcome) -> Any:
        if side.row is None:
            return {"error": {"code": side.error}}
        return signature.json_row(signature.outputs, side.row)

    return {"row": position, "real_time": shown(outcome), "batch": shown(stored)}


def differences(fields: Sequence[Field], left: Sequence[Any], right: Sequence[Any]) -> list[Difference]:
    """The values of two canonical rows that are not equal, in the order of the fields."""
    found: list[Difference] = []
    for one, a, b in zip(fields, left, right, strict=True):
        _walk(one.name, one.type, a, b, found)
    return found


def _walk(path: str, kind: Type, a: Any, b: Any, found: list[Difference]) -> None:
    if a is None or b is None:
        if a is not b:
            found.append(Difference(path, a, b, None, within=False))
        return
    match kind:
        case Float(bits):
            _floats(path, bits, a, b, found)
        case Tensor(item, shape):
            inner: Type = Tensor(item, shape[1:]) if len(shape) > 1 else item
            _items(path, inner, a, b, found)
        case List(item_field):
            _items(path, item_field.type, a, b, found)
        case Struct(fields):
            for one in fields:
                _walk(f"{path}.{one.name}", one.type, a[one.name], b[one.name], found)
        case _:
            if a != b:
                found.append(Difference(path, a, b, None, within=False))


def _items(path: str, kind: Type, a: Sequence[Any], b: Sequence[Any], found: list[Difference]) -> None:
    if len(a) != len(b):
        found.append(Difference(path, a, b, None, within=False))
        return
    for index, (x, y) in enumerate(zip(a, b, strict=True)):
        _walk(f"{path}[{index}]", kind, x, y, found)


def _floats(path: str, bits: int, a: float, b: float, found: list[Difference]) -> None:
    if a == b or (math.isnan(a) and math.isnan(b)):
        return
    size = abs(a - b)
    if math.isnan(size):
        size = math.inf
    relative, absolute = TOLERANCES[bits]
    within = math.isfinite(size) and size <= absolute + relative * abs(b)
    found.append(Difference(path, a, b, size, within, bits))
