"""Fields of a Signature as tensors of the Open Inference Protocol. The first dimension of every tensor is rows.

    field                                   datatype             shape
    bool                                    BOOL                 [rows]; inputs also [rows, 1]
    intN, uintN, floatN                     INTn, UINTn, FPn     [rows]
    float or null                           FPn                  null is `null` in JSON, NaN in binary and gRPC
    a fixed vector or matrix                of its items         [rows, *shape]
    a list (of lists) of the above but null of its items         [rows, -1]; the rows of one request are equally long
    a choice of integers                    INT64                [rows]
    text, a choice of texts, date, datetime BYTES                [rows]; UTF-8, dates as in ISO 8601
    bytes                                   BYTES                [rows]; in JSON as base64
    everything else                         BYTES                [rows]; the JSON text of each value, `null` included

Everything else is: a struct, a list of what is not above, and whatever may be null but a float.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from twofold._errors import NotJson
from twofold._realtime.http.problems import MAX_ROWS
from twofold._realtime.oip.errors import OipError
from twofold._signature import Bool, Bytes, Choice, Date, Datetime, Field, Float, Int, List, String, Tensor, Type
from twofold._signature.decode import decode_exactly

__all__ = ["DTYPES", "Array", "Column", "InexactNumbers", "Shape", "TensorSpec", "bytes_elements", "tensor_of"]

Array = npt.NDArray[Any]
# What an input holds for n rows: n values for the Signature to read, or numbers (n, *shape).
Column = list[Any] | Array
Shape = tuple[int, ...]

DTYPES: Final[dict[str, np.dtype[Any]]] = {
    "BOOL": np.dtype("bool"),
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"FP{bits}": np.dtype(f"<f{bits // 8}") for bits in (16, 32, 64)},
}
_MOST_DIMENSIONS: Final = 16


class InexactNumbers(Exception):
    """Floats came for something else; as the text has them they may be integers (7.0), so they must be read exactly."""


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. `row_shape`: of one row, -1 where the size is open; () is one element.

    `element` says what one element of a BYTES tensor is: UTF-8 text, plain bytes, or the JSON text of a value.
    """

    name: str
    datatype: str
    row_shape: Shape
    element: Literal["number", "text", "bytes", "json"]
    field: Field

    @cached_property
    def dtype(self) -> np.dtype[Any]:
        """Of numbers, as they stand in binary: little-endian."""
        return DTYPES[self.datatype]

    @property
    def open(self) -> bool:
        return -1 in self.row_shape

    @property
    def shape(self) -> list[int]:
        """As metadata shows it."""
        return [-1, *self.row_shape]

    @property
    def metadata(self) -> dict[str, Any]:
        return {"name": self.name, "datatype": self.datatype, "shape": self.shape}

    # ---- inputs

    def rows_of(self, datatype: str, shape: Sequence[int]) -> int:
        """How many rows an input of this datatype and shape has. Raises OipError for one that does not fit."""
        if datatype != self.datatype:
            raise OipError("bad_request", f"The input {self.name!r} is {self.datatype}, not {datatype[:20]!r}.")
        n_rows = shape[0] if shape else 0
        row_shape = tuple(shape[1:])
        fits = row_shape == self.row_shape or (self.open and self._fits_open(row_shape))
        if not fits and not (row_shape == (1,) and not self.row_shape):
            raise OipError(
                "bad_request",
                f"The input {self.name!r} has the shape {self.shape} (-1: any size), not {_shown(shape)}.",
            )
        if n_rows < 1:
            raise OipError("bad_request", f"The input {self.name!r} has no rows: its shape is {_shown(shape)}.")
        if n_rows > MAX_ROWS or (0 in row_shape and math.prod(size or 1 for size in shape) > MAX_ROWS):
            raise OipError("body_too_large", f"The input {self.name!r} has more than {MAX_ROWS:,} rows. Send fewer.")
        return n_rows

    def _fits_open(self, row_shape: Shape) -> bool:
        return len(row_shape) == len(self.row_shape) and all(
            size == there or (there == -1 and size >= 0) for size, there in zip(row_shape, self.row_shape, strict=True)
        )

    def from_json(self, data: list[Any], shape: Sequence[int]) -> Column:
        """The column of `data`, nested or flat, of a shape that `rows_of` took.

        Raises InexactNumbers where it depends on a number that JSON was not decoded exactly for."""
        flat = self._flat(data, shape)
        if self.element == "number" and self.datatype[0] != "F" and float in set(map(type, flat)):
            raise InexactNumbers
        n_rows, row_shape = shape[0], self._row_shape(shape)
        if self.element == "json":
            return [None if item is None else self._parsed(item, row) for row, item in enumerate(flat)]
        if self.element == "number" and row_shape and n_rows > 1:
            array = _numbers(flat)
            if array is not None:
                return array.reshape(n_rows, *row_shape)
        return _nested(flat, n_rows, row_shape)

    def from_elements(self, flat: list[Any], shape: Sequence[int]) -> Column:
        """The column of typed elements (numbers, or bytes), of a shape that `rows_of` took."""
        wanted = math.prod(shape)
        if len(flat) != wanted:
            raise self._wrong_count(len(flat), wanted, shape)
        if self.element == "json":
            return [self._parsed(self._text(item, row), row) for row, item in enumerate(flat)]
        if self.element == "text":
            flat = [self._text(item, at) for at, item in enumerate(flat)]
        if self.field.nullable:  # a float: the only number that may be null
            return [None if item != item else item for item in flat]
        return _nested(flat, shape[0], self._row_shape(shape))

    def from_bytes(self, content: bytes | memoryview, shape: Sequence[int]) -> Column:
        """The column of binary content, of a shape that `rows_of` took."""
        if self.element != "number":
            return self.from_elements(bytes_elements(content, math.prod(shape), f"input {self.name!r}"), shape)
        wanted = math.prod(shape) * self.dtype.itemsize
        if len(content) != wanted:
            raise OipError(
                "bad_request",
                f"The input {self.name!r} has {len(content)} bytes of content; its shape {_shown(shape)} of "
                f"{self.datatype} takes {wanted}.",
            )
        array = np.frombuffer(content, np.uint8 if self.datatype == "BOOL" else self.dtype)
        if self.datatype == "BOOL":
            if array.size and array.max() > 1:
                raise OipError("bad_request", f"The input {self.name!r} is BOOL: each byte of it is 0 or 1.")
            array = array.astype(np.bool_)
        if self.field.nullable:
            return self.from_elements(array.tolist(), shape)
        return array.reshape(shape[0], *self._row_shape(shape))

    def _row_shape(self, shape: Sequence[int]) -> Shape:
        return tuple(shape[1:]) if self.row_shape else ()

    def _flat(self, data: list[Any], shape: Sequence[int]) -> list[Any]:
        """The elements in row-major order. Raises OipError when they are not as many as the shape says."""
        if len(shape) > 1 and data and type(data[0]) is list:
            nested = len(data) == shape[0]
            for size in shape[1:]:
                if not nested or any(type(inner) is not list or len(inner) != size for inner in data):
                    raise OipError("bad_request", f"The data of {self.name!r} is not nested as {_shown(shape)} says.")
                data = [item for inner in data for item in inner]
        wanted = math.prod(shape)
        if len(data) != wanted:
            raise self._wrong_count(len(data), wanted, shape)
        return data

    def _wrong_count(self, got: int, wanted: int, shape: Sequence[int]) -> OipError:
        return OipError(
            "bad_request", f"The input {self.name!r} has {got} elements; its shape {_shown(shape)} takes {wanted}."
        )

    def _text(self, item: bytes, at: int) -> str:
        try:
            return item.decode()
        except UnicodeDecodeError as error:
            raise OipError(
                "bad_request", f"Element {at} of the input {self.name!r} is not UTF-8 (byte {error.start})."
            ) from None

    def _parsed(self, text: object, row: int) -> Any:
        if not isinstance(text, str):
            raise OipError(
                "bad_request",
                f"Row {row} of the input {self.name!r} is a text that holds JSON, or null.",
            )
        try:
            return decode_exactly(text)
        except NotJson as error:
            raise OipError(
                "bad_request", f"Row {row} of the input {self.name!r} is not JSON: {error.data['reason']}."
            ) from None


