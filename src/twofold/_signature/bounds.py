"""Constraints: which a type can have, and one check of each for single values and for whole columns.

Bounds of an integer are folded into its range, so that they stay exact beyond 2**53; bounds of a float are rounded to
its width first, so that the float32 nearest to 0.1 still satisfies `<= 0.1`. NaN satisfies no bound.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twofold._errors import ModelError
from twofold._signature.types import (
    UNCONSTRAINED,
    Bytes,
    Choice,
    Constraints,
    Field,
    Float,
    Int,
    List,
    String,
    Tensor,
    type_name,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

__all__ = [
    "beyond",
    "check_constraints",
    "column_check",
    "int_range",
    "item_field",
    "round_all",
    "round_to",
    "value_check",
]

_NUMERIC = ("ge", "gt", "le", "lt", "multiple_of")
_LENGTH = ("min_length", "max_length")
_TOLERANCE = 1e-9  # of a quotient: 0.3 is a multiple of 0.1

Check = Callable[[Any], bool]
ColumnCheck = Callable[["pa.Array"], "npt.NDArray[np.bool_]"]


def check_constraints(field: Field) -> None:
    """Raise ModelError when the field has a constraint that its type cannot have: none is ever ignored."""
    match field.type:
        case Int() | Float():
            allowed: tuple[str, ...] = _NUMERIC
        case Choice(values):
            allowed = _NUMERIC if isinstance(values[0], int) else ()
        case String():
            allowed = (*_LENGTH, "pattern")
        case Bytes() | List():
            allowed = _LENGTH
        case Tensor(item):
            allowed = (*_LENGTH, *_NUMERIC) if isinstance(item, Int | Float) else _LENGTH
        case _:
            allowed = ()
    given = field.constraints
    for name in (*_NUMERIC, *_LENGTH, "pattern"):
        if getattr(given, name) is not None and name not in allowed:
            raise ModelError(
                f"the field {field.name!r} has the constraint {name}={getattr(given, name)!r}, which cannot be "
                f"enforced on a {type_name(field.type)}. Remove it, or change the field's type.",
                field=field.name,
            )
    if given.pattern is not None:
        try:
            re.compile(given.pattern)
        except re.error as error:
            raise ModelError(
                f"the pattern of the field {field.name!r} is not a regular expression: {error}. Correct the pattern."
            ) from error


def item_field(kind: Tensor, constraints: Constraints) -> Field:
    """The field of one item of a tensor: numeric constraints of a tensor hold for each of its items."""
    numeric = {name: getattr(constraints, name) for name in _NUMERIC}
    return Field("item", kind.item, constraints=Constraints(**numeric) if any(_set(numeric)) else UNCONSTRAINED)


def _set(numeric: dict[str, Any]) -> list[bool]:
    return [value is not None for value in numeric.values()]


def int_range(kind: Int, constraints: Constraints) -> tuple[int, int]:
    """The lowest and the highest integer that fits the type and its bounds, both exact."""
    low, high = kind.low, kind.high
    if constraints.ge is not None and constraints.ge != -math.inf:
        low = max(low, _ceil(constraints.ge, kind.high + 1))
    if constraints.gt is not None and constraints.gt != -math.inf:
        low = max(low, _floor(constraints.gt, kind.high) + 1)
    if constraints.le is not None and constraints.le != math.inf:
        high = min(high, _floor(constraints.le, kind.low - 1))
    if constraints.lt is not None and constraints.lt != math.inf:
        high = min(high, _ceil(constraints.lt, kind.low) - 1)
    return low, high


def beyond(kind: Int, whole: int) -> str:
    """Why an integer is out of range, where the expectation does not name the ends: of 64 bits."""
    outside = kind.bits == 64 and not kind.low <= whole <= kind.high
    return f"out of the range of {type_name(kind)}" if outside else ""


def _ceil(bound: float, otherwise: int) -> int:
    return math.ceil(bound) if math.isfinite(bound) else otherwise


def _floor(bound: float, otherwise: int) -> int:
    return math.floor(bound) if math.isfinite(bound) else otherwise


# "<": without it Python 3.11 packs a finite value beyond float32 as infinity
_FORMATS = {16: struct.Struct("<e"), 32: struct.Struct("<f")}


def round_to(bits: int) -> Callable[[float], float] | None:
    """A function that rounds to the nearest float of this width; OverflowError when a finite value is beyond it."""
    if bits == 64:
        return None
    pack, unpack = _FORMATS[bits].pack, _FORMATS[bits].unpack

    def rounded(value: float) -> float:
        return unpack(pack(value))[0]  # type: ignore[no-any-return]

    return rounded


def round_all(bits: int, length: int | None = None) -> Callable[[list[float]], list[float]]:
    """`round_to` of 32 or 16 bits for all floats of a list in one call; `length`: how many they always are."""
    code = "f" if bits == 32 else "e"
    if length is not None:
        packing = struct.Struct(f"<{length}{code}")
        pack, unpack = packing.pack, packing.unpack
        return lambda values: list(unpack(pack(*values)))

    def rounded(values: list[float]) -> list[float]:
        layout = f"<{len(values)}{code}"
        return list(struct.unpack(layout, struct.pack(layout, *values)))

    return rounded


def _float_bounds(kind: Float, constraints: Constraints) -> Constraints:
    rounded = round_to(kind.bits) or float

    def narrow(bound: float | None) -> float | None:
        if bound is None:
            return None
        try:
            exact = float(bound)
        except OverflowError:
            return math.inf if bound > 0 else -math.inf
        try:
            return rounded(exact)
        except OverflowError:
            return exact

    return Constraints(
        ge=narrow(constraints.ge), gt=narrow(constraints.gt), le=narrow(constraints.le), lt=narrow(constraints.lt)
    )


def value_check(field: Field) -> Check | None:
    """Whether one canonical value satisfies the constraints; None where nothing is left to check."""
    given = field.constraints
    if given == UNCONSTRAINED:
        return None
    checks: list[Check] = []
    match field.type:
        case Float() as kind:
            checks += _bound_checks(_float_bounds(kind, given))
        case Choice():
            checks += _bound_checks(given)
        case _:
            pass  # an integer's bounds are part of its range
    if given.multiple_of is not None and not isinstance(field.type, Tensor):
        checks.append(_multiple_check(given.multiple_of))
    if given.min_length is not None or given.max_length is not None:
        checks.append(_length_check(given.min_length or 0, given.max_length))
    if given.pattern is not None:
        search = re.compile(given.pattern).search
        checks.append(lambda text: search(text) is not None)
    if len(checks) <= 1:
        return checks[0] if checks else None
    return lambda value: all(check(value) for check in checks)


def _bound_checks(given: Constraints) -> list[Check]:
    checks: list[Check] = []
    if (ge := given.ge) is not None:
        checks.append(lambda value: value >= ge)
    if (gt := given.gt) is not None:
        checks.append(lambda value: value > gt)
    if (le := given.le) is not None:
        checks.append(lambda value: value <= le)
    if (lt := given.lt) is not None:
        checks.append(lambda value: value < lt)
    return checks


def _multiple_check(step: float) -> Check:
    def check(value: float) -> bool:
        if isinstance(value, int) and isinstance(step, int):
            return value % step == 0
        quotient = value / step
        if not math.isfinite(quotient):
            return False
        return abs(quotient - round(quotient)) <= _TOLERANCE * max(1.0, abs(quotient))

    return check


def _length_check(low: int, high: int | None) -> Check:
    if high is None:
        return lambda value: len(value) >= low
    return lambda value: low <= len(value) <= high


def column_check(field: Field) -> ColumnCheck | None:
    """The same check for a whole Arrow column of the field's own type; entries that are null may get any answer."""
    given = field.constraints
    if given == UNCONSTRAINED or value_check(field) is None:
        return None
    match field.type:
        case Float() as kind if given.multiple_of is None:
            return _column_bounds(_float_bounds(kind, given))
        case String() if given.pattern is None:
            return _column_lengths("utf8_length", given)
        case Bytes():
            return _column_lengths("binary_length", given)
        case List():
            return _column_lengths("list_value_length", given)
        case _:
            return _cell_by_cell(field)


