"""Columns of a piece -> the rows that fit, as one typed batch; and a batch of answers -> JSON objects."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from twofold._columns import Batch
from twofold._errors import FieldError
from twofold._signature.arrow import arrow_reader
from twofold._signature.column import plain_array
from twofold._signature.decode import RowReader, missing
from twofold._signature.encode import float_fragments, fragment_writer, write_name
from twofold._signature.misfit import Misfit
from twofold._signature.nested import default_column
from twofold._signature.records import JsonColumn
from twofold._signature.text import text_column_reader
from twofold._signature.types import MISSING, Field, Float
from twofold._signature.values import Rules

if TYPE_CHECKING:
    import numpy.typing as npt

    from twofold._signature.column import ColumnReader

__all__ = ["Columns", "column_writers", "columns_writer"]

Read = tuple[Batch, "npt.NDArray[np.int64] | None", dict[int, list[FieldError]]]
Found = tuple[pa.Array, dict[int, Misfit]]


class Columns:
    """Reads columns as the rows of these fields."""

    def __init__(self, fields: tuple[Field, ...], schema: pa.Schema, rules: Rules) -> None:
        self.fields = fields
        self.schema = schema
        self.rules = rules

    @functools.cached_property
    def _arrow(self) -> list[ColumnReader]:
        return [arrow_reader(field, self.rules) for field in self.fields]

    @functools.cached_property
    def _text(self) -> list[ColumnReader]:
        return [text_column_reader(field, self.rules) for field in self.fields]

    @functools.cached_property
    def _json(self) -> list[JsonColumn]:
        return [JsonColumn(field, self.rules) for field in self.fields]

    def read_arrow(self, columns: Mapping[str, pa.Array | pa.ChunkedArray], n_rows: int) -> Read:
        return self._read(columns, n_rows, self._arrow)

    def read_text(self, columns: Mapping[str, pa.Array | pa.ChunkedArray], n_rows: int) -> Read:
        texts = {name: plain_array(column).cast(pa.string()) for name, column in columns.items()}
        return self._read(texts, n_rows, self._text)

    def _read(
        self, columns: Mapping[str, pa.Array | pa.ChunkedArray], n_rows: int, readers: list[ColumnReader]
    ) -> Read:
        found: list[Found] = []
        for field, read in zip(self.fields, readers, strict=True):
            column = columns.get(field.name)
            if column is not None:
                found.append(read(plain_array(column)))
            elif field.required:
                found.append((pa.nulls(n_rows, self._type(field)), _all_missing(field, range(n_rows))))
            else:
                found.append((default_column(field, n_rows), {}))
        return self._together(found, n_rows, {})

    def read_mixed(self, columns: Mapping[str, pa.Array | list[Any]], n_rows: int) -> Read:
        found: list[Found] = []
        for field, of_arrow, of_json in zip(self.fields, self._arrow, self._json, strict=True):
            column = columns.get(field.name)
            if column is None:
                found.append(of_json.read_values([MISSING] * n_rows))
            elif isinstance(column, list):
                found.append(of_json.read_values(column))
            else:
                found.append(of_arrow(plain_array(column)))
        return self._together(found, n_rows, {})

    def _type(self, field: Field) -> pa.DataType:
        return self.schema.field(field.name).type

    def read_json(self, records: Sequence[object]) -> Read:
        objects: list[dict[str, Any]] = [record if type(record) is dict else {} for record in records]
        row_errors: dict[int, list[Misfit]] = {}
        if not all(type(record) is dict for record in records):
            named = RowReader(self.fields, self.rules)
            for at, record in enumerate(records):
                if type(record) is not dict:
                    row_errors[at] = [named.no_object(record)]
        found = [column.read(objects) for column in self._json]
        return self._together(found, len(records), row_errors)

    def _together(self, found: list[Found], n_rows: int, row_errors: dict[int, list[Misfit]]) -> Read:
        misfits: dict[int, list[FieldError]] = {}
        no_rows = {at for at, errors in row_errors.items() if not errors[0].path}
        for field, (_, errors) in zip(self.fields, found, strict=True):
            for at, misfit in errors.items():
                if at not in no_rows:
                    misfits.setdefault(at, []).append(misfit.inside(field.name).field_error(at))
        for at, row_misfits in row_errors.items():
            misfits.setdefault(at, []).extend(misfit.field_error(at) for misfit in row_misfits)
        misfits = dict(sorted(misfits.items()))
        good = None
        if misfits:
            fits = np.ones(n_rows, dtype=np.bool_)
            fits[np.fromiter(misfits, np.int64, len(misfits))] = False
            good = np.flatnonzero(fits)
        if not self.fields:
            return Batch.from_rows(self.schema, [()] * (n_rows if good is None else len(good))), good, misfits
        columns = [column if good is None else column.take(pa.array(good)) for column, _ in found]
        return Batch.from_arrow(pa.RecordBatch.from_arrays(columns, schema=self.schema)), good, misfits


def _all_missing(field: Field, rows: range) -> dict[int, Misfit]:
    return {at: missing(field, named=False) for at in rows}


def columns_writer(fields: tuple[Field, ...]) -> Callable[[Batch], list[bytes]]:
    """outputs -> each row as a JSON object; columns of floats are written many at a time."""
    columns = column_writers(fields)
    names = [write_name(field) for field in fields]
    if not fields:
        return lambda outputs: [b"{}"] * outputs.n_rows
    if len(fields) == 1:
        head, column = b"{" + names[0] + b":", columns[0]
        return lambda outputs: [head + text + b"}" for text in column(outputs)]
    template = b"{" + b",".join(name.replace(b"%", b"%%") + b":%b" for name in names) + b"}"
    return lambda outputs: [template % row for row in zip(*[column(outputs) for column in columns], strict=True)]


def column_writers(fields: tuple[Field, ...]) -> list[Callable[[Batch], list[bytes]]]:
    """For each field: outputs -> the JSON texts of its column."""
    return [_column_writer(field, at) for at, field in enumerate(fields)]


def _column_writer(field: Field, at: int) -> Callable[[Batch], list[bytes]]:
    if isinstance(field.type, Float) and not field.nullable:
        name = field.name
        return lambda outputs: float_fragments(outputs.numpy(name))
    write = fragment_writer(field)
    return lambda outputs: [write(row[at]) for row in outputs.rows()]
