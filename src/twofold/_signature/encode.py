"""Canonical values -> JSON: one fragment writer per type, compiled once; columns of floats many at a time.

A float is written as the shortest text that reads back in its own width; NaN and the infinities as the strings that
protobuf's JSON mapping uses.
"""

from __future__ import annotations

import binascii
import functools
import math
from collections.abc import Callable, Mapping
from datetime import date, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

import msgspec
import orjson

from twofold._signature.misfit import JsonNumber
from twofold._signature.times import date_text, instant_text
from twofold._signature.types import Bool, Bytes, Date, Datetime, Field, Float, Int, List, String, Struct, Tensor, Type

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["any_json", "float_fragments", "fragment_writer", "json_value_maker", "object_writer", "write_name"]

Writer = Callable[[Any], bytes]
Maker = Callable[[Any], Any]

_encode = msgspec.json.Encoder().encode


def object_writer(fields: tuple[Field, ...]) -> Callable[[tuple[Any, ...]], bytes]:
    """row -> one JSON object with these fields."""
    writers = [fragment_writer(field) for field in fields]
    heads = [write_name(field) + b":" for field in fields]
    if len(fields) == 1:
        head, write = b"{" + heads[0], writers[0]
        return lambda row: head + write(row[0]) + b"}"
    pairs = list(zip(heads, writers, strict=True))

    def write_row(row: tuple[Any, ...]) -> bytes:
        return b"{" + b",".join([head + write(value) for (head, write), value in zip(pairs, row, strict=True)]) + b"}"

    return write_row


def write_name(field: Field) -> bytes:
    return _encode(field.name)


def fragment_writer(field: Field) -> Writer:
    """value -> its JSON text."""
    write = _type_writer(field.type)
    if not field.nullable:
        return write
    return lambda value: b"null" if value is None else write(value)


def _type_writer(kind: Type) -> Writer:
    match kind:
        case Float(bits):
            return _FLOAT_WRITERS[bits]
        case Bytes():
            return lambda value: b'"' + binascii.b2a_base64(value, newline=False) + b'"'
        case Datetime():
            return lambda value: b'"' + instant_text(value).encode() + b'"'
        case Date():
            return lambda value: b'"' + date_text(value).encode() + b'"'
        case Tensor(item, shape):
            return _tensor_writer(item, shape)
        case List(item):
            write_item = fragment_writer(item)
            return _list_writer(write_item) if item.nullable else _plain_list_writer(item.type, write_item)
        case Struct(fields):
            write = object_writer(fields)
            names = [field.name for field in fields]
            return lambda value: write(tuple([value[name] for name in names]))
        case _:
            return _encode


def _tensor_writer(item: Bool | Int | Float, shape: tuple[int, ...]) -> Writer:
    return _plain_list_writer(item, _type_writer(Tensor(item, shape[1:]) if len(shape) > 1 else item))


def _plain_list_writer(leaf: Type, write_item: Writer) -> Writer:
    """A list (of lists) of plain values in one call; one by one where a float is no JSON number, and comes as null."""
    one_by_one = _list_writer(write_item)
    if isinstance(leaf, Bool | Int | String):
        return _encode
    if not isinstance(leaf, Float) or leaf.bits == 16:
        return one_by_one
    at_once = orjson.dumps if leaf.bits == 64 else _write_float32s

    def write(values: list[Any]) -> bytes:
        text = at_once(values)
        return one_by_one(values) if b"n" in text else text

    return write


def _write_float32s(values: list[Any]) -> bytes:
    return orjson.dumps(_numpy().array(values, dtype="f4"), option=orjson.OPT_SERIALIZE_NUMPY)


def _list_writer(write: Writer) -> Writer:
    return lambda values: b"[" + b",".join([write(value) for value in values]) + b"]"


def _special(value: float) -> bytes:
    return b'"NaN"' if value != value else b'"Infinity"' if value > 0 else b'"-Infinity"'