def _shown(shape: Sequence[int]) -> str:
    sizes = ", ".join(map(str, shape[:_MOST_DIMENSIONS]))
    return f"[{sizes}{', …' if len(shape) > _MOST_DIMENSIONS else ''}]"


def _numbers(flat: list[Any]) -> Array | None:
    """Plain JSON numbers of one kind as an array that holds them exactly; None for anything else."""
    kinds = set(map(type, flat))
    try:
        if kinds == {float} or kinds == {float, int}:
            return np.array(flat, np.float64)
        if kinds == {int}:
            return np.array(flat, np.int64)
        if kinds == {bool}:
            return np.array(flat, np.bool_)
    except OverflowError:
        pass
    return None


def _nested(flat: list[Any], n_rows: int, row_shape: Shape) -> list[Any]:
    """n values, each of this shape."""
    if not row_shape:
        return flat
    if n_rows == 1 and len(row_shape) == 1:
        return [flat]
    for size in reversed(row_shape):
        count = len(flat) // size if size else 0
        flat = [flat[at * size : (at + 1) * size] for at in range(count)]
    return flat if flat else [[] for _ in range(n_rows)]


def bytes_elements(content: bytes | memoryview, count: int, what: str) -> list[bytes]:
    """`count` elements of a binary BYTES tensor: four bytes of length (little-endian), then the bytes."""
    elements: list[bytes] = []
    at, end = 0, len(content)
    while at < end:
        first = at + 4
        at = first + int.from_bytes(content[at:first], "little")
        if first > end or at > end:
            raise OipError("bad_request", f"The {what} is cut off within element {len(elements)} of its content.")
        elements.append(bytes(content[first:at]))
        if len(elements) > count:
            break
    if len(elements) != count:
        more = "more" if len(elements) > count else f"{len(elements)}"
        raise OipError("bad_request", f"The {what} takes {count} elements; its content has {more}.")
    return elements


