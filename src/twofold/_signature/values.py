"""One value -> one canonical value: the rules for JSON values, Python values and single Arrow cells alike.

A JSON value is a Python value of few kinds, so that one set of readers serves all three. Each reader is a closure
compiled once per field; it returns the canonical value or raises `Misfit`.
"""

from __future__ import annotations

import binascii
import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from typing import Any

from twofold._signature.bounds import beyond, int_range, item_field, round_all, round_to, value_check
from twofold._signature.misfit import Misfit, expected_words
from twofold._signature.numbers import as_float, as_int
from twofold._signature.objects import as_list, as_mapping, is_null
from twofold._signature.times import read_date_text, read_instant_text, to_instant
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
    Type,
)

__all__ = [
    "STRICT",
    "Reader",
    "Rules",
    "default_of",
    "null_value",
    "read_base64",
    "struct_reader",
    "unknown_field",
    "value_reader",
]

Reader = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """What differs between uses of the one coercion.

    A null of a float may count as NaN; unknown names in structs may be passed over (batch) or refused (requests).
    """

    nulls_as_nan: bool = False
    ignore_unknown: bool = False


STRICT = Rules()


def value_reader(field: Field, rules: Rules = STRICT) -> Reader:
    """The reader of this field, nullability and constraints included."""
    expected = expected_words(field)
    read = _type_reader(field, expected, rules)
    check = value_check(field)
    null = null_value(field, rules)

    def read_field(value: Any) -> Any:
        if value is None:
            return null()
        try:
            canonical = read(value)
        except Misfit:
            if is_null(value):
                return null()
            raise
        if check is not None and not check(canonical):
            raise Misfit(expected, value)
        return canonical

    def read_plain(value: Any) -> Any:
        try:
            return read(value)
        except Misfit:
            if value is None or is_null(value):
                return null()
            raise

    return read_plain if check is None and not field.nullable else read_field


def null_value(field: Field, rules: Rules) -> Callable[[], Any]:
    """What a null of this field becomes: null, NaN, or a Misfit."""
    if field.nullable:
        return lambda: None
    if rules.nulls_as_nan and value_check(field) is None:
        if isinstance(field.type, Float):
            return lambda: math.nan
        if isinstance(field.type, Tensor) and isinstance(field.type.item, Float):
            shape = field.type.shape
            if value_check(item_field(field.type, field.constraints)) is None:
                return lambda: _filled(shape)
    expected = expected_words(field)

    def refuse() -> Any:
        raise Misfit(expected, None)

    return refuse


def _filled(shape: tuple[int, ...]) -> Any:
    return [_filled(shape[1:]) for _ in range(shape[0])] if shape else math.nan


def default_of(field: Field) -> Any:
    """The default, copied where a model could change it in place."""
    value = field.default
    return copy.deepcopy(value) if isinstance(value, list | dict) else value


def _type_reader(field: Field, expected: str, rules: Rules) -> Reader:
    kind: Type = field.type
    match kind:
        case Bool():
            return _bool_reader(expected)
        case Int():
            return _int_reader(kind, *int_range(kind, field.constraints), expected)
        case Float(bits):
            return _float_reader(bits, expected)
        case String():
            return _string_reader(expected)
        case Bytes():
            return _bytes_reader(expected)
        case Datetime(naive):
            return lambda value: (
                read_instant_text(value, naive, expected) if type(value) is str else to_instant(value, naive, expected)
            )
        case Date():
            return _date_reader(expected)
        case Choice(values):
            return _choice_reader(values, expected)
        case Tensor():
            return _tensor_reader(kind, item_field(kind, field.constraints), expected, rules)
        case List(item):
            return _list_reader(item, expected, rules)
        case Struct(fields):
            return struct_reader(fields, expected, rules)


def _bool_reader(expected: str) -> Reader:
    def read(value: Any) -> bool:
        if value is True or value is False:
            return value
        if type(value).__module__ == "numpy" and getattr(value, "dtype", None) == "bool" and value.shape == ():
            return bool(value)
        raise Misfit(expected, value)

    return read


def _int_reader(kind: Int, low: int, high: int, expected: str) -> Reader:
    def read(value: Any) -> int:
        whole = value if type(value) is int else as_int(value)
        if whole is None:
            raise Misfit(expected, value)
        if not low <= whole <= high:
            raise Misfit(expected, value, beyond(kind, whole))
        return whole

    return read


def _float_reader(bits: int, expected: str) -> Reader:
    rounded = round_to(bits)

    def read(value: Any) -> float:
        try:
            number = value if type(value) is float else as_float(value)
            if number is None:
                raise Misfit(expected, value)
            return number if rounded is None else rounded(number)
        except OverflowError:
            raise Misfit(expected, value, f"out of the range of float{bits}") from None

    return read


def _string_reader(expected: str) -> Reader:
    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise Misfit(expected, value)
        text = value if type(value) is str else str.__str__(value)
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError:
                raise Misfit(expected, ascii(text), "it holds half a character", as_text=True) from None
        return text

    return read


