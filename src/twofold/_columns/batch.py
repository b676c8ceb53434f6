"""Batch: what travels between decoding, the Runner and encoding."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import starmap
from operator import itemgetter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from twofold._columns.codecs import Array, Codec, codec_of, python_values

__all__ = ["Batch"]

Row = tuple[Any, ...]
_new: Any = object.__new__


class _Layout:
    """What a schema says, in Python objects: looked up once per schema, not once per batch."""

    __slots__ = ("codecs", "index", "names")

    def __init__(self, schema: pa.Schema) -> None:
        self.names: tuple[str, ...] = tuple(schema.names)
        self.index = {name: at for at, name in enumerate(self.names)}
        self.codecs: tuple[Codec, ...] = tuple(codec_of(field.type, field.nullable) for field in schema)


# By identity: hashing a schema takes longer than a small model call. An entry goes when its schema does.
_LAYOUTS: dict[int, tuple[weakref.ref[pa.Schema], _Layout]] = {}


def _layout_of(schema: pa.Schema) -> _Layout:
    key = id(schema)
    entry = _LAYOUTS.get(key)
    if entry is not None and entry[0]() is schema:
        return entry[1]
    layout = _Layout(schema)
    _LAYOUTS[key] = (weakref.ref(schema, lambda gone: _forget(key, gone)), layout)
    return layout


def _forget(key: int, gone: weakref.ref[pa.Schema]) -> None:
    entry = _LAYOUTS.get(key)
    if entry is not None and entry[0] is gone:
        del _LAYOUTS[key]


class Batch:
    """Named columns with `n_rows` rows.

    Made from typed rows (tuples of canonical values, one value per field), NumPy arrays or Arrow columns; each other
    form is made when it is first asked for, and kept. Rows become NumPy arrays without going through Arrow. What a
    Batch hands out is shared: its lists must not be changed, and its arrays are read-only (`numpy(name,
    writable=True)` gives a copy of one's own).
    """

    __slots__ = ("_arrow", "_layout", "_numpy", "_rows", "n_rows", "schema")

    schema: pa.Schema
    n_rows: int

    def __init__(
        self,
        schema: pa.Schema,
        n_rows: int,
        rows: list[Row] | None = None,
        numpy: dict[str, Array] | None = None,
        arrow: pa.RecordBatch | None = None,
    ) -> None:
        self.schema = schema
        self.n_rows = n_rows
        self._rows = rows
        self._numpy: dict[str, Array] | None = numpy
        self._arrow = arrow
        self._layout: _Layout | None = None

    @classmethod
    def from_rows(cls, schema: pa.Schema, rows: list[Row]) -> Batch:
        """A batch of these rows; the list is kept, not copied."""
        batch: Batch = _new(cls)  # each real-time call makes two, and __init__ would be a third of what that costs
        batch.schema, batch.n_rows = schema, len(rows)
        batch._rows, batch._numpy, batch._arrow, batch._layout = rows, None, None, None
        return batch

    @classmethod
    def from_arrow(cls, batch: pa.RecordBatch) -> Batch:
        """A batch of these columns, without a copy."""
        return cls(batch.schema, batch.num_rows, arrow=batch)

    @classmethod
    def from_columns(cls, schema: pa.Schema, columns: Sequence[pa.Array]) -> Batch:
        """A batch of these columns, whose types are those of the schema, without a copy."""
        return cls.from_arrow(pa.RecordBatch.from_arrays(columns, schema=schema))

    @classmethod
    def from_numpy(cls, schema: pa.Schema, columns: Mapping[str, npt.ArrayLike], n_rows: int | None = None) -> Batch:
        """A batch of one array per field, (n, *shape) of the field's dtype; `n_rows` is needed where there is no field.

        Raises ValueError for a missing column or one of another length or shape.
        """
        layout = _layout_of(schema)
        arrays: dict[str, Array] = {}
        for name, codec in zip(layout.names, layout.codecs, strict=True):
            if name not in columns:
                raise ValueError(f"there is no column {name!r}")
            array = np.asanyarray(columns[name])
            if n_rows is None:
                n_rows = len(array)
            if array.shape != (n_rows, *codec.shape):
                raise ValueError(f"column {name!r} has shape {array.shape}, not {(n_rows, *codec.shape)}")
            arrays[name] = _read_only(array)
        if n_rows is None:
            raise ValueError("n_rows is needed where there are no columns")
        return cls(schema, n_rows, numpy=arrays)

    @staticmethod
    def concat(batches: Sequence[Batch]) -> Batch:
        """The rows of all of them (at least one; same schema), in order."""
        first = batches[0]
        if len(batches) == 1:
            return first
        if all(batch.holds == "rows" for batch in batches):
            return Batch.from_rows(first.schema, [row for batch in batches for row in batch.rows()])
        n_rows = sum(batch.n_rows for batch in batches)
        if first.names and all(batch.holds == "numpy" for batch in batches):
            joined = {n: np.ma.concatenate if _masked(first.numpy(n)) else np.concatenate for n in first.names}
            columns = {name: join([batch.numpy(name) for batch in batches]) for name, join in joined.items()}
            return Batch.from_numpy(first.schema, columns, n_rows)
        table = pa.Table.from_batches([batch.arrow() for batch in batches], schema=first.schema)
        arrays = [pa.concat_arrays(column.chunks) for column in table.columns]
        if not arrays:
            return Batch(first.schema, n_rows, rows=[()] * n_rows)
        return Batch.from_arrow(pa.RecordBatch.from_arrays(arrays, schema=first.schema))

    @property
    def layout(self) -> _Layout:
        found = self._layout
        if found is None:
            found = self._layout = _layout_of(self.schema)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        return self.layout.names

    @property
    def holds(self) -> Literal["rows", "arrow", "numpy"]:
        """The form that is there already (the first of these, where there are several)."""
        return "rows" if self._rows is not None else "arrow" if self._arrow is not None else "numpy"

    def __len__(self) -> int:
        return self.n_rows

    def __repr__(self) -> str:
        return f"Batch({self.n_rows} rows of {', '.join(f'{f.name}: {f.type}' for f in self.schema)})"

    def rows(self) -> list[Row]:
        """The rows as tuples of canonical values."""
        rows = self._rows
        if rows is None:
            columns = [self._values(at) for at in range(len(self.names))]
            rows = self._rows = list(zip(*columns, strict=True)) if columns else [()] * self.n_rows
        return rows

    def calls(self, function: Callable[..., Any]) -> Iterator[Any]:
        """Calls the function with the values of the next row at each step; unlike `rows`, makes and keeps no rows.

        Where the function raises, the next step goes on with the next row.
        """
        if self._rows is not None or not self.names:
            return starmap(function, self.rows())
        return map(function, *[self._values(at) for at in range(len(self.names))])

    def _values(self, at: int) -> list[Any]:
        if self._arrow is not None:
            return python_values(self._arrow.column(at))
        layout = self.layout
        return layout.codecs[at].values_from_numpy(self._arrays()[layout.names[at]])

    def _arrays(self) -> dict[str, Array]:
        """The NumPy arrays that there are, by name."""
        arrays = self._numpy
        if arrays is None:
            arrays = self._numpy = {}
        return arrays

    def numpy(self, name: str, *, writable: bool = False) -> Array:
        """The column as an array (n_rows, *shape); see `codecs` for dtypes and nulls. KeyError for an unknown name."""
        arrays = self._arrays()
        found = arrays.get(name)
        if found is None:
            layout = self.layout
            at = layout.index[name]
            if self._rows is not None:
                found = layout.codecs[at].numpy_from_values([row[at] for row in self._rows])
            else:
                found = layout.codecs[at].numpy_from_arrow(self._made_arrow().column(at))
            found.setflags(write=False)  # made just now: nobody else has it
            arrays[name] = found
        return found.copy() if writable else found

    def arrow(self) -> pa.RecordBatch:
        """The columns as Arrow arrays of exactly `schema`."""
        return self._made_arrow()

    def _made_arrow(self) -> pa.RecordBatch:
        if self._arrow is None:
            layout = self.layout
            if not layout.names:
                empty = pa.StructArray.from_buffers(pa.struct([]), self.n_rows, [None])
                self._arrow = pa.RecordBatch.from_struct_array(empty)
                return self._arrow
            if self._rows is not None:
                # column by column: zip(*rows) would make an iterator a row, and is many times slower
                columns = [list(map(itemgetter(at), self._rows)) for at in range(len(layout.names))]
                arrays = [c.arrow_from_values(v) for c, v in zip(layout.codecs, columns, strict=True)]
            else:
                held = self._arrays()
                arrays = [c.arrow_from_numpy(held[n]) for n, c in zip(layout.names, layout.codecs, strict=True)]
            self._arrow = pa.RecordBatch.from_arrays(arrays, schema=self.schema)
        return self._arrow

    def take(self, indices: Sequence[int] | npt.NDArray[np.integer[Any]]) -> Batch:
        """The rows at these positions (from 0), in the order given."""
        n_rows = len(indices)
        if self._rows is not None:
            rows = self._rows
            return Batch(self.schema, n_rows, rows=[rows[at] for at in indices])
        where = np.asarray(indices, dtype=np.int64)
        if self._arrow is not None and self._arrow.num_columns:
            return Batch(self.schema, n_rows, arrow=self._arrow.take(pa.array(where)))
        return Batch(self.schema, n_rows, numpy={n: _read_only(a[where]) for n, a in self._arrays().items()})

    def slice(self, start: int, stop: int) -> Batch:
        """Rows start <= i < stop; shares memory."""
        start, stop, _ = slice(start, stop).indices(self.n_rows)
        n_rows = max(stop - start, 0)
        if self._rows is not None:
            return Batch(self.schema, n_rows, rows=self._rows[start : start + n_rows])
        if self._arrow is not None:
            return Batch(self.schema, n_rows, arrow=self._arrow.slice(start, n_rows))
        return Batch(self.schema, n_rows, numpy={n: a[start : start + n_rows] for n, a in self._arrays().items()})


def _masked(array: Array) -> bool:
    return isinstance(array, np.ma.MaskedArray)


def _read_only(array: Array) -> Array:
    """A view nobody can write through: other forms, and a second try after a failure, share its memory."""
    if array.flags.writeable:
        array = array.view()
        array.flags.writeable = False
    return array
