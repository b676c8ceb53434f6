"""The columns of an input as fields of a row: types seen in all of it, nullable where a value is missing somewhere.

Text (CSV cells, strings of JSONL) becomes what each value can be read as by the Signature's own rules, in this order:
bool, int, float, date, datetime, datetime without a zone; else it stays text. Numbers whose text says more than
their value stay text as well: 007, +49…, whole numbers beyond 64 bits.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from twofold._batch.formats import JSON_MARK
from twofold._batch.sources import InputScan, Piece, cut, read_split, scan_inputs
from twofold._errors import InputError
from twofold._signature import (
    Bool,
    Bytes,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    List,
    Signature,
    String,
    Struct,
    Tensor,
    Type,
)

__all__ = ["Look", "look_at", "pieces_of"]

SPLIT_ROWS: Final = 1 << 20
BATCH_ROWS: Final = 8192
FIRST_ROWS: Final = 32  # looked at first: most types are ruled out by them
NO_NAME: Final = re.compile(r'["\\\x00-\x1f]')  # what msgspec.field(name=...) refuses
TIMES: Final[tuple[Type, ...]] = (Date(), Datetime(), Datetime(naive=True))
TEXT_TYPES: Final[tuple[Type, ...]] = (Bool(), Int(), Float(), *TIMES)
# What the text of a number looks like that loses nothing by being read as one.
NUMBERS: Final[dict[Type, str]] = {
    Int(): r"^-?(0|[1-9][0-9]*)$",
    Float(): r"^(-?((0|[1-9][0-9]{0,15})|(0|[1-9][0-9]*)?\.[0-9]+|(0|[1-9][0-9]*)\.)([eE][+-]?[0-9]+)?"
    r"|(?i:nan|[+-]?inf|[+-]?infinity))$",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at all rows of an input found.

    `left_out`: the columns that no field can hold, and why. `n_broken`: rows that cannot be cut into fields.
    """

    scan: InputScan
    fields: dict[str, Field]
    left_out: dict[str, str]
    n_rows: int
    n_broken: int


def look_at(pattern: str) -> Look:
    """Read all of an input (a file, folder or glob). InputError when it cannot be read, or has no rows."""
    scan = scan_inputs(pattern)
    columns, left_out = {}, {}
    for stored in scan.schema:
        kind = _type_of(stored.type)
        if JSON_MARK in (stored.metadata or {}):
            left_out[stored.name] = "values of several types"
        elif NO_NAME.search(stored.name):
            left_out[stored.name] = "a name that no field can have"
        elif kind is None:
            left_out[stored.name] = str(stored.type)
        else:
            columns[stored.name] = _Column(Field(stored.name, kind), scan.format.name)
    n_rows = n_broken = 0
    why = ""  # the first broken row is one
    for piece in pieces_of(scan, list(columns)):
        n_rows += piece.n_rows
        n_broken += len(piece.broken)
        if piece.broken and not why:
            why = piece.broken[min(piece.broken)][1]
        for name, array in piece.arrow(list(columns)).items():
            columns[name].see(array)
    if n_rows and n_rows == n_broken:
        form = " A CSV file is UTF-8 text with commas between the cells." if scan.format.name == "csv" else ""
        raise InputError(
            f"no row of the input {pattern!r} can be read ({n_rows:,} rows); the first: {why}.{form}", path=pattern
        )
    if not n_rows:
        raise InputError(f"the input {pattern!r} has no rows, so that nothing can be learnt from it.", path=pattern)
    return Look(scan, {name: column.field for name, column in columns.items()}, left_out, n_rows, n_broken)


def pieces_of(scan: InputScan, names: Sequence[str]) -> Iterator[Piece]:
    """These columns of all rows, in order, in bounded memory."""
    for split in cut(scan, SPLIT_ROWS):
        yield from read_split(split, scan.schema, names, BATCH_ROWS)


