"""Arrow columns -> typed columns: vectorised for every type, nested ones by way of their children."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twofold._signature.bounds import int_range
from twofold._signature.column import leaf_reader
from twofold._signature.nested import list_column, struct_column, tensor_column
from twofold._signature.types import (
    Bool,
    Bytes,
    Choice,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    List,
    String,
    Struct,
    Tensor,
    arrow_type,
)
from twofold._signature.values import Rules, value_reader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from twofold._signature.column import ColumnReader, Convert, Mask

__all__ = ["arrow_reader", "choice_members", "narrow_floats", "within_instants", "within_integers"]

MICROS_LOW = -62_135_596_800_000_000  # 0001-01-01T00:00:00Z
MICROS_HIGH = 253_402_300_799_999_999  # 9999-12-31T23:59:59.999999Z
DAY_MICROS = 86_400_000_000


def arrow_reader(field: Field, rules: Rules) -> ColumnReader:
    """The reader of Arrow columns of any type for this field."""
    match field.type:
        case Tensor():
            return tensor_column(field, rules, arrow_reader)
        case List():
            return list_column(field, rules, arrow_reader)
        case Struct():
            return struct_column(field, rules, arrow_reader)
    return leaf_reader(field, rules, _convert(field), value_reader(field, rules))


def _convert(field: Field) -> Convert:
    match field.type:
        case Bool():
            return lambda array: (array, None) if _types().is_boolean(array.type) else None
        case Int() as kind:
            return _int_convert(kind, *int_range(kind, field.constraints))
        case Float() as kind:
            return _float_convert(kind)
        case String():
            return _text_convert
        case Bytes():
            return _bytes_convert
        case Datetime(naive):
            return _instant_convert(naive)
        case Date():
            return _date_convert
        case Choice(values):
            return _choice_convert(values)
    raise AssertionError(field.type)


def _types() -> Any:
    import pyarrow as pa

    return pa.types


def _int_convert(kind: Int, low: int, high: int) -> Convert:
    def convert(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
        import pyarrow as pa

        types, target = pa.types, arrow_type(kind)
        if types.is_integer(array.type):
            if array.type == target and (low, high) == (kind.low, kind.high):
                return array, None
            return array.cast(target, safe=False), within_integers(array, low, high)
        if types.is_floating(array.type):
            return _whole_floats(array, kind, low, high)
        if types.is_decimal(array.type):
            try:
                whole = array.cast(target)
            except pa.ArrowInvalid:
                return None
            return whole, within_integers(whole, low, high)
        return None

    return convert


def within_integers(array: pa.Array, low: int, high: int) -> Mask | None:
    """Which entries of an integer column lie outside of low..high; None where none does."""
    values = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    outside: Mask = (values < low) | (values > high)
    return outside if outside.any() else None


def _whole_floats(array: pa.Array, kind: Int, low: int, high: int) -> tuple[pa.Array, Mask | None]:
    import numpy as np
    import pyarrow as pa

    values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)  # null becomes NaN
    sure = np.isfinite(values) & (np.trunc(values) == values) & (values >= kind.low) & (values < kind.high + 1)
    dtype = np.dtype(f"{'i' if kind.signed else 'u'}{kind.bits // 8}")
    whole = pa.array(np.where(sure, values, 0).astype(dtype), mask=np.isnan(values))
    outside = within_integers(whole, low, high)
    unsure = ~sure if outside is None else ~sure | outside
    return whole, unsure if unsure.any() else None


def _float_convert(kind: Float) -> Convert:
    def convert(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
        import numpy as np
        import pyarrow as pa

        if array.type == arrow_type(kind):
            return array, None
        nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        if pa.types.is_integer(array.type):
            filled = array.fill_null(0) if nulls is not None else array
            return narrow_floats(filled.to_numpy(zero_copy_only=False).astype(np.float64), kind, nulls)
        if pa.types.is_floating(array.type):
            values = array.cast(pa.float64()).to_numpy(zero_copy_only=False)
            return narrow_floats(values, kind, nulls)
        return None

    return convert


def narrow_floats(values: npt.NDArray[np.float64], kind: Float, nulls: Mask | None) -> tuple[pa.Array, Mask | None]:
    """float64 values -> a column of this width, and which finite values lie beyond it."""
    import numpy as np
    import pyarrow as pa

    if kind.bits == 64:
        return pa.array(values, mask=nulls), None
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32 if kind.bits == 32 else np.float16)
    beyond = np.isinf(narrow) & ~np.isinf(values)
    return pa.array(narrow, mask=nulls), beyond if beyond.any() else None


def _text_convert(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
    import pyarrow as pa

    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        return None
    try:
        array.validate(full=True)  # files may hold bytes that are no UTF-8
    except pa.ArrowInvalid:
        return None
    return (array if pa.types.is_string(array.type) else array.cast(pa.string())), None


def _bytes_convert(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
    import pyarrow as pa

    types, kind = pa.types, array.type
    if types.is_binary(kind):
        return array, None
    if types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return array.cast(pa.binary()), None
    return None


def _instant_convert(naive: bool) -> Convert:
    def convert(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
        import numpy as np
        import pyarrow as pa

        if not pa.types.is_timestamp(array.type) or (array.type.tz is None) is not naive:
            return None
        target = arrow_type(Datetime(naive))
        if array.type.unit == "us":
            converted = array.cast(target)
            return converted, within_instants(converted)
        nulls = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
        stored = array.cast(pa.int64())
        ticks = (stored.fill_null(0) if nulls is not None else stored).to_numpy(zero_copy_only=False)
        if array.type.unit == "ns":
            micros = ticks // 1000
            unsure = micros * 1000 != ticks
        else:
            factor = 1_000_000 if array.type.unit == "s" else 1000
            unsure = (ticks < MICROS_LOW // factor) | (ticks > MICROS_HIGH // factor)
            micros = np.where(unsure, 0, ticks) * factor
        return pa.array(micros, mask=nulls).cast(target), unsure if unsure.any() else None

    return convert


def within_instants(array: pa.Array) -> Mask | None:
    """Which entries of a timestamp[us] column lie outside of the years 1 to 9999; None where none does."""
    import pyarrow as pa

    return within_integers(array.cast(pa.int64()), MICROS_LOW, MICROS_HIGH)


def _date_convert(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
    import pyarrow as pa

    low, high = MICROS_LOW // DAY_MICROS, MICROS_HIGH // DAY_MICROS
    if pa.types.is_date32(array.type):
        return array, within_integers(array.cast(pa.int32()), low, high)
    if pa.types.is_date64(array.type):
        nulls = array.is_null().to_numpy(zero_copy_only=False)
        millis = array.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
        days = millis // (DAY_MICROS // 1000)
        unsure = (days * (DAY_MICROS // 1000) != millis) | (days < low) | (days > high)
        kept = (days * ~unsure).astype("int32")
        return pa.array(kept, mask=nulls).cast(pa.date32()), unsure if unsure.any() else None
    return None


def _choice_convert(values: tuple[str, ...] | tuple[int, ...]) -> Convert:
    whole = _int_convert(Int(64), Int(64).low, Int(64).high)

    def convert(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
        found = _text_convert(array) if isinstance(values[0], str) else whole(array)
        return None if found is None else choice_members(*found, values)

    return convert


def choice_members(
    array: pa.Array, unsure: Mask | None, values: tuple[str, ...] | tuple[int, ...]
) -> tuple[pa.Array, Mask | None]:
    """Mark, besides what is unsure already, the entries that are none of the choice's values."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pc.is_in(array, value_set=pa.array(values, array.type)).to_numpy(zero_copy_only=False)
    return array, ~known if unsure is None else unsure | ~known
