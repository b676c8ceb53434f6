"""Python strings -> a string column, with little work of Python's or Arrow's for each."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

__all__ = ["numpy_text_array", "text_array"]

SHORT_BYTES = 32
"""Up to this mean length joining all texts is faster than handing them to Arrow one by one."""
LOOK_AT = 64
MOST_ROWS = (2**31 - 1) // (SHORT_BYTES + 1)


def text_array(values: list[Any], *, nullable: bool = False) -> pa.Array | None:
    """The string column of these strings; None where one is no string (nor null, if that may be) or no UTF-8."""
    found = _short_ascii(values)
    if found is not None:
        return found
    kinds = set(map(type, values))
    if nullable:
        kinds.discard(type(None))
    if not all(issubclass(kind, str) for kind in kinds):
        return None
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:  # half a character
        return None


def _short_ascii(values: list[Any]) -> pa.Array | None:
    """One text with a NUL between the strings tells where each ends; without the NULs it is the column's data.

    None where that is not the faster way, or none at all.
    """
    n_rows = len(values)
    first = values[:LOOK_AT]
    try:
        if not 0 < n_rows <= MOST_ROWS or sum(map(len, first)) > SHORT_BYTES * len(first):
            return None
        joined = "\0".join(values)
    except TypeError:
        return None
    if len(joined) > (SHORT_BYTES + 1) * n_rows or not joined.isascii():
        return None
    ends = np.flatnonzero(np.frombuffer(joined.encode(), np.uint8) == 0)
    if len(ends) != n_rows - 1:  # a NUL inside of a string
        return None
    offsets = np.empty(n_rows + 1, np.int32)
    offsets[0], offsets[-1] = 0, len(joined) - len(ends)
    np.subtract(ends, np.arange(len(ends)), out=offsets[1:-1], casting="unsafe")
    return pa.StringArray.from_buffers(n_rows, pa.py_buffer(offsets), pa.py_buffer("".join(values).encode()))


def numpy_text_array(texts: npt.NDArray[np.str_]) -> pa.Array:
    """The string column of a NumPy array of strings (n,). Raises UnicodeEncodeError for what is no UTF-8."""
    n_rows, width = len(texts), texts.dtype.itemsize // 4
    if 0 < width <= SHORT_BYTES and 0 < n_rows <= MOST_ROWS and texts.dtype.isnative:
        codes = np.ascontiguousarray(texts).view(np.uint32)
        if codes.max() < 128:
            offsets = np.zeros(n_rows + 1, np.int32)
            np.cumsum(np.strings.str_len(texts), out=offsets[1:])
            data = codes.astype(np.uint8).tobytes().replace(b"\0", b"")
            if len(data) == offsets[-1]:  # else there is a NUL inside of a string
                return pa.StringArray.from_buffers(n_rows, pa.py_buffer(offsets), pa.py_buffer(data))
    return pa.array(texts.tolist(), pa.string())