class _Column:
    """One column, as far as it has been seen."""

    def __init__(self, field: Field, format_name: str) -> None:
        self._field = field
        self._seen_values = False
        is_text = field.type == String()
        self._kinds = list(TEXT_TYPES if format_name == "csv" else TIMES if format_name == "jsonl" and is_text else ())

    @property
    def field(self) -> Field:
        if self._kinds and self._seen_values:
            return replace(self._field, type=self._kinds[0])
        return self._field

    def see(self, array: pa.Array) -> None:
        """Take in the next values."""
        self._field = _with_nulls(self._field, array)
        values = array.drop_null() if array.null_count else array
        if not len(values):
            return
        self._seen_values = True
        if self._kinds:
            for part in (values.slice(0, FIRST_ROWS), values):
                self._kinds = [kind for kind in self._kinds if _all_are(kind, part)]


@cache
def _signature(kind: Type) -> Signature:
    return Signature((Field("cell", kind),), (Field("cell", kind),))


def _all_are(kind: Type, cells: pa.Array) -> bool:
    """Whether the signature reads every one of these cells as this type."""
    pattern = NUMBERS.get(kind)
    if pattern is not None and not pc.all(pc.match_substring_regex(cells, pattern)).as_py():
        return False
    return not _signature(kind).read_text({"cell": cells}, len(cells)).misfits


def _type_of(stored: pa.DataType) -> Type | None:
    """The type of a field that holds the values of an Arrow column; None where there is none."""
    types = pa.types
    if types.is_dictionary(stored):
        return _type_of(stored.value_type)
    if types.is_fixed_size_list(stored):
        return _vector(stored)
    if types.is_list(stored) or types.is_large_list(stored):
        item = _type_of(stored.value_type)
        return None if item is None else List(Field("item", item))
    if types.is_struct(stored):
        fields = [(field.name, _type_of(field.type)) for field in stored]
        if not fields or any(kind is None or NO_NAME.search(name) for name, kind in fields):
            return None
        return Struct(tuple(Field(name, kind) for name, kind in fields if kind is not None))
    return _scalar(stored)


def _scalar(stored: pa.DataType) -> Type | None:
    types = pa.types
    if types.is_timestamp(stored):
        return Datetime(naive=stored.tz is None)
    if types.is_integer(stored):
        return Int(64, signed=stored != pa.uint64())
    if types.is_floating(stored):
        return Float(stored.bit_width)
    tests: dict[Callable[[pa.DataType], bool], Type] = {
        types.is_boolean: Bool(),
        types.is_decimal: Float(),
        types.is_string: String(),
        types.is_large_string: String(),
        types.is_null: String(),
        types.is_binary: Bytes(),
        types.is_large_binary: Bytes(),
        types.is_fixed_size_binary: Bytes(),
        types.is_date: Date(),
    }
    return next((kind for holds, kind in tests.items() if holds(stored)), None)


def _vector(stored: pa.DataType) -> Type | None:
    """A fixed vector or matrix of numbers; a list where it holds something else."""
    item = _type_of(stored.value_type)
    match item:
        case None:
            return None
        case Bool() | Int() | Float() if stored.list_size:
            return Tensor(item, (stored.list_size,))
        case Tensor(inner, shape) if stored.list_size:
            return Tensor(inner, (stored.list_size, *shape))
        case _:
            return List(Field("item", item))


def _with_nulls(field: Field, array: pa.Array) -> Field:
    """The field, nullable (inside lists and structs too) where these values are null."""
    if array.null_count:
        field = replace(field, nullable=True)
        array = array.drop_null()
    match field.type:
        case List(item):
            return replace(field, type=List(_with_nulls(item, array.flatten())))
        case Struct(fields):
            inner = [_with_nulls(each, array.field(each.name)) for each in fields]
            return replace(field, type=Struct(tuple(inner)))
        case Tensor(item, _) if _has_null_inside(array):
            return replace(field, type=List(_with_nulls(Field("item", item), array.flatten())))
        case _:
            return field


def _has_null_inside(array: pa.Array) -> bool:
    while pa.types.is_fixed_size_list(array.type):
        array = array.flatten()
    return bool(array.null_count)
