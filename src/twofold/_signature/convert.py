"""Canonical values from and to the user's own: small functions, chosen once per hint.

What the signature reads by itself (NumPy scalars and arrays, subclasses of str and int, every datetime) needs none.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

from twofold._errors import WrongResult, shorten

__all__ = ["Convert", "array_maker", "enum_from_user", "not_text", "sequence_from_user", "sequence_to_user"]

Convert = Callable[[Any], Any]


def enum_from_user(owner: type[enum.Enum]) -> Convert:
    """The value of a member; anything else is left to the signature, but a member of another enum is refused here."""

    def convert(value: Any) -> Any:
        if type(value) is owner or isinstance(value, owner):
            return value.value
        if isinstance(value, enum.Enum):
            raise WrongResult(
                f"the model answered {value!r} where its annotation says `{owner.__name__}`. "
                "Return a member of that enum, or change the annotation."
            )
        return value

    return convert


def not_text(value: Any) -> Any:
    """Bytes and times as they are. Their texts belong into JSON and CSV; as an answer a text is a mistake."""
    if isinstance(value, str):
        raise WrongResult(
            f"the model answered the text {shorten(value)!r} where its annotation says bytes or a time. "
            "Return what the annotation says, or change the annotation."
        )
    return value


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


def sequence_from_user(item: Convert | None) -> Convert | None:
    """The items of a list or tuple, each converted; anything else is left to the signature."""
    if item is None:
        return None
    known = item

    def convert(value: Any) -> Any:
        if isinstance(value, (list, tuple)):
            return [None if v is None else known(v) for v in value]
        return value

    return convert
