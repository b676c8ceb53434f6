"""CSV cells -> typed values: every cell is text, an empty unquoted one is null. Scalar and vectorised.

Numbers are read by way of float64 or exactly as integers, booleans are true and false in any case, instants RFC 3339,
bytes base64; lists and structs are JSON in the cell.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twofold._errors import NotJson
from twofold._signature.arrow import choice_members, narrow_floats, within_instants, within_integers
from twofold._signature.bounds import beyond, int_range, round_to, value_check
from twofold._signature.column import leaf_reader
from twofold._signature.decode import decode_exactly
from twofold._signature.misfit import Misfit, expected_words
from twofold._signature.numbers import float_of_text, int_of_text
from twofold._signature.types import (
    Bool,
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
from twofold._signature.values import Reader, Rules, null_value, value_reader

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._signature.column import ColumnReader, Convert, Mask

__all__ = ["text_column_reader", "text_reader"]

_INT = r"^-?[0-9]{1,18}$"
_NUMBER = r"^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?$"
_MOMENT = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_CLOCK = r"[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?"
_ZONE = r"(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"


def text_reader(field: Field, rules: Rules) -> Reader:
    """The reader of one cell: text, or None for an empty unquoted cell."""
    expected = expected_words(field)
    read = _scalar(field, expected, rules)
    check = value_check(field)
    null = null_value(field, rules)

    def read_cell(text: str | None) -> Any:
        if text is None:
            return null()
        value = read(text)
        if check is not None and not check(value):
            raise Misfit(expected, text)
        return value

    return read_cell


def _scalar(field: Field, expected: str, rules: Rules) -> Reader:
    kind = field.type
    match kind:
        case Bool():
            return lambda text: _read_bool(text, expected)
        case Int():
            low, high = int_range(kind, field.constraints)
            return lambda text: _read_int(text, kind, low, high, expected)
        case Float(bits):
            return _float_cell(bits, expected)
        case Choice(values) if isinstance(values[0], int):
            read_value = value_reader(field)
            return lambda text: read_value(_read_whole(text, expected))
        case Tensor() | List() | Struct():
            return _json_cell(value_reader(field, rules), expected)
        case _:  # text is the value, or what a JSON string would be
            return value_reader(Field(field.name, kind, field.nullable))


def _read_bool(text: str, expected: str) -> bool:
    word = text.lower()
    if word in ("true", "false"):
        return word == "true"
    raise Misfit(expected, text)


def _read_whole(text: str, expected: str) -> int:
    whole = int_of_text(text)
    if whole is None:
        raise Misfit(expected, text)
    return whole


def _read_int(text: str, kind: Int, low: int, high: int, expected: str) -> int:
    whole = _read_whole(text, expected)
    if not low <= whole <= high:
        raise Misfit(expected, text, beyond(kind, whole))
    return whole


def _float_cell(bits: int, expected: str) -> Reader:
    rounded = round_to(bits)

    def read(text: str) -> float:
        try:
            number = float_of_text(text)
            if number is None:
                raise Misfit(expected, text)
            return number if rounded is None else rounded(number)
        except OverflowError:
            raise Misfit(expected, text, f"out of the range of float{bits}") from None

    return read


def _json_cell(read: Reader, expected: str) -> Reader:
    def read_cell(text: str) -> Any:
        try:
            value = decode_exactly(text)
        except NotJson:
            raise Misfit(expected, text, "lists and structs are written as JSON") from None
        if value is None:
            raise Misfit(expected, text, "an empty cell is null, the word is not")
        return read(value)

    return read_cell


def text_column_reader(field: Field, rules: Rules) -> ColumnReader:
    """The reader of a whole column of cells."""
    return leaf_reader(field, rules, _convert(field), text_reader(field, rules))


def _convert(field: Field) -> Convert:
    kind = field.type
    match kind:
        case Bool():
            return _bools
        case Int():
            return _ints(kind, *int_range(kind, field.constraints))
        case Float():
            return _floats(kind)
        case String():
            return lambda array: (array, None)
        case Datetime(naive):
            return _instants(naive)
        case Date():
            return _dates
        case Choice(values):
            whole = _ints(Int(64), Int(64).low, Int(64).high)

            def members(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
                found = (array, None) if isinstance(values[0], str) else whole(array)
                return None if found is None else choice_members(*found, values)

            return members
        case _:
            return _uncertain


def _uncertain(array: pa.Array) -> None:
    """For types that are read cell by cell."""


def _bools(array: pa.Array) -> tuple[pa.Array, Mask | None]:
    import pyarrow.compute as pc

    lower = pc.ascii_lower(array)
    true, false = pc.equal(lower, "true"), pc.equal(lower, "false")
    known = pc.fill_null(pc.or_(true, false), True).to_numpy(zero_copy_only=False)
    return true, ~known


def _matching(array: pa.Array, pattern: str) -> tuple[pa.Array, Mask | None]:
    """The column with null wherever the text does not match, and where that is."""
    import pyarrow as pa
    import pyarrow.compute as pc

    matches = pc.match_substring_regex(array, pattern)
    matches = pc.fill_null(matches, False)
    unsure = ~matches.to_numpy(zero_copy_only=False)
    if not unsure.any():
        return array, None
    return pc.if_else(matches, array, pa.scalar(None, array.type)), unsure


def _ints(kind: Int, low: int, high: int) -> Convert:
    def convert(array: pa.Array) -> tuple[pa.Array, Mask | None]:
        import pyarrow as pa

        wide = pa.int64() if kind.signed else pa.uint64()
        unsure: Mask | None = None
        try:
            if _holds_hexadecimal(array):  # which Arrow would read as numbers
                raise pa.ArrowInvalid
            whole = array.cast(wide)
        except pa.ArrowInvalid:
            regular, unsure = _matching(array, _INT if kind.signed else _INT.replace("-?", ""))
            whole = regular.cast(wide)
        outside = within_integers(whole, low, high)
        if outside is not None:
            unsure = outside if unsure is None else unsure | outside
        return whole.cast(arrow_type(kind), safe=False), unsure

    return convert


def _holds_hexadecimal(array: pa.Array) -> bool:
    import numpy as np

    letters = array.buffers()[2]
    if letters is None:
        return False
    codes = np.frombuffer(letters, dtype=np.uint8)
    return bool(((codes | 32) == ord("x")).any())


def _floats(kind: Float) -> Convert:
    def convert(array: pa.Array) -> tuple[pa.Array, Mask | None]:
        import numpy as np
        import pyarrow as pa

        unsure: Mask | None = None
        try:
            numbers = array.cast(pa.float64())
        except pa.ArrowInvalid:
            regular, unsure = _matching(array, _NUMBER)
            numbers = regular.cast(pa.float64())
        values = numbers.to_numpy(zero_copy_only=False)
        # words, overflow and -0 have rules of their own
        special = ~np.isfinite(values) | ((values == 0) & np.signbit(values))
        nulls = numbers.is_null().to_numpy(zero_copy_only=False) if numbers.null_count else None
        column, beyond = narrow_floats(values, kind, nulls)
        for mask in (special if special.any() else None, beyond):
            if mask is not None:
                unsure = mask if unsure is None else unsure | mask
        return column, unsure

    return convert


def _instants(naive: bool) -> Convert:
    pattern = f"^{_MOMENT}{_CLOCK}{'' if naive else _ZONE}$"

    def convert(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
        import pyarrow as pa

        regular, unsure = _matching(array, pattern)
        try:
            moments = regular.cast(arrow_type(Datetime(naive)))
        except pa.ArrowInvalid:  # a 30th of February somewhere
            return None
        outside = within_instants(moments)
        if outside is not None:
            unsure = outside if unsure is None else unsure | outside
        return moments, unsure

    return convert


def _dates(array: pa.Array) -> tuple[pa.Array, Mask | None] | None:
    import pyarrow as pa

    regular, unsure = _matching(array, f"^{_MOMENT}$")
    try:
        days = regular.cast(pa.date32())
    except pa.ArrowInvalid:
        return None
    outside = within_integers(days.cast(pa.int32()), -719_162, 2_932_896)
    if outside is not None:
        unsure = outside if unsure is None else unsure | outside
    return days, unsure