def _column_bounds(bounds: Constraints) -> ColumnCheck:
    def check(array: pa.Array) -> npt.NDArray[np.bool_]:
        import numpy as np

        values = array.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
        fits = np.ones(len(values), dtype=np.bool_)
        if bounds.ge is not None:
            fits &= values >= bounds.ge
        if bounds.gt is not None:
            fits &= values > bounds.gt
        if bounds.le is not None:
            fits &= values <= bounds.le
        if bounds.lt is not None:
            fits &= values < bounds.lt
        return fits

    return check


def _column_lengths(function: str, given: Constraints) -> ColumnCheck:
    low, high = given.min_length or 0, given.max_length

    def check(array: pa.Array) -> npt.NDArray[np.bool_]:
        import pyarrow.compute as pc

        lengths = pc.fill_null(pc.call_function(function, [array]), low).to_numpy(zero_copy_only=False)
        fits: npt.NDArray[np.bool_] = lengths >= low
        return fits if high is None else fits & (lengths <= high)

    return check


def _cell_by_cell(field: Field) -> ColumnCheck:
    check = value_check(field)
    assert check is not None

    def check_all(array: pa.Array) -> npt.NDArray[np.bool_]:
        import numpy as np

        return np.fromiter((value is None or check(value) for value in array.to_pylist()), np.bool_, len(array))

    return check_all
