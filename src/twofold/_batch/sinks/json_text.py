"""Arrow columns as columns of JSON text, a whole column at a time, nested ones too."""

from __future__ import annotations

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twofold._batch.sinks.column_text import decoded, is_nested, is_text, plain_text

__all__ = ["json_key", "json_text", "text_bytes"]

NEEDS_ESCAPE = r'["\\\x00-\x1f]'


def json_key(name: str) -> str:
    """A field's name as JSON writes it."""
    return msgspec.json.encode(name).decode()


def json_text(array: pa.Array, *, holds_json: bool = False) -> pa.Array:
    """Each value as JSON; a null is `null`, so the result has no nulls."""
    array = decoded(array)
    kind = array.type
    types = pa.types
    if is_nested(kind):
        text = _nested_text(array)
    elif holds_json:
        text = array.cast(pa.string())
    else:
        text = plain_text(array)
        if types.is_floating(kind):
            text = _quote_words(array, text)
        elif not (types.is_boolean(kind) or types.is_integer(kind) or types.is_null(kind) or types.is_duration(kind)):
            text = pc.binary_join_element_wise('"', _escaped(text) if is_text(kind) else text, '"', "")
    return text.fill_null("null") if text.null_count else text


def _quote_words(array: pa.Array, text: pa.Array) -> pa.Array:
    finite = pc.is_finite(array)
    if pc.all(finite, min_count=0).as_py() is not False:
        return text
    return pc.if_else(finite, text, pc.binary_join_element_wise('"', text, '"', ""))


def _escaped(text: pa.Array) -> pa.Array:
    """Strings with what JSON escapes escaped; nearly always there is nothing to do, and that is seen at once."""
    data = text_bytes(text)
    if not ((data < 0x20) | (data == ord('"')) | (data == ord("\\"))).any():
        return text
    mask = pc.match_substring_regex(text, NEEDS_ESCAPE).fill_null(False)
    escaped = [msgspec.json.encode(value)[1:-1].decode() for value in text.filter(mask).to_pylist()]
    return pc.replace_with_mask(text, mask, pa.array(escaped, pa.string()))


def text_bytes(text: pa.Array) -> np.ndarray:
    """The bytes of all strings of an array, one after the other."""
    _, offsets, data = text.buffers()
    if data is None or not len(text):
        return np.empty(0, np.uint8)
    bounds = np.frombuffer(offsets, np.int32)
    return np.frombuffer(data, np.uint8)[bounds[text.offset] : bounds[text.offset + len(text)]]


def _nested_text(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_struct(kind):
        text = _struct_text(array)
    elif pa.types.is_map(kind):
        text = _map_text(array)
    else:
        lengths = pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False)
        text = _bracketed("[", json_text(array.flatten()), lengths, "]")
    return pc.if_else(array.is_valid(), text, pa.scalar(None, pa.string())) if array.null_count else text


def _struct_text(array: pa.StructArray) -> pa.Array:
    names = [field.name for field in array.type]
    if not names:
        return pa.array(["{}"] * len(array), pa.string())
    pieces: list[pa.Array | str] = []
    for name, child in zip(names, array.flatten(), strict=True):
        pieces += [("," if pieces else "{") + json_key(name) + ":", json_text(child)]
    return pc.binary_join_element_wise(*pieces, "}", "")


def _map_text(array: pa.MapArray) -> pa.Array:
    """An object whose keys are the map's keys as text."""
    offsets = array.offsets.to_numpy()
    start, stop = int(offsets[0]), int(offsets[-1])
    keys = json_text(array.keys.slice(start, stop - start))
    if not is_text(decoded(array.keys).type):
        keys = pc.binary_join_element_wise('"', pc.utf8_trim(keys, '"'), '"', "")
    entries = pc.binary_join_element_wise(keys, json_text(array.items.slice(start, stop - start)), ":")
    return _bracketed("{", entries, np.diff(offsets), "}")


def _bracketed(opening: str, texts: pa.Array, lengths: np.ndarray, closing: str) -> pa.Array:
    """Runs of `lengths` texts, each joined by commas between brackets."""
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    runs = pa.ListArray.from_arrays(pa.array(offsets), texts)
    return pc.binary_join_element_wise(opening, pc.binary_join(runs, ","), closing, "")