# ---- from fields


def tensor_of(field: Field) -> TensorSpec:
    """How this field travels; the table at the top says so."""
    found = None if field.nullable and not isinstance(field.type, Float) else _leaf(field.type)
    if found is None:
        return TensorSpec(field.name, "BYTES", (), "json", field)
    leaf, row_shape = found
    datatype = _datatype(leaf)
    element: Literal["number", "text", "bytes"] = "number"
    if datatype == "BYTES":
        element = "bytes" if isinstance(leaf, Bytes) else "text"
    return TensorSpec(field.name, datatype, row_shape, element, field)


def _leaf(kind: Type) -> tuple[Type, Shape] | None:
    """What the elements are, and their shape; None for what is no tensor."""
    if isinstance(kind, Tensor):
        return kind.item, kind.shape
    if isinstance(kind, List):
        inner = None if kind.item.nullable else _leaf(kind.item.type)
        return None if inner is None else (inner[0], (-1, *inner[1]))
    if isinstance(kind, Bool | Int | Float | String | Bytes | Date | Datetime | Choice):
        return kind, ()
    return None


def _datatype(leaf: Type) -> str:
    match leaf:
        case Bool():
            return "BOOL"
        case Int(bits, signed):
            return f"{'' if signed else 'U'}INT{bits}"
        case Float(bits):
            return f"FP{bits}"
        case Choice(values) if isinstance(values[0], int):
            return "INT64"
        case _:
            return "BYTES"
