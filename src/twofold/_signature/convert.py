"""Canonical values from and to the user's own: small functions, chosen once per hint.

`from_user` functions never refuse: what they do not know they leave alone, and the signature refuses it with a message
that names the field. NumPy scalars, arrays, tensors of other libraries and pandas Series all say `tolist`.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

__all__ = [
    "array_maker",
    "datetime_from_user",
    "enum_from_user",
    "plain",
    "sequence_from_user",
    "sequence_to_user",
]

Convert = Callable[[Any], Any]


def plain(value: Any) -> Any:
    """The builtin value of a scalar: NumPy scalars, subclasses of str and int, pandas' NA become what they stand for."""
    kind = type(value)
    if kind in (float, str, int, bool, bytes, date, datetime) or value is None:
        return value
    if hasattr(value, "tolist"):
        return value.tolist()
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    return value


def datetime_from_user(naive: bool) -> Convert:
    """Datetimes in UTC. A NumPy datetime64 has no zone and is taken as UTC, which is how columns are handed out."""

    def convert(value: Any) -> Any:
        if type(value).__name__ in ("NAType", "NaTType"):
            return None
        if type(value).__name__ == "datetime64":
            micros = value.astype("datetime64[us]")
            if micros != value:  # finer than a microsecond, or NaT: not ours to round
                return None if str(value) == "NaT" else value
            value = micros.tolist()
            return value if naive or not isinstance(value, datetime) else value.replace(tzinfo=UTC)
        if type(value).__name__ == "Timestamp" and not getattr(value, "nanosecond", 0):
            value = value.to_pydatetime()
        if isinstance(value, datetime) and value.tzinfo not in (None, UTC):
            return value.astimezone(UTC)
        return value

    return convert


def enum_from_user(owner: type[enum.Enum]) -> Convert:
    """The value of a member; a value that is one already stays. A member of another enum stays, to be refused."""

    def convert(value: Any) -> Any:
        if isinstance(value, owner):
            return plain(value.value)
        return value if isinstance(value, enum.Enum) else plain(value)

    return convert


def array_maker(dtype: Any) -> Convert:
    """An array of `dtype` from a nested list."""
    import numpy as np

    array, kind = np.array, np.dtype(dtype)
    return lambda value: array(value, kind)


def sequence_to_user(make: type, item: Convert | None, *, item_nullable: bool) -> Convert:
    """A list or tuple of the user's own items. Always a new one: the user may change what it is handed."""
    if item is None:
        return list if make is list else tuple
    known = item
    each: Convert = (lambda v: None if v is None else known(v)) if item_nullable else known
    if make is list:
        return lambda value: [each(v) for v in value]
    return lambda value: tuple([each(v) for v in value])


def sequence_from_user(item: Convert, exact: type | None) -> Convert:
    """A list of canonical items from a list, a tuple or anything that says `tolist`."""

    def convert(value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            if getattr(getattr(value, "dtype", None), "kind", "") == "M":
                value = list(value)  # datetime64 items: tolist would make integers of nanoseconds
            elif hasattr(value, "tolist"):
                value = value.tolist()
            if not isinstance(value, list):
                return value
        return [v if type(v) is exact or v is None else item(v) for v in value]

    return convert
