"""Nested Arrow columns: fixed tensors, lists and structs, each read through the columns of their children."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twofold._columns.codecs import codec_of
from twofold._signature.bounds import column_check, item_field
from twofold._signature.column import assemble, cells, is_null_mask, plain_array, read_cells
from twofold._signature.misfit import Misfit, expected_words
from twofold._signature.types import Field, List, Struct, Tensor, arrow_type
from twofold._signature.values import Rules, default_of, value_reader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from twofold._signature.column import ColumnReader, Mask

__all__ = ["default_column", "list_column", "nest", "struct_column", "tensor_column"]

ReaderOf = Callable[[Field, Rules], "ColumnReader"]


def is_list(kind: pa.DataType) -> bool:
    import pyarrow as pa

    types = pa.types
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def tensor_column(field: Field, rules: Rules, reader_of: ReaderOf) -> ColumnReader:
    """Lists of the right lengths -> fixed-size lists; every other row goes to the scalar reader."""
    kind = field.type
    assert isinstance(kind, Tensor)
    size = 1
    for length in kind.shape:
        size *= length
    read_items = reader_of(item_field(kind, field.constraints), rules)
    read = value_reader(field, rules)

    def read_column(array: pa.Array) -> tuple[pa.Array, dict[int, Misfit]]:
        import numpy as np

        array = _unpacked_tensors(plain_array(array), kind.shape)
        n_rows = len(array)
        regular, flat = _regular_rows(array, kind.shape)
        if flat is None:
            part, rest = nest(_no_items(kind), kind), np.arange(n_rows)
            places: npt.NDArray[np.int64] | None = np.empty(0, dtype=np.int64)
        else:
            items, item_errors = read_items(flat)
            part = nest(items, kind)
            if regular is None and not item_errors:
                return part, {}
            where = np.arange(n_rows) if regular is None else np.flatnonzero(regular)
            wrong = np.unique(np.fromiter(item_errors, np.int64, len(item_errors)) // size)
            rest = np.setdiff1d(np.arange(n_rows), np.delete(where, wrong))
            places = where
        if field.nullable and array.null_count:
            rest = rest[~is_null_mask(array)[rest]]
        others = rest.tolist()
        single, errors = read_cells(cells(array, others), others, read)
        return assemble(n_rows, part, places, single), errors

    return read_column


def _no_items(kind: Tensor) -> pa.Array:
    import pyarrow as pa

    return pa.array([], arrow_type(kind.item))


def nest(items: pa.Array, kind: Tensor) -> pa.Array:
    """A flat column of items (row-major) -> a column of tensors."""
    import pyarrow as pa

    types = [arrow_type(kind)]
    for _ in kind.shape[1:]:
        types.append(types[-1].value_type)
    for stored in reversed(types):
        items = pa.FixedSizeListArray.from_arrays(items, type=stored)
    return items


def _unpacked_tensors(array: pa.Array, shape: tuple[int, ...]) -> pa.Array:
    """A canonical Arrow tensor extension as nested lists."""
    import pyarrow as pa

    if not isinstance(array, pa.FixedShapeTensorArray):
        return array
    stored, kind = array.storage, array.type
    if tuple(kind.shape) != shape or kind.permutation not in (None, list(range(len(shape)))):
        return pa.array([f"a tensor of shape {list(kind.shape)}"] * len(array))
    if len(shape) == 1:
        return stored
    nulls = is_null_mask(stored)
    flat = stored.fill_null([0] * kind.storage_type.list_size).flatten() if nulls.any() else stored.flatten()
    for length in reversed(shape):
        flat = pa.FixedSizeListArray.from_arrays(flat, length)
    return flat if not nulls.any() else flat.take(_index_or_null(nulls))


def _index_or_null(nulls: Mask) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    return pa.array(np.arange(len(nulls)), mask=nulls)


def _regular_rows(array: pa.Array, shape: tuple[int, ...]) -> tuple[Mask | None, pa.Array | None]:
    """Which rows are lists of exactly this shape (None: all), and their items as one flat column."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if not is_list(array.type):
        return None, None
    regular: Mask | None = None
    if array.null_count or not pa.types.is_fixed_size_list(array.type) or array.type.list_size != shape[0]:
        lengths = pc.fill_null(pc.list_value_length(array), -1).to_numpy(zero_copy_only=False)
        fits = lengths == shape[0]
        regular = None if fits.all() else fits
    chosen = array if regular is None else array.filter(pa.array(regular))
    inner = plain_array(chosen.flatten())
    if len(shape) == 1:
        return regular, inner
    inner_regular, flat = _regular_rows(inner, shape[1:])
    if inner_regular is None or flat is None:
        return regular, flat
    whole: Mask = np.asarray(inner_regular.reshape(-1, shape[0]).all(axis=1))
    if regular is None:
        regular = whole
    else:
        regular = regular.copy()
        regular[regular] = whole
    _, flat = _regular_rows(array.filter(pa.array(regular)), shape)
    return regular, flat


