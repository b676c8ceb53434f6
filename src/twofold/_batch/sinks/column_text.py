"""Arrow columns as columns of text, a whole column at a time: what CSV cells and JSON values are made of.

Numbers are the shortest text that reads back in their own width; NaN, Infinity and -Infinity are words; instants
RFC 3339 in UTC with a `Z`; bytes base64.
"""

from __future__ import annotations

import binascii
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from twofold._errors import OutputError

__all__ = ["decoded", "float_text", "is_bytes", "is_nested", "is_text", "plain_text"]

UNITS_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind))


def is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return bool(
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_fixed_size_binary(kind)
        or types.is_binary_view(kind)
    )


def is_nested(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind))


def decoded(array: pa.Array) -> pa.Array:
    """Without dictionary and without extension type."""
    while True:
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        elif pa.types.is_dictionary(array.type):
            array = array.dictionary.take(array.indices)
        elif pa.types.is_run_end_encoded(array.type):
            array = pc.run_end_decode(array)
        else:
            return array


def plain_text(array: pa.Array) -> pa.Array:
    """The values of a decoded column that is not nested, as strings without quotes; a null stays null."""
    kind = array.type
    types = pa.types
    if is_text(kind) or types.is_boolean(kind) or types.is_integer(kind) or types.is_decimal(kind):
        return array.cast(pa.string())
    if types.is_null(kind):
        return pa.nulls(len(array), pa.string())
    if types.is_floating(kind):
        return float_text(array)
    if types.is_timestamp(kind):
        return _timestamp_text(array)
    if types.is_date(kind):
        return array.cast(pa.date32()).cast(pa.string())
    if types.is_time(kind):
        return pc.replace_substring_regex(array.cast(pa.string()), r"\.0*$", "")
    if types.is_duration(kind):
        return array.cast(pa.int64()).cast(pa.string())
    if is_bytes(kind):
        encoded = [None if value is None else binascii.b2a_base64(value, newline=False) for value in array.to_pylist()]
        return pa.array(encoded, pa.binary()).cast(pa.string())
    raise OutputError(
        f"a column of type {kind} cannot be written as text. Leave it out with --keep, or write Parquet or Arrow.",
        type=str(kind),
    )


def float_text(array: pa.Array) -> pa.Array:
    """Floats of 16, 32 or 64 bits as the shortest text that reads back in that width; a null stays null."""
    if not len(array):
        return pa.array([], pa.string())
    values = (array.fill_null(0) if array.null_count else array).to_numpy(zero_copy_only=False)
    if values.dtype == np.float16:
        return _half_text(array)
    finite = np.isfinite(values)
    all_finite = bool(finite.all())
    text = _split_numbers(values if all_finite else np.where(finite, values, values.dtype.type(0)))
    if not all_finite:
        words = np.where(np.isnan(values), "NaN", np.where(values > 0, "Infinity", "-Infinity"))
        text = pc.if_else(pa.array(finite), text, pa.array(words.tolist(), pa.string()))
    return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.string())) if array.null_count else text


def _half_text(array: pa.Array) -> pa.Array:
    """orjson writes a float16 with the digits of a float32; there are few distinct ones, so one by one is quick."""
    words = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    distinct = array.dictionary_encode()
    shortest = map(str, distinct.dictionary.to_numpy(zero_copy_only=False))
    text = [words.get(digits) or orjson.dumps(float(digits)).decode() for digits in shortest]
    return pa.array(text, pa.string()).take(distinct.indices)


def _split_numbers(values: np.ndarray[Any, Any]) -> pa.Array:
    """orjson writes all numbers at once, `[1.0,2.5]`; the commas say where each one ends."""
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    buffer = np.frombuffer(text, np.uint8)[1:-1]
    comma = buffer == ord(",")
    ends = np.flatnonzero(comma)
    offsets = np.zeros(len(values) + 1, np.int32)
    offsets[1:-1] = ends - np.arange(len(ends))
    digits = buffer[~comma]
    offsets[-1] = len(digits)
    return pa.StringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(digits))


def _timestamp_text(array: pa.Array) -> pa.Array:
    unit = array.type.unit
    per_second = UNITS_PER_SECOND[unit]
    counts = array.view(pa.int64()).fill_null(0).to_numpy()
    seconds = np.floor_divide(counts, per_second)
    parts = counts - seconds * per_second
    text = pa.array(seconds).view(pa.timestamp("s")).cast(pa.string())
    text = pc.replace_substring(text, " ", "T", max_replacements=1)
    if parts.any():
        parts = parts * (1_000_000_000 // per_second)
        digits = 9 if (parts % 1_000).any() else 6
        parts //= 10 ** (9 - digits)
        shown = pc.utf8_slice_codeunits(pa.array(parts + 10**digits).cast(pa.string()), 1)
        text = pc.if_else(pa.array(parts != 0), pc.binary_join_element_wise(text, shown, "."), text)
    if array.type.tz is not None:
        text = pc.binary_join_element_wise(text, "Z", "")
    return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.string())) if array.null_count else text
