"""The road of most requests: one row, its inputs just as metadata lists them. Everything else takes the general one.

What is read here is read as the general road reads it, and what does not fit is left to that one, which words errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any, Final

from twofold._columns import Batch
from twofold._realtime.oip.answers import FORMATS, OutputWriter
from twofold._realtime.oip.tensors import TensorSpec
from twofold._signature import UNCONSTRAINED, Bool, Float, Int, Signature, Tensor
from twofold._signature.misfit import Misfit
from twofold._signature.values import Reader, Rules, value_reader

__all__ = ["OneInput", "OneRow", "one_binaries"]

_OF_FLOATS: Final = frozenset(("FP16", "FP32", "FP64"))


class OneInput:
    """One input of one row: what a request says of it, and how its value is read."""

    __slots__ = ("_exact", "_is_list", "_read", "_struct", "count", "datatype", "name", "shape")

    def __init__(self, spec: TensorSpec, read: Reader) -> None:
        self.name = spec.name
        self.datatype = spec.datatype
        self.shape = [1, *spec.row_shape]
        self.count = math.prod(spec.row_shape)
        self._is_list = bool(spec.row_shape)
        self._exact = spec.element == "number" and spec.datatype not in _OF_FLOATS
        self._read = read
        kind = spec.field.type
        plain = isinstance(kind, Int | Float) or (isinstance(kind, Tensor) and not isinstance(kind.item, Bool))
        plain = plain and spec.field.constraints == UNCONSTRAINED and not spec.field.nullable
        self._struct = Struct(f"<{self.count}{FORMATS[spec.datatype]}") if plain else None

    def of_json(self, data: list[Any]) -> Any:
        """The value of its elements. Raises Misfit, also where a closer look is needed."""
        if len(data) != self.count or (self._exact and float in set(map(type, data))):
            raise Misfit("", data)
        return self._read(data if self._is_list else data[0])

    def of_bytes(self, content: bytes) -> Any:
        """The same of binary content."""
        if self._struct is None or len(content) != self._struct.size:
            raise Misfit("", content)
        values = self._struct.unpack(content)
        return list(values) if self._is_list else values[0]


class OneRow:
    """All inputs of one row."""

    def __init__(self, signature: Signature, specs: Sequence[TensorSpec]) -> None:
        rules = Rules(nulls_as_nan=signature.nulls_as_nan)
        self.inputs = [OneInput(spec, value_reader(spec.field, rules)) for spec in specs]
        self.possible = bool(specs) and all(
            spec.element != "json" and not spec.open and len(spec.row_shape) < 2 for spec in specs
        )

    def of_json(self, tensors: Sequence[Any]) -> tuple[Any, ...] | None:
        """The row; None where a closer look is needed."""
        if not self.possible or len(tensors) != len(self.inputs):
            return None
        row = []
        try:
            for expected, tensor in zip(self.inputs, tensors, strict=True):
                data = tensor.data
                if (
                    tensor.name != expected.name
                    or tensor.datatype != expected.datatype
                    or tensor.shape != expected.shape
                    or tensor.parameters
                    or type(data) is not list
                ):
                    return None
                row.append(expected.of_json(data))
        except Misfit:
            return None
        return tuple(row)

    def of_bytes(self, tensors: Sequence[Any], contents: Sequence[bytes]) -> tuple[Any, ...] | None:
        """The same of gRPC's tensors with raw contents."""
        if not self.possible or not len(tensors) == len(contents) == len(self.inputs):
            return None
        row = []
        try:
            for expected, tensor, content in zip(self.inputs, tensors, contents, strict=True):
                if (
                    tensor.name != expected.name
                    or tensor.datatype != expected.datatype
                    or tensor.shape != expected.shape
                    or tensor.HasField("contents")
                ):
                    return None
                row.append(expected.of_bytes(content))
        except Misfit:
            return None
        return tuple(row)


def one_binaries(writers: Sequence[OutputWriter], framed: Callable[[bytes], bytes]) -> Callable[[Batch], list[bytes]]:
    """outputs -> for each row, the binary content of all its outputs, each `framed`; none has an open shape."""
    columns = [_binary_column(writer) for writer in writers]
    if len(columns) == 1:
        only = columns[0]
        return lambda outputs: list(map(framed, only(outputs)))
    if not columns:
        return lambda outputs: [b""] * outputs.n_rows
    return lambda outputs: [
        b"".join(map(framed, row)) for row in zip(*[column(outputs) for column in columns], strict=True)
    ]


def _binary_column(writer: OutputWriter) -> Callable[[Batch], list[bytes]]:
    spec, at, write = writer.spec, writer.at, writer.one_binary

    def column(outputs: Batch) -> list[bytes]:
        if outputs.holds == "rows" or spec.element != "number" or spec.field.nullable:
            return [write(row[at]) for row in outputs.rows()]
        content = outputs.numpy(spec.name).astype(spec.dtype, copy=False).tobytes()
        size = len(content) // max(outputs.n_rows, 1)
        return [content] if outputs.n_rows == 1 else [content[i : i + size] for i in range(0, len(content), size)]

    return column