def list_column(field: Field, rules: Rules, reader_of: ReaderOf) -> ColumnReader:
    """A column of lists, read through the column of all their items."""
    kind = field.type
    assert isinstance(kind, List)
    read_items = reader_of(kind.item, rules)
    read = value_reader(field, rules)
    check = column_check(field)

    def read_column(array: pa.Array) -> tuple[pa.Array, dict[int, Misfit]]:
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        array = plain_array(array)
        target = arrow_type(kind)
        if not is_list(array.type):
            return _by_cells(array, field, read)
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False)
        ends = np.zeros(len(array) + 1, dtype=np.int64)
        np.cumsum(lengths, out=ends[1:])
        items, item_errors = read_items(plain_array(array.flatten()))
        nulls = is_null_mask(array) if array.null_count else None
        offsets = pa.array(ends, pa.int32())
        column = pa.ListArray.from_arrays(offsets, items, type=target, mask=None if nulls is None else pa.array(nulls))
        errors: dict[int, Misfit] = {}
        for at in sorted(item_errors):
            row = int(np.searchsorted(ends, at, side="right")) - 1
            if row not in errors:
                errors[row] = item_errors[at].inside(at - int(ends[row]))
        suspects: Mask = np.zeros(len(array), dtype=np.bool_) if check is None else ~check(column)
        if nulls is not None:
            suspects = suspects & ~nulls if field.nullable else suspects | nulls
        positions = [at for at in np.flatnonzero(suspects).tolist() if at not in errors]
        errors |= read_cells(cells(array, positions), positions, read)[1]
        return column, errors

    return read_column


def struct_column(field: Field, rules: Rules, reader_of: ReaderOf) -> ColumnReader:
    """A column of structs, read through the columns of their fields; fields it does not know are passed over."""
    kind = field.type
    assert isinstance(kind, Struct)
    readers = [(inner, reader_of(inner, rules)) for inner in kind.fields]
    read = value_reader(field, rules)

    def read_column(array: pa.Array) -> tuple[pa.Array, dict[int, Misfit]]:
        import numpy as np
        import pyarrow as pa

        array = plain_array(array)
        if not pa.types.is_struct(array.type):
            return _by_cells(array, field, read)
        nulls = is_null_mask(array) if array.null_count else None
        chosen = array if nulls is None else array.filter(pa.array(~nulls))
        stored = dict(zip((f.name for f in array.type), chosen.flatten(), strict=True))
        columns = []
        wrong: dict[int, Misfit] = {}
        for inner, read_inner in readers:
            column, misfits = _struct_member(stored.get(inner.name), inner, read_inner, len(chosen))
            columns.append(column)
            for at, misfit in misfits.items():
                wrong.setdefault(at, misfit.inside(inner.name))
        part = pa.StructArray.from_arrays(columns, fields=list(arrow_type(kind)))
        if nulls is None:
            return part, wrong
        places = np.flatnonzero(~nulls)
        errors = {int(places[at]): misfit for at, misfit in wrong.items()}
        if not field.nullable:
            empty = np.flatnonzero(nulls).tolist()
            errors |= read_cells([None] * len(empty), empty, read)[1]
        return assemble(len(array), part, places, {}), errors

    return read_column


def _struct_member(
    stored: pa.Array | None, field: Field, read: ColumnReader, n_rows: int
) -> tuple[pa.Array, dict[int, Misfit]]:
    import pyarrow as pa

    if stored is not None:
        return read(stored)
    if not field.required:
        return default_column(field, n_rows), {}
    target = arrow_type(field.type)
    words = expected_words(field)
    return pa.nulls(n_rows, target), {
        at: Misfit(words, "nothing", "it is missing", as_text=True) for at in range(n_rows)
    }


def default_column(field: Field, n_rows: int) -> pa.Array:
    """The default of the field, once per row."""
    codec = codec_of(arrow_type(field.type), True)
    return codec.arrow_from_values([default_of(field)] * n_rows)


def _by_cells(array: pa.Array, field: Field, read: Any) -> tuple[pa.Array, dict[int, Misfit]]:
    positions = range(len(array))
    single, errors = read_cells(cells(array), positions, read)
    codec = codec_of(arrow_type(field.type), True)
    return codec.arrow_from_values([single.get(at) for at in positions]), errors
