"""The few facts of an ONNX file that the runtime does not tell, read from its bytes (protobuf messages)."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["external_files", "zip_map_keys"]

# Field numbers of onnx.proto
_MODEL_GRAPH, _GRAPH_NODE = 7, 1
_NODE_OUTPUT, _NODE_OP, _NODE_ATTRIBUTE = 2, 4, 5
_ATTRIBUTE_NAME, _ATTRIBUTE_INTS, _ATTRIBUTE_STRINGS = 1, 8, 9

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


def zip_map_keys(content: bytes) -> dict[str, list[int] | list[str]]:
    """Output name -> the keys of its maps, for every ZipMap node of the graph."""
    found: dict[str, list[int] | list[str]] = {}
    for number, graph in _fields(memoryview(content)):
        if number != _MODEL_GRAPH or isinstance(graph, int):
            continue
        for inner, node in _fields(graph):
            if inner == _GRAPH_NODE and not isinstance(node, int):
                found |= _keys_of_node(node)
    return found


def _keys_of_node(node: memoryview) -> dict[str, list[int] | list[str]]:
    parts = [(number, value) for number, value in _fields(node) if not isinstance(value, int)]
    if not any(number == _NODE_OP and bytes(value) == b"ZipMap" for number, value in parts):
        return {}
    for number, attribute in parts:
        if number != _NODE_ATTRIBUTE:
            continue
        values = list(_fields(attribute))
        words = [bytes(v).decode() for n, v in values if n == _ATTRIBUTE_STRINGS and not isinstance(v, int)]
        numbers = [whole for n, v in values if n == _ATTRIBUTE_INTS for whole in _integers(v)]
        for output in (bytes(value).decode() for number, value in parts if number == _NODE_OUTPUT):
            if words or numbers:
                return {output: words or numbers}
    return {}


def _integers(value: int | memoryview) -> Iterator[int]:
    """Repeated integers stand alone or packed; negative ones are written as unsigned 64-bit numbers."""
    at = 0
    unsigned = [value] if isinstance(value, int) else []
    while not isinstance(value, int) and at < len(value):
        number, at = _varint(value, at)
        unsigned.append(number)
    for number in unsigned:
        yield number - (1 << 64) if number >> 63 else number


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """(field number, value) of a message; what is no number is its bytes."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            value, at = _varint(message, at)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            size, at = _varint(message, at)
        else:
            size = {_EIGHT_BYTES: 8, _FOUR_BYTES: 4}[kind]
        yield key >> 3, message[at : at + size]
        at += size


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = message[at]
        number |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return number, at


# An entry of `external_data`: its key is the text "location", its value a file name of at most 127 bytes.
_LOCATION = re.compile(rb"\x0a\x08location\x12([\x01-\x7f])", re.DOTALL)


def external_files(content: bytes) -> list[str]:
    """The names of the files in which large weights are kept, relative to the model's folder."""
    found = [content[at.end() : at.end() + at[1][0]] for at in _LOCATION.finditer(content)]
    return sorted({name.decode("utf-8", "replace") for name in found})
