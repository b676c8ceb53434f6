"""Outputs as tensors: JSON texts, binary content, typed elements."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import orjson

from twofold._columns import Batch
from twofold._realtime.oip.errors import OipError
from twofold._realtime.oip.tensors import Array, Shape, TensorSpec
from twofold._signature import Field, Float, List, Tensor
from twofold._signature.encode import float_fragments, fragment_writer, json_value_maker

__all__ = ["FORMATS", "Elements", "OutputWriter", "pack_elements"]

_encode = msgspec.json.Encoder().encode


class Elements:
    """What one output holds for n rows: `row_shape` of each, and all elements in row-major order.

    `flat` is an array of numbers, or a list of Python values: texts and bytes as they are, other things as JSON text.
    """

    __slots__ = ("flat", "row_shape")

    def __init__(self, row_shape: Shape, flat: Array | list[Any]) -> None:
        self.row_shape = row_shape
        self.flat = flat


class OutputWriter:
    """Writes one output."""

    def __init__(self, spec: TensorSpec, at: int) -> None:
        self.spec = spec
        self.at = at  # its place in a row
        leaf = _leaf_field(spec.field)
        self._fragment = fragment_writer(spec.field)
        self._as_text = json_value_maker(leaf)  # of a text: dates in ISO 8601
        self._write_leaf = fragment_writer(leaf)
        count = math.prod(spec.row_shape)
        self._packer = None
        if spec.element == "number" and not spec.open:
            self._packer = struct.Struct(f"<{count}{FORMATS[spec.datatype]}")
        flat_type = Tensor(spec.field.type.item, (count,)) if isinstance(spec.field.type, Tensor) else None
        self._write_flat = None if flat_type is None else fragment_writer(Field("", flat_type))

    # ---- n rows

    def elements(self, outputs: Batch) -> Elements:
        """Raises OipError where rows are unlike in shape: then they are no one tensor."""
        spec = self.spec
        if spec.element == "number" and not spec.open:
            return Elements(spec.row_shape, np.asarray(outputs.numpy(spec.name)).reshape(-1))
        values = [row[self.at] for row in outputs.rows()]
        if spec.element == "json":
            return Elements((), [self._fragment(value) for value in values])
        row_shape, flat = _flattened(spec, values) if spec.row_shape else ((), values)
        if spec.element == "number":
            return Elements(row_shape, np.array(flat, spec.dtype))
        if spec.element == "text":
            return Elements(row_shape, [self._as_text(value).encode() for value in flat])
        return Elements(row_shape, flat)

    def json_data(self, outputs: Batch) -> tuple[Shape, bytes]:
        """The shape of a row, and the elements as JSON texts between commas."""
        spec = self.spec
        if spec.field.nullable and spec.element == "number":
            return (), b",".join([self._fragment(row[self.at]) for row in outputs.rows()])
        found = self.elements(outputs)
        flat = found.flat
        if isinstance(flat, list):
            if spec.element == "bytes":
                return found.row_shape, b",".join([self._write_leaf(value) for value in flat])
            return found.row_shape, _encode([text.decode() for text in flat])[1:-1]
        if flat.dtype.kind == "f":
            return found.row_shape, b",".join(float_fragments(flat))
        return found.row_shape, orjson.dumps(flat.tolist())[1:-1]

    def binary(self, outputs: Batch) -> tuple[Shape, bytes]:
        """The shape of a row, and the content."""
        found = self.elements(outputs)
        if isinstance(found.flat, list):
            return found.row_shape, pack_elements(found.flat)
        return found.row_shape, found.flat.astype(self.spec.dtype, copy=False).tobytes()

    # ---- one row of a shape that is not open: the road of most requests

    def one_texts(self) -> Callable[[Batch], list[bytes]]:
        """outputs -> for each row, its elements as JSON texts between commas."""
        spec, at = self.spec, self.at
        if isinstance(spec.field.type, Float) and not spec.field.nullable:
            name, write_float = spec.name, self._fragment

            def floats(outputs: Batch) -> list[bytes]:
                if outputs.holds == "rows":
                    return [write_float(row[at]) for row in outputs.rows()]
                return float_fragments(outputs.numpy(name))

            return floats
        write = self._one_text()
        return lambda outputs: [write(row[at]) for row in outputs.rows()]

    def _one_text(self) -> Callable[[Any], bytes]:
        fragment, write_flat = self._fragment, self._write_flat
        if self.spec.element == "json":
            return lambda value: _encode(fragment(value).decode())
        if write_flat is None:
            return fragment
        depth = len(self.spec.row_shape) - 1
        return lambda value: write_flat(_unnested(value, depth))[1:-1]

    def one_binary(self, value: Any) -> bytes:
        """The content of one canonical value."""
        spec = self.spec
        if self._packer is not None:
            if not spec.row_shape:
                return self._packer.pack(math.nan if value is None else value)
            return self._packer.pack(*_unnested(value, len(spec.row_shape) - 1))
        if spec.element == "json":
            element = self._fragment(value)
        else:
            element = value if spec.element == "bytes" else self._as_text(value).encode()
        return len(element).to_bytes(4, "little") + element


FORMATS = {
    "BOOL": "?", "INT8": "b", "INT16": "h", "INT32": "i", "INT64": "q", "UINT8": "B", "UINT16": "H", "UINT32": "I",
    "UINT64": "Q", "FP16": "e", "FP32": "f", "FP64": "d",
}  # fmt: skip


def pack_elements(elements: Sequence[bytes]) -> bytes:
    """The content of a binary BYTES tensor."""
    return b"".join([len(element).to_bytes(4, "little") + element for element in elements])


def _leaf_field(field: Field) -> Field:
    inner = field
    while isinstance(inner.type, List):
        inner = inner.type.item
    return inner


def _unnested(value: list[Any], depth: int) -> list[Any]:
    for _ in range(depth):
        value = [item for inner in value for item in inner]
    return value


def _flattened(spec: TensorSpec, values: list[Any]) -> tuple[Shape, list[Any]]:
    """n nested lists -> the one shape that they have, and their elements."""
    row_shape: list[int] = []
    for depth in range(len(spec.row_shape)):
        sizes = {len(value) for value in values}
        if len(sizes) > 1:
            where = "rows of unlike lengths" if depth == 0 else "lists of unlike lengths"
            raise OipError(
                "unanswerable",
                f"The output {spec.name!r} has {where} ({min(sizes)} to {max(sizes)}), which are no tensor. Send the "
                "rows one at a time, or choose other outputs.",
            )
        row_shape.append(sizes.pop() if sizes else 0)
        values = [item for value in values for item in value]
    return tuple(row_shape), values
