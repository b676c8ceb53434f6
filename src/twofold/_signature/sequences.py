"""Arrays, lists and tuples -> Reading.

A fixed length of numbers is a Tensor; a fixed length of anything else is a List whose length is constrained; the rest
is a List. Nesting adds dimensions: tuple[tuple[float, float], tuple[float, float]] is a 2 x 2 matrix.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twofold._signature.constraints import Metadata
from twofold._signature.convert import array_maker, sequence_from_user, sequence_to_user
from twofold._signature.place import Place, hint_name
from twofold._signature.reading import Reading
from twofold._signature.shape import Shape
from twofold._signature.types import UNCONSTRAINED, Bool, Constraints, Field, Float, Int, List, Tensor

__all__ = ["numpy_scalar", "read_array", "read_list", "read_tuple"]

ReadHint = Callable[..., Reading]


def read_list(item: Any, metadata: Metadata, place: Place, read_hint: ReadHint) -> Reading:
    """list[item], of any length or of the fixed length that a Shape or equal length bounds give it."""
    length = _length(metadata)
    deeper: tuple[Shape, ...] = ()
    if metadata.shape is not None:
        length = metadata.shape[0]
        deeper = (Shape(*metadata.shape[1:]),) if len(metadata.shape) > 1 else ()
    inner = read_hint(item, replace(place, label=_items_of(place)), deeper)
    found = _sequence(list, inner, length)
    if metadata.shape is not None and not isinstance(found.type, Tensor):
        place.refuse("has a Shape, but its items are no plain numbers. Write Meta(min_length=3, max_length=3) instead.")
    return found


def read_tuple(items: tuple[Any, ...], metadata: Metadata, place: Place, read_hint: ReadHint) -> Reading:
    """tuple[item, ...] of any length, or tuple[item, item, item] of this length."""
    if len(items) == 2 and items[1] is ...:
        found = read_list(items[0], metadata, place, read_hint)
        return replace(found, to_user=_tuple_of(found.to_user))
    if metadata.shape is not None or not items or items == ((),):
        place.refuse("is a tuple with a Shape or without items. Write one type per item: tuple[float, float, float].")
    if any(item != items[0] for item in items):
        shown = ", ".join(hint_name(item) for item in items)
        place.refuse(f"is a tuple of different types ({shown}). Write a dataclass with a name for each item.")
    inner = read_hint(items[0], replace(place, label=_items_of(place)))
    return _sequence(tuple, inner, len(items))


def _items_of(place: Place) -> str:
    return place.label if place.label.startswith("an item of ") else f"an item of {place.label}"


def _tuple_of(make: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    if make is None or make is list:
        return tuple
    made = make
    return lambda value: tuple(made(value))


def _length(metadata: Metadata) -> int | None:
    bounds = metadata.constraints
    return bounds.min_length if bounds.min_length and bounds.min_length == bounds.max_length else None


def _sequence(make: type, item: Reading, length: int | None) -> Reading:
    from_user = sequence_from_user(item.from_user)
    to_user = sequence_to_user(make, item.to_user, item_nullable=item.nullable)
    inner = item.type
    if length is not None and not item.nullable and isinstance(inner, (Bool, Int, Float, Tensor)):
        kind = Tensor(inner.item, (length, *inner.shape)) if isinstance(inner, Tensor) else Tensor(inner, (length,))
        return Reading(kind, to_user, from_user, constraints=item.constraints, leftover=item.leftover)
    field = Field("item", inner, item.nullable, constraints=item.constraints)
    fixed = Constraints(min_length=length, max_length=length) if length is not None else UNCONSTRAINED
    return Reading(List(field), to_user, from_user, constraints=fixed, item=item, leftover=item.leftover)


def read_array(arguments: tuple[Any, ...], metadata: Metadata, place: Place) -> Reading:
    """NDArray[np.float32]: with a Shape a tensor, without one a vector of any length."""
    dtypes = typing.get_args(arguments[1]) if len(arguments) == 2 else ()
    item = numpy_scalar(dtypes[0]) if len(dtypes) == 1 else None
    if item is None:
        shown = hint_name(dtypes[0]) if dtypes else "no type"
        place.refuse(f"is an array of {shown}. Write a number type of at most 64 bits: NDArray[np.float32].")
    to_user = array_maker(dtypes[0])
    shape = metadata.shape
    dimensions = _dimensions(arguments[0])
    if shape is None:
        length = _length(metadata)
        shape = (length,) if length is not None else None
    if shape is not None:
        if dimensions is not None and dimensions != len(shape):
            place.refuse(f"is an array of {dimensions} dimensions, but its Shape has {len(shape)}. Make them agree.")
        return Reading(Tensor(item, shape), to_user)
    if dimensions not in (None, 1):
        place.refuse("is a matrix without a size. Write it: Annotated[NDArray[np.float32], twofold.Shape(28, 28)].")
    return Reading(List(Field("item", item)), to_user)


def _dimensions(hint: Any) -> int | None:
    """The number of dimensions that `np.ndarray[tuple[int, int], ...]` says, None for any."""
    sizes = typing.get_args(hint)
    return None if not sizes or Any in sizes or ... in sizes else len(sizes)


def numpy_scalar(hint: Any) -> Bool | Int | Float | None:
    """The number type of a NumPy scalar type, None for what is no number of at most 64 bits."""
    import numpy as np

    if not (isinstance(hint, type) and hint in set(np.sctypeDict.values())):
        return None
    dtype = np.dtype(hint)
    bits = dtype.itemsize * 8
    if dtype.kind == "b":
        return Bool()
    if dtype.kind in "iu":
        return Int(bits, signed=dtype.kind == "i")
    return Float(bits) if dtype.kind == "f" and bits <= 64 else None