def _bytes_reader(expected: str) -> Reader:
    def read(value: Any) -> bytes:
        if type(value) is bytes:
            return value
        if isinstance(value, str):
            return read_base64(value, expected)
        if isinstance(value, bytes | bytearray | memoryview):
            return bytes(value)
        raise Misfit(expected, value)

    return read


def read_base64(text: str, expected: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise Misfit(expected, text, "bytes are written as base64 with padding") from None


def _date_reader(expected: str) -> Reader:
    def read(value: Any) -> date:
        if type(value) is date:
            return value
        if isinstance(value, str):
            return read_date_text(value, expected)
        if isinstance(value, date) and not isinstance(value, datetime):
            return date(value.year, value.month, value.day)
        if type(value).__name__ == "datetime64" and value.dtype == "datetime64[D]":
            day = value.item()
            if isinstance(day, date):
                return day
        raise Misfit(expected, value)

    return read


def _choice_reader(values: tuple[str, ...] | tuple[int, ...], expected: str) -> Reader:
    known: dict[Any, Any] = {value: value for value in values}
    numeric = isinstance(values[0], int)

    def read(value: Any) -> Any:
        if isinstance(value, Enum):
            value = value.value
        raw = as_int(value) if numeric else value if isinstance(value, str) else None
        found = known.get(raw)
        if found is None:
            raise Misfit(expected, value)
        return found

    return read


def _list_reader(item: Field, expected: str, rules: Rules) -> Reader:
    read_item = value_reader(item, rules)
    at_once = _at_once(item)

    def read(value: Any) -> list[Any]:
        items = value if type(value) is list else as_list(value)
        if items is None:
            raise Misfit(expected, value)
        vector = None if at_once is None else at_once(items)
        return read_items(items, read_item) if vector is None else vector

    return read


def read_items(items: list[Any], item: Reader) -> list[Any]:
    read = []
    for index, value in enumerate(items):
        try:
            read.append(item(value))
        except Misfit as misfit:
            raise misfit.inside(index) from None
    return read


def _tensor_reader(kind: Tensor, item: Field, expected: str, rules: Rules) -> Reader:
    length, inner = kind.shape[0], kind.shape[1:]
    at_once = None
    if inner:
        read_item = _tensor_reader(Tensor(kind.item, inner), item, expected, rules)
    else:
        read_item = value_reader(item, rules)
        at_once = _at_once(item)

    def read(value: Any) -> list[Any]:
        items = value if type(value) is list else as_list(value)
        if items is None:
            raise Misfit(expected, value)
        if len(items) != length:
            raise Misfit(expected, value, f"{len(items)} items where {length} are expected")
        vector = None if at_once is None else at_once(items)
        return read_items(items, read_item) if vector is None else vector

    return read


def _at_once(item: Field) -> Callable[[list[Any]], list[Any] | None] | None:
    """Reads a list of plain numbers with a few calls of C; it answers None where the items need a look one by one."""
    if value_check(item) is not None:
        return None
    match item.type:
        case Bool():
            return lambda items: items.copy() if set(map(type, items)) == {bool} else None
        case Int() as kind:
            low, high = int_range(kind, item.constraints)
            return lambda items: (
                items.copy() if set(map(type, items)) == {int} and low <= min(items) and max(items) <= high else None
            )
        case Float(bits):
            rounded = list.copy if bits == 64 else round_all(bits)
            return lambda items: _floats_at_once(items, rounded)
        case _:
            return None


def _floats_at_once(items: list[Any], rounded: Callable[[list[float]], list[float]]) -> list[float] | None:
    if set(map(type, items)) != {float}:
        return None
    try:
        return rounded(items)
    except OverflowError:
        return None


def struct_reader(fields: tuple[Field, ...], expected: str, rules: Rules) -> Reader:
    readers = {field.name: value_reader(field, rules) for field in fields}
    names = ", ".join(readers)

    def read(value: Any) -> dict[str, Any]:
        given = value if type(value) is dict else as_mapping(value)
        if given is None:
            raise Misfit(expected, value)
        canonical = {}
        for field in fields:
            name = field.name
            if name in given:
                try:
                    canonical[name] = readers[name](given[name])
                except Misfit as misfit:
                    raise misfit.inside(name) from None
            elif field.required:
                raise Misfit(expected_words(field), "nothing", "missing", path=name, as_text=True)
            else:
                canonical[name] = default_of(field)
        if not rules.ignore_unknown and len(given) > len(canonical) - _missing(fields, given):
            for name in given:
                if name not in readers:
                    raise unknown_field(name, names, given[name])
        return canonical

    return read


def _missing(fields: tuple[Field, ...], given: Mapping[str, Any]) -> int:
    return sum(field.name not in given for field in fields)


def unknown_field(name: object, names: str, value: object) -> Misfit:
    return Misfit("no such field", value, f"the fields are {names}", path=str(name))