def _write_float64(value: float) -> bytes:
    return orjson.dumps(value) if value - value == 0.0 else _special(value)


def _write_float32(value: float) -> bytes:
    if value - value != 0.0:
        return _special(value)
    return orjson.dumps(_numpy().float32(value), option=orjson.OPT_SERIALIZE_NUMPY)


@functools.cache
def _numpy() -> Any:
    """NumPy, imported when the first float32 is written."""
    import numpy as np

    return np


@functools.lru_cache(maxsize=1 << 16)  # there are no more float16 values than that
def _write_float16_nonzero(value: float) -> bytes:
    import numpy as np

    return orjson.dumps(float(str(np.float16(value))))


def _write_float16(value: float) -> bytes:
    if value - value != 0.0:
        return _special(value)
    return _write_float16_nonzero(value) if value else orjson.dumps(value)  # a cache does not tell -0.0 from 0.0


_FLOAT_WRITERS: dict[int, Writer] = {64: _write_float64, 32: _write_float32, 16: _write_float16}


def float_fragments(values: npt.NDArray[np.floating[Any]]) -> list[bytes]:
    """(n,) floats -> n JSON texts, the same as one at a time."""
    if not len(values):
        return []
    if values.dtype.itemsize == 2:
        return [_write_float16(value) for value in values.tolist()]
    if not values.flags.c_contiguous:
        values = values.copy()
    text = orjson.dumps(values, option=orjson.OPT_SERIALIZE_NUMPY)
    texts = text[1:-1].split(b",")
    if b"n" in text:  # null: what JSON has no number for
        for at, one in enumerate(texts):
            if one == b"null":
                texts[at] = _special(float(values[at]))
    return texts


def json_value_maker(field: Field) -> Maker:
    """value -> JSON-ready Python value: what any JSON writer turns into the same numbers and texts."""
    make = _type_maker(field.type)
    if make is None:
        return _same
    made = make
    return lambda value: None if value is None else made(value)


def _same(value: Any) -> Any:
    return value


def _type_maker(kind: Type) -> Maker | None:
    match kind:
        case Float(64):
            return lambda value: value if value - value == 0.0 else _word(value)
        case Float(bits):
            write = _FLOAT_WRITERS[bits]
            return lambda value: float(write(value)) if value - value == 0.0 else _word(value)
        case Bytes():
            return lambda value: binascii.b2a_base64(value, newline=False).decode()
        case Datetime():
            return instant_text
        case Date():
            return date_text
        case Tensor(item, shape):
            make = _type_maker(Tensor(item, shape[1:]) if len(shape) > 1 else item)
            return None if make is None else _each(make)
        case List(item):
            return _each(json_value_maker(item))
        case Struct(fields):
            makers = {field.name: json_value_maker(field) for field in fields}
            return lambda value: {name: make(value[name]) for name, make in makers.items()}
        case _:
            return None


def _each(make: Maker) -> Maker:
    return lambda values: [make(value) for value in values]


def _word(value: float) -> str:
    return _special(value)[1:-1].decode()


def any_json(value: Any) -> Any:
    """Any value of a column or a line as msgspec writes it to JSON, as nearly as it came: for quarantine.

    A number of JSON stays its own text: 1e400 is no string, and 7.00 no 7.0.
    """
    if value is None or (isinstance(value, bool | str) and not isinstance(value, Enum)):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else _word(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, JsonNumber):
        return msgspec.Raw(value.text.encode())
    if isinstance(value, bytes | bytearray | memoryview):
        return binascii.b2a_base64(value, newline=False).decode()
    if isinstance(value, datetime):
        return instant_text(value)
    if isinstance(value, date):
        return date_text(value)
    if isinstance(value, Enum):
        return any_json(value.value)
    if isinstance(value, Mapping):
        return {str(key): any_json(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [any_json(inner) for inner in value]
    if type(value).__module__ == "numpy" and hasattr(value, "tolist"):
        return any_json(value.tolist())
    return str(value)
