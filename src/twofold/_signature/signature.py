"""Signature: the fields of ONE row, and the only place where outside data becomes typed rows and back."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from twofold._errors import FieldError, ModelError, RowsDoNotFit, WrongResult
from twofold._signature.bounds import check_constraints
from twofold._signature.decode import RequestDecoder, RowReader
from twofold._signature.encode import json_value_maker, object_writer
from twofold._signature.json_schema import object_schema
from twofold._signature.misfit import Misfit, field_errors, shown_value
from twofold._signature.objects import as_mapping
from twofold._signature.serialize import described, field_from_json, field_to_json
from twofold._signature.types import MISSING, Choice, Field, List, Struct, Tensor, arrow_schema, type_name
from twofold._signature.values import Rules, value_reader

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from twofold._columns import Batch
    from twofold._signature.columns import Columns

__all__ = ["Coerced", "Signature"]

Row = tuple[Any, ...]


@dataclass(slots=True)
class Coerced:
    """What reading columns gave: the rows that fit, and why the others do not.

    `good` are the positions of the batch's rows within the piece (None: all of them fit); `misfits` has the errors of
    every other row, by its position within the piece.
    """

    batch: Batch
    good: npt.NDArray[np.int64] | None = None
    misfits: dict[int, list[FieldError]] = field(default_factory=dict)


class Signature:
    """Input and output fields of one row.

    Everything is compiled once, when first used: the closures that read a value of each field, a typed JSON decoder,
    a writer. `nulls_as_nan`: a null of a float input counts as NaN.
    """

    def __init__(self, inputs: tuple[Field, ...], outputs: tuple[Field, ...], *, nulls_as_nan: bool = False) -> None:
        self.nulls_as_nan = nulls_as_nan
        self.inputs = _checked(inputs, "input")
        self.outputs = _checked(outputs, "output")
        decoder = RequestDecoder(self.inputs, Rules(nulls_as_nan=nulls_as_nan))
        self.decode_row = decoder.decode_row
        self.decode = decoder.decode
        self.encode_row = object_writer(self.outputs)
        self._output_readers = [value_reader(field) for field in self.outputs]

    def __repr__(self) -> str:
        def listed(fields: tuple[Field, ...]) -> str:
            return ", ".join(f"{f.name}: {type_name(f.type)}{' or null' if f.nullable else ''}" for f in fields)

        return f"Signature(({listed(self.inputs)}) -> ({listed(self.outputs)}))"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Signature) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    @functools.cached_property
    def input_schema(self) -> pa.Schema:
        return arrow_schema(self.inputs)

    @functools.cached_property
    def output_schema(self) -> pa.Schema:
        return arrow_schema(self.outputs)

    # ---- rows in

    def row(self, value: object, index: int = 0, *, ignore_unknown: bool = False) -> Row:
        """A mapping, a struct, or the bare value of the only input -> one row. Raises RowsDoNotFit naming `index`."""
        reader = self._lenient_rows if ignore_unknown else self._strict_rows
        given = self._named(value)
        if given is None:
            raise RowsDoNotFit([reader.no_object(value).field_error(index)])
        row, misfits = reader.read(given)
        if misfits:
            raise RowsDoNotFit(field_errors(index, misfits))
        return row

    def _named(self, value: object) -> Mapping[str, Any] | None:
        given = as_mapping(value)
        if len(self.inputs) != 1:
            return given
        only = self.inputs[0]
        if given is None or (isinstance(only.type, Struct) and only.name not in given):
            return {only.name: value}
        return given

    @functools.cached_property
    def _strict_rows(self) -> RowReader:
        return RowReader(self.inputs, Rules(nulls_as_nan=self.nulls_as_nan))

    @functools.cached_property
    def _lenient_rows(self) -> RowReader:
        return RowReader(self.inputs, Rules(nulls_as_nan=self.nulls_as_nan, ignore_unknown=True))

    @functools.cached_property
    def decode_record(self) -> Callable[[bytes], Row]:
        """One JSON object -> one row, as `decode_row`; names that are no input are passed over."""
        return RequestDecoder(self.inputs, Rules(nulls_as_nan=self.nulls_as_nan, ignore_unknown=True)).decode_row

    # ---- columns in

    @functools.cached_property
    def _columns(self) -> Columns:
        from twofold._signature.columns import Columns

        return Columns(self.inputs, self.input_schema, Rules(nulls_as_nan=self.nulls_as_nan, ignore_unknown=True))

    def missing(self, names: Iterable[str]) -> list[str]:
        """The required inputs that are not among these names."""
        there = set(names)
        return [field.name for field in self.inputs if field.required and field.name not in there]

    def read_arrow(self, columns: Mapping[str, pa.Array | pa.ChunkedArray], n_rows: int) -> Coerced:
        """Arrow columns of any type -> typed rows. An input without a column takes its default."""
        return Coerced(*self._columns.read_arrow(columns, n_rows))

    def read_text(self, columns: Mapping[str, pa.Array | pa.ChunkedArray], n_rows: int) -> Coerced:
        """CSV cells, as string columns (null: empty and unquoted) -> typed rows."""
        return Coerced(*self._columns.read_text(columns, n_rows))

    def read_json(self, records: Sequence[object]) -> Coerced:
        """JSON values -> typed rows; names that are no input are passed over. A number that a float64 may not hold
        comes as `JsonNumber`, with its text."""
        return Coerced(*self._columns.read_json(records))

    def read_columns(self, columns: Mapping[str, pa.Array | list[Any]], n_rows: int) -> Coerced:
        """Columns, each of Arrow or a list of JSON or Python values -> typed rows. An input without a column takes its
        default; columns that are no input are passed over."""
        return Coerced(*self._columns.read_mixed(columns, n_rows))

    def row_reader(self) -> RowReader:
        """Reads mappings by the table, as requests are read."""
        return self._strict_rows

    # ---- answers

    def result_row(self, value: object) -> Row:
        """What a model answered for one row (a value per output) -> the canonical output row. Raises WrongResult."""
        if not isinstance(value, tuple) or len(value) != len(self._output_readers):
            raise WrongResult(
                f"the model answered {shown_value(value)}, and its signature says {len(self.outputs)} values: "
                f"{', '.join(field.name for field in self.outputs)}. Make predict return what it is annotated with."
            )
        readers = self._output_readers
        try:
            if len(readers) == 1:
                return (readers[0](value[0]),)
            return tuple([read(item) for read, item in zip(readers, value, strict=True)])
        except Misfit:
            raise self._wrong_result(value) from None

    def _wrong_result(self, value: tuple[Any, ...]) -> WrongResult:
        for output, read, item in zip(self.outputs, self._output_readers, value, strict=True):
            try:
                read(item)
            except Misfit as misfit:
                error = misfit.inside(output.name).field_error(0)
                return WrongResult(
                    f"the model's answer does not fit its signature: {error.message}. "
                    "Make predict return what it is annotated with, or correct the annotation.",
                    field=error.field,
                )
        raise AssertionError(value)

    def encode_rows(self, outputs: Batch) -> list[bytes]:
        """Each row of an output batch as a JSON object, the same text as `encode_row`."""
        if outputs.holds == "rows":  # the road of one request: an import statement would cost more than the encoding
            return list(map(self.encode_row, outputs.rows()))
        return self._write_columns(outputs)

    @functools.cached_property
    def _write_columns(self) -> Callable[[Batch], list[bytes]]:
        from twofold._signature.columns import columns_writer

        return columns_writer(self.outputs)

    def column_texts(self, outputs: Batch) -> list[list[bytes]]:
        """Each column of an output batch as the JSON texts of its values."""
        return [write(outputs) for write in self._column_writers]

    @functools.cached_property
    def _column_writers(self) -> list[Callable[[Batch], list[bytes]]]:
        from twofold._signature.columns import column_writers

        return column_writers(self.outputs)

    def json_row(self, fields: tuple[Field, ...], row: Row) -> dict[str, Any]:
        """JSON-ready Python values of a row of these fields: the numbers and texts that `encode_row` writes."""
        makers = _makers(fields)
        return {f.name: make(value) for f, make, value in zip(fields, makers, row, strict=True)}

    # ---- the signature itself

    def describe(self) -> dict[str, Any]:
        """The fields in words, for `describe --json`."""
        return {
            "inputs": [described(field) for field in self.inputs],
            "outputs": [described(field) for field in self.outputs],
        }

    def to_json(self) -> dict[str, Any]:
        """Everything, as JSON-ready values; `from_json` makes the same signature of it."""
        return {
            "inputs": [field_to_json(field) for field in self.inputs],
            "outputs": [field_to_json(field) for field in self.outputs],
            "nulls_as_nan": self.nulls_as_nan,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Signature:
        inputs, outputs = (tuple(map(field_from_json, found[which])) for which in ("inputs", "outputs"))
        return cls(inputs, outputs, nulls_as_nan=found["nulls_as_nan"])

    def json_schema(self, which: Literal["inputs", "outputs"]) -> dict[str, Any]:
        """JSON Schema 2020-12 of one input or output row."""
        if which == "inputs":
            return object_schema(self.inputs, nulls_as_nan=self.nulls_as_nan)
        return object_schema(self.outputs)


@functools.lru_cache(maxsize=64)
def _makers_by_identity(fields: _ById) -> list[Any]:
    return [json_value_maker(field) for field in fields.fields]


class _ById:
    """Fields may hold defaults that cannot be hashed: they are told apart by identity."""

    __slots__ = ("fields",)

    def __init__(self, fields: tuple[Field, ...]) -> None:
        self.fields = fields

    def __hash__(self) -> int:
        return id(self.fields)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ById) and other.fields is self.fields


def _makers(fields: tuple[Field, ...]) -> list[Any]:
    return _makers_by_identity(_ById(fields))


def _checked(fields: tuple[Field, ...], what: str) -> tuple[Field, ...]:
    """The fields with canonical defaults. Raises ModelError for what no row could be read with."""
    seen: set[str] = set()
    for found in fields:
        if found.name in seen:
            raise ModelError(f"two {what} fields have the name {found.name!r}. Rename one of them.")
        seen.add(found.name)
    return tuple(_checked_field(found) for found in fields)


def _checked_field(found: Field) -> Field:
    check_constraints(found)
    kind = found.type
    match kind:
        case Tensor(_, shape) if not shape or min(shape) < 1:
            raise ModelError(f"the field {found.name!r} has the shape {list(shape)}; every side must be at least 1.")
        case List(item):
            kind = List(_checked_field(item))
        case Struct(fields):
            kind = Struct(_checked(fields, f"{found.name}"))
        case Choice(values) if not values or any(isinstance(v, int) and not -(2**63) <= v < 2**63 for v in values):
            raise ModelError(f"the choices of {found.name!r} must be at least one string, or integers of 64 bits.")
    default = found.default
    if default is not MISSING:
        try:
            default = value_reader(Field(found.name, kind, found.nullable, constraints=found.constraints))(default)
        except Misfit as misfit:
            error = misfit.inside(found.name).field_error(0)
            raise ModelError(f"a default does not fit its field: {error.message}. Change one of them.") from None
    return Field(found.name, kind, found.nullable, default, found.constraints)
