"""Whole columns: the frame that every vectorised reader stands in.

A vectorised reader converts what it is certain of and marks the rest; the rest goes cell by cell through the scalar
reader of the same field, which decides. So a column is read exactly as its cells would be, one after the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from twofold._columns.codecs import codec_of, python_values
from twofold._signature.bounds import column_check
from twofold._signature.misfit import Misfit
from twofold._signature.types import Field, Float, arrow_type
from twofold._signature.values import Reader, Rules

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    Mask: TypeAlias = npt.NDArray[np.bool_]
    # (column) -> (converted column, the entries it is not certain of); None: certain of none
    Convert: TypeAlias = Callable[[pa.Array], tuple[pa.Array, Mask | None] | None]
    # (column) -> (typed column, what does not fit by index; those entries are not to be used)
    ColumnReader: TypeAlias = Callable[[pa.Array], tuple[pa.Array, dict[int, Misfit]]]

__all__ = ["OpaqueCell", "assemble", "cells", "is_null_mask", "leaf_reader", "plain_array", "read_cells"]


class OpaqueCell:
    """A stored value that Python has no type for, such as an instant of the year 20000; shown as its text."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


def plain_array(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array, without dictionaries, run ends, views or storage behind an extension."""
    import pyarrow as pa

    array = column
    if isinstance(array, pa.ChunkedArray):
        chunks = array.chunks
        array = chunks[0] if len(chunks) == 1 else pa.concat_arrays(chunks) if chunks else pa.array([], array.type)
    if isinstance(array, pa.DictionaryArray):
        return array.dictionary_decode()
    if pa.types.is_run_end_encoded(array.type):
        import pyarrow.compute as pc  # 25 ms, which most columns need not cost

        return pc.run_end_decode(array)
    if pa.types.is_string_view(array.type) or pa.types.is_binary_view(array.type):  # few kernels take these
        return array.cast(pa.string() if pa.types.is_string_view(array.type) else pa.binary())
    if isinstance(array, pa.ExtensionArray) and not isinstance(array, pa.FixedShapeTensorArray):
        return array.storage
    return array


def is_null_mask(array: pa.Array) -> Mask:
    mask: Mask = array.is_null().to_numpy(zero_copy_only=False)
    return mask


def cells(array: pa.Array, positions: Sequence[int] | None = None) -> list[Any]:
    """The entries (those at `positions`) as Python values."""
    import pyarrow as pa

    chosen = array if positions is None else array.take(pa.array(positions, pa.int64()))
    try:
        if not _holds_time(chosen.type):
            return python_values(chosen)
        plain: list[Any] = chosen.to_pylist()
        return plain
    except (ValueError, OverflowError, TypeError, ArithmeticError, pa.ArrowException):
        return [_cell(scalar) for scalar in chosen]


def _holds_time(kind: pa.DataType) -> bool:
    """Whether there are moments in it, which Python may not be able to hold."""
    import pyarrow as pa

    if pa.types.is_nested(kind):
        return any(_holds_time(kind.field(at).type) for at in range(kind.num_fields))
    return bool(pa.types.is_temporal(kind))


def _cell(scalar: pa.Scalar) -> Any:
    import pyarrow as pa

    if not scalar.is_valid:
        return None
    if isinstance(scalar, pa.StructScalar):
        return {name: _cell(scalar[name]) for name in scalar}
    if isinstance(scalar, pa.ListScalar | pa.LargeListScalar | pa.FixedSizeListScalar):
        return [_cell(item) for item in scalar.values]
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, TypeError, ArithmeticError):
        return OpaqueCell(_text_of(scalar))


def _text_of(scalar: pa.Scalar) -> str:
    import pyarrow as pa

    try:
        return str(scalar.cast(pa.string()).as_py())
    except UnicodeDecodeError:
        return "text that is no UTF-8"
    except (pa.ArrowException, ValueError):
        return f"a {scalar.type} that Python cannot hold"


def read_cells(
    values: Sequence[Any], positions: Sequence[int], read: Reader
) -> tuple[dict[int, Any], dict[int, Misfit]]:
    """Read these values one by one; results and misfits by the positions they stand at."""
    fits: dict[int, Any] = {}
    errors: dict[int, Misfit] = {}
    for position, value in zip(positions, values, strict=True):
        try:
            fits[position] = read(value)
        except Misfit as misfit:
            errors[position] = misfit
    return fits, errors


def assemble(n_rows: int, part: pa.Array, places: npt.NDArray[np.int64] | None, single: dict[int, Any]) -> pa.Array:
    """A column of `n_rows` out of `part`, whose entries stand at `places` (None: everywhere), and of single values."""
    import numpy as np
    import pyarrow as pa

    if places is None and not single:
        return part
    source = np.full(n_rows, -1, dtype=np.int64)
    source[slice(None) if places is None else places] = np.arange(len(part))
    pieces = [part]
    if single:
        pieces.append(codec_of(part.type, True).arrow_from_values(list(single.values())))
        source[np.fromiter(single, np.int64, len(single))] = len(part) + np.arange(len(single))
    return pa.concat_arrays(pieces).take(pa.array(source, mask=source < 0))


def leaf_reader(field: Field, rules: Rules, convert: Convert, read: Reader) -> ColumnReader:
    """The reader of a column without children: `convert` where it is certain, `read` for the rest."""
    check = column_check(field)
    null_is_nan = rules.nulls_as_nan and isinstance(field.type, Float) and not field.nullable and check is None

    def read_column(array: pa.Array) -> tuple[pa.Array, dict[int, Misfit]]:
        import numpy as np

        array = plain_array(array)
        converted, unsure = _converted(array, arrow_type(field.type), convert)
        if check is not None:
            misses = ~check(converted)
            unsure = misses if unsure is None else unsure | misses
        if array.null_count:
            nulls = is_null_mask(array)
            if null_is_nan:
                converted = _with_nan(converted, nulls)
            if not field.nullable and not null_is_nan:
                unsure = nulls if unsure is None else unsure | nulls
            elif unsure is not None:
                unsure = unsure & ~nulls
        if unsure is None or not unsure.any():
            return converted, {}
        positions = np.flatnonzero(unsure).tolist()
        single, errors = read_cells(cells(array, positions), positions, read)
        return assemble(len(array), converted, None, single), errors

    return read_column


def _converted(array: pa.Array, target: pa.DataType, convert: Convert) -> tuple[pa.Array, Mask | None]:
    import numpy as np
    import pyarrow as pa

    if pa.types.is_null(array.type):
        return pa.nulls(len(array), target), None
    found = convert(array)
    return (pa.nulls(len(array), target), np.ones(len(array), dtype=np.bool_)) if found is None else found


def _with_nan(column: pa.Array, nulls: Mask) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    values = column.to_numpy(zero_copy_only=False).copy()
    values[nulls] = np.nan
    return pa.array(values, type=column.type)
