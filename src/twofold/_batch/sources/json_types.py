"""The types of JSON records: found over a whole scan, so that every part of a run has the same columns.

| the column's values (null and missing aside) | its Arrow type |
|---|---|
| booleans | bool |
| integers within int64; from 0 on, within uint64 | int64; uint64 |
| numbers, none of them an integer beyond 2^53 | float64; the strings NaN, Infinity, -Infinity are such too |
| strings, or nothing at all | string |
| lists, their items of one of these types | list of it |
| objects | struct of all their fields |
| anything else (several types, huge numbers, empty objects, more than 200 fields) | string holding JSON, marked so |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pyarrow as pa

from twofold._batch.formats import JSON_MARK
from twofold._batch.sources.streams import Block
from twofold._signature.misfit import JsonNumber

__all__ = ["SPECIAL", "Columns", "RecordTypes", "merge_columns", "schema_of"]

EXACT: Final = 1 << 53
MAX_STRUCT_FIELDS: Final = 200
WORDS: Final = frozenset(("NaN", "Infinity", "-Infinity"))

SPECIAL = r'(^|[^\d.])\d{16}|"NaN"|Infinity"'
"""Integers that may be beyond 2^53, and the words: where there are any, a block is looked at value by value."""


@dataclass(frozen=True, slots=True)
class Integers:
    """All integers from `low` to `high` at most."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Items:
    """A list and what its items are."""

    kind: Kind


@dataclass(frozen=True, slots=True)
class Members:
    """An object and what its fields are."""

    fields: tuple[tuple[str, Kind], ...]


Kind = str | Integers | Items | Members
"""Words: null, bool, float, word (one of WORDS), string, json (several of them)."""

Columns = dict[str, Kind]
"""The fields of records, in the order they first appear."""


class RecordTypes:
    """Gathers what the fields of records are, block by block."""

    def __init__(self) -> None:
        self.columns: Columns = {}
        self._seen: dict[tuple[object, ...], list[str]] = {}

    def see(self, block: Block, records: list[dict[str, Any]], *, special: bool) -> None:
        """Take in the records of a block; `special`: some of its lines match `SPECIAL`."""
        if special:
            for record in records:
                for name, value in record.items():
                    self._add(name, kind_of(value))
            return
        integers = Integers(-EXACT if b"-" in block.data else 0, EXACT)
        for record in records:
            # Most records look like one before: then only what is inside lists and objects is new.
            look = (integers.low, *record, *map(type, record.values()))
            nested = self._seen.get(look)
            if nested is None:
                for name, value in record.items():
                    self._add(name, integers if type(value) is int else kind_of(value))
                nested = [name for name, value in record.items() if isinstance(value, list | dict | JsonNumber)]
                self._seen[look] = nested
            else:
                for name in nested:
                    self._add(name, kind_of(record[name]))

    def _add(self, name: str, kind: Kind) -> None:
        known = self.columns.get(name)
        if known is None:
            self.columns[name] = kind
        elif known != kind:
            self.columns[name] = merge(known, kind)


def kind_of(value: object) -> Kind:
    """What one JSON value is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return Integers(value, value)
    if isinstance(value, float):
        return "float"
    if isinstance(value, JsonNumber):
        return "float" if abs(float(value.text)) != float("inf") else "json"
    if isinstance(value, str):
        return "word" if value in WORDS else "string"
    if isinstance(value, list):
        return Items(_kind_of_items(value))
    if isinstance(value, dict) and 0 < len(value) <= MAX_STRUCT_FIELDS:
        return Members(tuple((name, kind_of(inner)) for name, inner in value.items()))
    return "json"


def _kind_of_items(items: list[Any]) -> Kind:
    found = set(map(type, items))
    if found == {float}:
        return "float"
    if found == {int}:
        return Integers(min(items), max(items))
    return merge_all(map(kind_of, items))


def merge_all(kinds: Iterable[Kind]) -> Kind:
    merged: Kind = "null"
    for kind in kinds:
        merged = kind if merged == "null" else merge(merged, kind)
    return merged


def merge(one: Kind, other: Kind) -> Kind:
    """What holds the values of both."""
    if one == other or other == "null":
        return one
    if one == "null":
        return other
    if isinstance(one, Integers) and isinstance(other, Integers):
        return Integers(min(one.low, other.low), max(one.high, other.high))
    if isinstance(one, Items) and isinstance(other, Items):
        return Items(merge(one.kind, other.kind))
    if isinstance(one, Members) and isinstance(other, Members):
        fields = merge_columns([dict(one.fields), dict(other.fields)])
        return Members(tuple(fields.items())) if len(fields) <= MAX_STRUCT_FIELDS else "json"
    if {one, other} == {"word", "string"}:
        return "string"
    if _as_float(one) and _as_float(other):
        return "float"
    return "json"


def _as_float(kind: Kind) -> bool:
    """Whether a float64 holds all of these exactly."""
    if isinstance(kind, Integers):
        return kind.low >= -EXACT and kind.high <= EXACT
    return kind in ("float", "word")


def merge_columns(several: Sequence[Columns]) -> Columns:
    """The columns of several files as one set."""
    merged: Columns = {}
    for columns in several:
        for name, kind in columns.items():
            merged[name] = merge(merged[name], kind) if name in merged else kind
    return merged


def schema_of(columns: Columns) -> pa.Schema:
    """The columns as an Arrow schema; any of them may be null."""
    return pa.schema([_field(name, kind) for name, kind in columns.items()])


def _field(name: str, kind: Kind) -> pa.Field:
    stored = _arrow(kind)
    return pa.field(name, pa.string(), metadata={JSON_MARK: b"1"}) if stored is None else pa.field(name, stored)


def _arrow(kind: Kind) -> pa.DataType | None:
    """The Arrow type, or None where only JSON text holds all values."""
    if isinstance(kind, Integers):
        if kind.low >= -(1 << 63) and kind.high < 1 << 63:
            return pa.int64()
        return pa.uint64() if kind.low >= 0 and kind.high < 1 << 64 else None
    if isinstance(kind, Items):
        item = _arrow(kind.kind)
        return None if item is None else pa.list_(pa.field("item", item))
    if isinstance(kind, Members):
        fields = [(name, _arrow(inner)) for name, inner in kind.fields]
        return None if any(inner is None for _, inner in fields) else pa.struct(fields)
    return {"bool": pa.bool_(), "float": pa.float64(), "json": None}.get(kind, pa.string())
