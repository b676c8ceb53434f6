"""Which column feeds which field: by name, by `--map field=column`, by `--map features=f0..f29`.

A vector from a range of columns is read item by item with the one coercion, as if it were that many fields, and put
together afterwards: `features` of float32[30] from `f0..f29` becomes (rows, 30) float32.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold._columns import Batch
from twofold._errors import FieldError, InputError, UsageError
from twofold._signature import Coerced, Field, List, Signature, Tensor

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.sources import Piece

__all__ = ["Columns", "Read", "Reading", "match_columns", "named"]

Columns = dict[str, str | list[str]]
"""Field -> its column, or the columns of its items. A field with a default and no column is absent."""

RANGE = re.compile(r"(?P<prefix>.*?)(?P<first>\d+)\.\.(?P<again>.*?)(?P<last>\d+)", re.DOTALL)
SHOWN_COLUMNS = 30


def named(columns: Iterable[str]) -> str:
    """Column names for a message; the first thirty of them."""
    names = list(columns)
    more = f" and {len(names) - SHOWN_COLUMNS} more" if len(names) > SHOWN_COLUMNS else ""
    return (", ".join(names[:SHOWN_COLUMNS]) or "none") + more


def match_columns(signature: Signature, available: Sequence[str], given: Mapping[str, str], source: str) -> Columns:
    """The columns of each field. `given` is what `--map` says; `source` names the input in messages.

    UsageError for a `--map` that names something that is not there; InputError for a required field without a column.
    """
    fields = {field.name: field for field in signature.inputs}
    there = set(available)
    for name in given:
        if name not in fields:
            raise UsageError(
                f"--map {name}={given[name]}: the model has no field {name!r}. Its fields: {named(fields)}."
            )
    found: Columns = {}
    for name, field in fields.items():
        if name not in given:
            if name in there:
                found[name] = name
            continue
        columns = _expand(field, given[name], there)
        absent = [column for column in ([columns] if isinstance(columns, str) else columns) if column not in there]
        if absent:
            raise UsageError(
                f"--map {name}={given[name]}: {source} has no column {absent[0]!r}. Its columns: {named(available)}."
            )
        found[name] = columns
    missing = [field.name for field in signature.inputs if field.required and field.name not in found]
    if missing and not there:
        raise InputError(
            f"{source} has no columns: it is empty, or holds no record that can be read. The model needs "
            f"{', '.join(map(repr, missing))}."
        )
    if missing:
        raise InputError(
            f"{source} has no column {', '.join(map(repr, missing))}, which the model needs. Its columns: "
            f"{named(available)}. Where one of them has the values under another name, say so: "
            f"--map {missing[0]}={_likely(fields[missing[0]], available)}",
            missing=missing,
        )
    return found


def _likely(field: Field, available: Sequence[str]) -> str:
    """What `--map` may say for a field without a column: a range where numbered columns make up such a vector."""
    numbered: dict[str, list[int]] = {}
    for column in available:
        if found := re.fullmatch(r"(.*?)(0|[1-9]\d*)", column, re.DOTALL):
            numbered.setdefault(found[1], []).append(int(found[2]))
    if isinstance(field.type, Tensor):
        size = math.prod(field.type.shape)
        for prefix, numbers in numbered.items():
            first = min(numbers)
            if size > 1 and sorted(numbers) == list(range(first, first + size)):
                return f"{prefix}{first}..{prefix}{first + size - 1}"
    return "COLUMN"


def _expand(field: Field, given: str, there: set[str]) -> str | list[str]:
    match = RANGE.fullmatch(given)
    if given in there or match is None:
        return given
    prefix, first, again, last = match.group("prefix", "first", "again", "last")
    if again not in ("", prefix):
        raise UsageError(
            f"--map {field.name}={given}: a range of columns has the same letters on both sides, like f0..f29."
        )
    step = 1 if int(last) >= int(first) else -1
    columns = [f"{prefix}{number:0{len(first)}d}" for number in range(int(first), int(last) + step, step)]
    kind = field.type
    if isinstance(kind, Tensor):
        if len(columns) != math.prod(kind.shape):
            raise UsageError(
                f"--map {field.name}={given}: these are {len(columns)} columns, and the field takes "
                f"{math.prod(kind.shape)}."
            )
    elif not isinstance(kind, List):
        raise UsageError(f"--map {field.name}={given}: a range of columns makes a vector, and this field is none.")
    return columns


@dataclass
class Read:
    """The rows of a piece that fit. `good` are their positions among its whole rows (None: all fit); `misfits` has the
    others; `items` are the same rows with each item of a vector from a range in a column of its own."""

    rows: Rows
    good: np.ndarray | None
    misfits: dict[int, list[FieldError]]
    items: Batch

    @property
    def batch(self) -> Batch:
        """All rows at once, as the model gets them."""
        return self.rows.slice(0, self.rows.n_rows)


class Rows:
    """Rows as the model gets them. Vectors from ranges are put together for one call at a time: 30 columns of a few
    thousand rows fit into the processor's cache, and no second copy of a piece waits in memory."""

    def __init__(self, reading: Reading, items: Batch) -> None:
        self.n_rows = items.n_rows
        self._reading = reading
        self._items = items
        self._columns: dict[str, list[np.ndarray]] = {}

    def slice(self, start: int, stop: int) -> Batch:
        """Rows start <= i < stop."""
        items = self._items if start == 0 and stop >= self.n_rows else self._items.slice(start, stop)
        if not self._reading.vectors:
            return items
        return self._reading.put_together(items, lambda names: [column[start:stop] for column in self._arrays(names)])

    def take(self, positions: np.ndarray) -> Rows:
        """The rows at these positions."""
        return Rows(self._reading, self._items.take(positions))

    def _arrays(self, names: list[str]) -> list[np.ndarray]:
        found = self._columns.get(names[0])
        if found is None:
            found = self._columns[names[0]] = [self._items.numpy(name) for name in names]
        return found


