"""How one column moves between its three forms: Python values, a NumPy array, an Arrow array.

Arrow type                    NumPy array (n rows)                    Python value
bool, intN, uintN             (n,) of that dtype                      bool, int
  nullable                    MaskedArray (always, nulls or not)      or None
floatN                        (n,) of that dtype, null = NaN          float or None
timestamp[us], date32         datetime64[us] (UTC), datetime64[D]     datetime (aware where there is a zone), date
  nullable                    null = NaT                              or None
fixed_size_list (nested)      (n, *shape) of the item's dtype         nested list or None (its row NaN or masked)
everything else               (n,) of object: str, bytes, list, dict  the same
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.types as kinds

__all__ = ["Array", "Codec", "codec_of", "python_values"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Codec:
    """The conversions of one column.

    `null` says how its NumPy form holds a null: as NaN or NaT, under a mask, as None, or not at all.
    """

    type: pa.DataType
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    null: Literal["nan", "mask", "none", "refused"]
    family: Literal["number", "time", "object"]
    utc: bool = False

    def numpy_from_values(self, values: Sequence[Any]) -> Array:
        """(n, *shape) of `dtype` from n canonical Python values."""
        if self.family == "number":
            if self.null == "mask":
                return self._masked_from_values(values)
            if self.shape:
                return self._tensors_from_values(values, np.nan)
            return np.array(values, dtype=self.dtype)  # NumPy reads None as NaN where the dtype is a float
        if self.utc:  # NumPy knows no zones; canonical instants are UTC already
            values = [None if v is None else v.replace(tzinfo=None) for v in values]
        if self.family == "time":
            return np.array(values, dtype=self.dtype)
        return np.fromiter(values, dtype=object, count=len(values))

    def _tensors_from_values(self, values: Sequence[Any], filler: Any) -> Array:
        if not values:
            return np.empty((0, *self.shape), dtype=self.dtype)
        if self.null != "refused" and None in values:
            blank = np.full(self.shape, filler, dtype=self.dtype)
            values = [blank if v is None else v for v in values]
        return np.array(values, dtype=self.dtype)

    def _masked_from_values(self, values: Sequence[Any]) -> Array:
        mask = np.fromiter((v is None for v in values), dtype=bool, count=len(values))
        if self.shape:
            data = self._tensors_from_values(values, 0)
            mask = np.broadcast_to(mask.reshape(-1, *(1,) * len(self.shape)), data.shape).copy()
        else:
            data = np.array([0 if v is None else v for v in values] if mask.any() else values, dtype=self.dtype)
        return np.ma.MaskedArray(data, mask)

    def numpy_from_arrow(self, array: pa.Array) -> Array:
        """(n, *shape) of `dtype`; shares memory with `array` where there is no null and no bool to unpack."""
        if self.family == "object":
            return np.fromiter(python_values(array), dtype=object, count=len(array))
        if array.null_count and self.null == "refused":
            raise ValueError(f"a column of {array.type} that may not be null holds {array.null_count} nulls")
        if self.shape:
            return self._tensors_from_arrow(array)
        if self.null == "mask":
            data = array.fill_null(False if kinds.is_boolean(array.type) else 0) if array.null_count else array
            return np.ma.MaskedArray(_flat(data), _flat(array.is_null()))
        return _flat(array).astype(self.dtype, copy=False)

    def _tensors_from_arrow(self, array: pa.Array) -> Array:
        n_rows, items = len(array), array
        while kinds.is_fixed_size_list(items.type):
            size = items.type.list_size
            items = items.values.slice(items.offset * size, len(items) * size)
        if self.null != "mask" and not array.null_count and not items.null_count:
            return _flat(items).reshape(n_rows, *self.shape)
        mask: npt.NDArray[np.bool_] = _flat(array.is_null())
        if items.null_count:
            inside = _flat(items.is_null()).reshape(n_rows, math.prod(self.shape)).any(axis=1)
            if (inside & ~mask).any():
                raise ValueError(f"a column of {array.type} holds nulls inside a row")
        data = _flat(items).reshape(n_rows, *self.shape)
        if array.null_count:  # below a null lies whatever was there: overwrite it
            data = data.copy()
            data[mask] = np.nan if self.null == "nan" else 0
        data = data.astype(self.dtype, copy=False)
        if self.null == "nan":
            return data
        return np.ma.MaskedArray(data, np.broadcast_to(mask.reshape(-1, *(1,) * len(self.shape)), data.shape).copy())

    def arrow_from_values(self, values: Sequence[Any]) -> pa.Array:
        """An Arrow array of `type` from canonical Python values."""
        if self.shape and values:
            return self.arrow_from_numpy(self.numpy_from_values(values), [v is None for v in values])
        return pa.array(values, type=self.type)

    def arrow_from_numpy(self, array: Array, null: Sequence[bool] | None = None) -> pa.Array:
        """An Arrow array of `type`; shares memory with a contiguous array of numbers.

        A masked value, NaT and None become null; NaN stays NaN but where `null` says otherwise.
        """
        mask: Array | None = np.array(null, dtype=bool) if null is not None else None
        if isinstance(array, np.ma.MaskedArray):
            found: Any = np.ma.getmaskarray(array)
            mask = found.any(axis=tuple(range(1, found.ndim))) if self.shape else found
            array = array.data
        if self.shape:
            return self._nest(array, mask)
        if self.family == "time":
            array = array.astype(self.dtype, copy=False)
        return pa.array(array, type=self.type, mask=mask if mask is not None and mask.any() else None)

    def _nest(self, array: Array, mask: npt.NDArray[np.bool_] | None) -> pa.Array:
        types = [self.type]
        while kinds.is_fixed_size_list(types[-1]):
            types.append(types[-1].value_type)
        nested = pa.array(np.ascontiguousarray(array, dtype=self.dtype).reshape(-1), type=types[-1])
        for kind in reversed(types[1:-1]):
            nested = pa.FixedSizeListArray.from_arrays(nested, type=kind)
        missing = None if mask is None or not mask.any() else pa.array(mask)
        return pa.FixedSizeListArray.from_arrays(nested, type=self.type, mask=missing)

    def values_from_numpy(self, array: Array) -> list[Any]:
        """n canonical Python values."""
        if self.family == "time":
            array = array.astype(self.dtype, copy=False)
        values: list[Any] = array.tolist()
        if self.utc:
            return [None if v is None else v.replace(tzinfo=UTC) for v in values]
        if self.shape and isinstance(array, np.ma.MaskedArray):
            missing: Any = np.ma.getmaskarray(array).any(axis=tuple(range(1, array.ndim)))
            return [None if gone else v for gone, v in zip(missing.tolist(), values, strict=True)]
        return values


def _flat(array: pa.Array) -> Array:
    found: Array = array.to_numpy(zero_copy_only=False)
    return found


def python_values(array: pa.Array) -> list[Any]:
    """The canonical Python values of an Arrow array; several times faster than `to_pylist`."""
    kind = array.type
    nulls = array.null_count > 0
    if kinds.is_fixed_size_list(kind):
        size = kind.list_size
        items = python_values(array.values.slice(array.offset * size, len(array) * size))
        rows: list[Any] = [items[at : at + size] for at in range(0, len(items), size)] if size else [[] for _ in array]
        return _blank(rows, array) if nulls else rows
    if kinds.is_list(kind) or kinds.is_large_list(kind):
        ends = _flat(array.offsets).tolist()
        items = python_values(array.values.slice(ends[0], ends[-1] - ends[0]))
        rows = [items[a - ends[0] : b - ends[0]] for a, b in pairwise(ends)]
        return _blank(rows, array) if nulls else rows
    if kinds.is_struct(kind):
        names = [field.name for field in kind]
        columns = [python_values(column) for column in array.flatten()]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
        if not names:
            rows = [{} for _ in array]
        return _blank(rows, array) if nulls else rows
    if kinds.is_timestamp(kind) and kind.unit in ("us", "ms", "s"):
        values: list[Any] = _flat(array).astype("datetime64[us]", copy=False).tolist()
        return values if kind.tz is None else [None if v is None else v.replace(tzinfo=UTC) for v in values]
    if nulls and (kinds.is_integer(kind) or kinds.is_floating(kind)):
        return _blank(_flat(array.fill_null(0)).tolist(), array)  # to_numpy would make floats of the integers
    text = kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_binary(kind) or kinds.is_large_binary(kind)
    if text or kinds.is_date32(kind) or (kinds.is_primitive(kind) and not kinds.is_temporal(kind)):
        found: list[Any] = _flat(array).tolist()
        return found
    plain: list[Any] = array.to_pylist()
    return plain


def _blank(values: list[Any], array: pa.Array) -> list[Any]:
    return [None if gone else v for gone, v in zip(_flat(array.is_null()).tolist(), values, strict=True)]


@lru_cache(maxsize=1024)
def codec_of(kind: pa.DataType, nullable: bool) -> Codec:
    """The codec of a column of this Arrow type."""
    item = kind
    shape: tuple[int, ...] = ()
    while kinds.is_fixed_size_list(item):
        shape, item = (*shape, item.list_size), item.value_type
    if kinds.is_floating(item):
        return Codec(kind, np.dtype(item.to_pandas_dtype()), shape, "nan" if nullable else "refused", "number")
    if kinds.is_integer(item) or kinds.is_boolean(item):
        return Codec(kind, np.dtype(item.to_pandas_dtype()), shape, "mask" if nullable else "refused", "number")
    null: Literal["nan", "refused"] = "nan" if nullable else "refused"
    if kinds.is_timestamp(kind) and kind.unit == "us":
        return Codec(kind, np.dtype("datetime64[us]"), (), null, "time", utc=kind.tz is not None)
    if kinds.is_date32(kind):
        return Codec(kind, np.dtype("datetime64[D]"), (), null, "time")
    return Codec(kind, np.dtype(object), (), "none", "object")