class Reading:
    """Reads the columns of a piece as rows of the signature's inputs."""

    def __init__(self, signature: Signature, columns: Columns) -> None:
        self.signature = signature
        self.columns = columns
        self._of: dict[str, str] = {}
        """What the coercion calls a value -> its column."""
        self.vectors: dict[str, list[str]] = {}
        """Field that is put together from a range -> what the coercion calls its items."""
        fields: list[Field] = []
        for field in signature.inputs:
            where = columns.get(field.name)
            if isinstance(where, list):
                items = [_item(field, index) for index in range(len(where))]
                fields.extend(items)
                self.vectors[field.name] = [item.name for item in items]
                self._of.update(zip([item.name for item in items], where, strict=True))
            else:
                fields.append(field)
                if where is not None:
                    self._of[field.name] = where
        self._by_item = Signature(tuple(fields), (), nulls_as_nan=signature.nulls_as_nan)
        self._by_name = all(name == column for name, column in self._of.items())
        self._fields = {field.name: field for field in fields}

    @property
    def needed(self) -> list[str]:
        """The input columns that are read, each once."""
        return list(dict.fromkeys(self._of.values()))

    def field_of(self, column: str) -> Field | None:
        """The one field (or item of a vector) that reads this column; None where none or several do."""
        found = [name for name, source in self._of.items() if source == column]
        return self._fields[found[0]] if len(found) == 1 else None

    def read(self, piece: Piece) -> Read:
        """The whole rows of a piece. Field errors name an item of a vector as `features[3]`."""
        return self._as_read(self._coerce(self._by_item, self._of, piece))

    def read_table(self, table: pa.Table) -> Read:
        """The same for all rows of an Arrow table."""
        columns = {name: table.column(column) for name, column in self._of.items()}
        return self._as_read(self._by_item.read_arrow(columns, table.num_rows))

    def _as_read(self, coerced: Coerced) -> Read:
        return Read(Rows(self, coerced.batch), coerced.good, coerced.misfits, coerced.batch)

    def typed(self, column: str, read: Read) -> pa.Array:
        """The values of a column in the type of the field that reads it, for the rows that fit."""
        field = self.field_of(column)
        assert field is not None
        arrow = read.items.arrow()
        return arrow.column(arrow.schema.get_field_index(field.name))

    def read_alone(self, column: str, piece: Piece) -> Coerced | None:
        """One column of a piece by itself, as the one field that reads it; None where there is no such field."""
        field = self.field_of(column)
        if field is None:
            return None
        alone = Signature((field,), (), nulls_as_nan=self.signature.nulls_as_nan)
        return self._coerce(alone, {field.name: column}, piece)

    def _coerce(self, signature: Signature, of: Mapping[str, str], piece: Piece) -> Coerced:
        if piece.origin == "json":
            records: Sequence[object] = piece.records
            if not self._by_name:
                records = [{name: r[column] for name, column in of.items() if column in r} for r in piece.records]
            return signature.read_json(records)
        columns = {name: piece.columns[column] for name, column in of.items()}
        if piece.origin == "text":
            return signature.read_text(columns, piece.n_whole)
        return signature.read_arrow(columns, piece.n_whole)

    def put_together(self, items: Batch, arrays: Callable[[list[str]], list[np.ndarray]]) -> Batch:
        """These rows, with each vector from a range in one column; `arrays` gives columns of numbers, by name."""
        import pyarrow as pa

        columns = []
        schema = self.signature.input_schema
        for at, field in enumerate(self.signature.inputs):
            names = self.vectors.get(field.name)
            if names is None:
                columns.append(items.arrow().column(self._by_item.input_schema.get_field_index(field.name)))
            elif isinstance(field.type, Tensor):
                stacked = np.stack(arrays(names), axis=1).reshape(items.n_rows, *field.type.shape)
                if len(self.signature.inputs) == 1:
                    return Batch.from_numpy(schema, {field.name: stacked})
                columns.append(Batch.from_numpy(pa.schema([schema.field(at)]), {field.name: stacked}).arrow().column(0))
            else:
                columns.append(_lists(items, names, schema.field(at).type))
        return Batch.from_arrow(pa.RecordBatch.from_arrays(columns, schema=schema))


def _lists(items: Batch, names: list[str], kind: pa.DataType) -> pa.Array:
    """Columns of items -> a column of lists, one item of each column in every list."""
    import pyarrow as pa

    n_rows, n_items = items.n_rows, len(names)
    arrow = items.arrow()
    values = pa.concat_arrays([arrow.column(arrow.schema.get_field_index(name)) for name in names])
    order = np.arange(n_rows * n_items).reshape(n_items, n_rows).T.reshape(-1)
    offsets = pa.array(np.arange(n_rows + 1) * n_items, pa.int32())
    return pa.ListArray.from_arrays(offsets, values.take(pa.array(order)), type=kind)


def _item(field: Field, index: int) -> Field:
    kind: Any = field.type
    name = f"{field.name}[{index}]"
    if isinstance(kind, Tensor):
        return Field(name, kind.item)
    return Field(name, kind.item.type, kind.item.nullable, constraints=kind.item.constraints)
