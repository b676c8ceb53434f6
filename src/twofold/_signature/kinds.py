"""One hint -> Reading: which type it is, whether it may be None, what it must satisfy, how its values are made.

A hint is peeled (Annotated, NewType, type aliases, `| None`) and then looked up by what is left: a scalar, an enum or
Literal, a NumPy scalar type, an array, a list or tuple, a struct. Anything else is refused with what to write instead.
"""

from __future__ import annotations

import enum
import types
import typing
from collections.abc import MutableSequence, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from twofold._errors import WrongResult
from twofold._signature.constraints import Metadata, fit_constraints, read_metadata
from twofold._signature.construct import struct_from_user, struct_to_user
from twofold._signature.convert import enum_from_user, not_text
from twofold._signature.misfit import Misfit
from twofold._signature.namespaces import unalias
from twofold._signature.place import Place, hint_name
from twofold._signature.reading import MemberReading, Reading, StructReading
from twofold._signature.sequences import numpy_scalar, read_array, read_list, read_tuple
from twofold._signature.structs import Member, StructClass, struct_class
from twofold._signature.types import (
    MISSING,
    Bool,
    Bytes,
    Choice,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    Scalar,
    String,
    Struct,
)
from twofold._signature.values import value_reader

__all__ = ["read_default", "read_hint", "read_struct"]

SCALARS: dict[Any, Scalar] = {bool: Bool(), int: Int(), float: Float(), str: String(), bytes: Bytes(), date: Date()}
RESERVED = ("_position", "_error", "_raw")

INSTEAD = {
    "Decimal": "Write float, or str to keep every digit.",
    "UUID": "Write str.",
    "time": "Write str, or a number of seconds.",
    "timedelta": "Write float, a number of seconds.",
    "complex": "Write two floats.",
    "dict": "Write a dataclass or a TypedDict with one field per key.",
    "set": "Write a list.",
    "frozenset": "Write a list.",
    "Any": "Write what ONE row's value is, such as float.",
    "object": "Write what ONE row's value is, such as float.",
    "bytearray": "Write bytes.",
    "DataFrame": "For a model on whole columns write @twofold.model(row=Row, result=float).",
    "Table": "For a model on whole columns write @twofold.model(row=Row, result=float).",
    "RecordBatch": "For a model on whole columns write @twofold.model(row=Row, result=float).",
    "Series": "Write what ONE row's value is; for whole columns write @twofold.model(row=Row, result=float).",
    "ndarray": "Write the type of its items: Annotated[NDArray[np.float32], twofold.Shape(30)].",
    "list": "Write the type of its items: list[float].",
    "tuple": "Write the types of its items: tuple[float, float, float].",
}
KNOWN = (
    "Types that are known: bool, int, float, NumPy scalar types, str, bytes, datetime, date, enums, Literal, arrays "
    "with a twofold.Shape, list[...], tuples of one type, dataclasses, TypedDicts, msgspec Structs, pydantic models, "
    "and each of them `| None`."
)


@dataclass(frozen=True, slots=True)
class _Peeled:
    hint: Any
    nullable: bool
    items: tuple[object, ...]


def read_hint(hint: Any, place: Place, beside: tuple[object, ...] = ()) -> Reading:
    """The hint understood; `beside` is metadata that stands outside it. ModelError for what is not supported."""
    peeled = _peel(hint, place)
    metadata = read_metadata((*beside, *peeled.items), place)
    if metadata.leftover and not place.pydantic:
        item = metadata.leftover[0]
        place.refuse(
            f"has the constraint {item!r}, which twofold cannot enforce. Remove it, write it as a msgspec.Meta or "
            "annotated_types bound, or check it in the model and raise twofold.BadRow."
        )
    reading = _read_bare(peeled.hint, metadata, place)
    if metadata.naive is not None and not isinstance(reading.type, Datetime):
        place.refuse("says whether it has a time zone (tz), but is no datetime. Remove that.")
    constraints = fit_constraints(metadata.constraints, reading, place)
    leftover = (*reading.leftover, *metadata.leftover)
    return replace(reading, nullable=peeled.nullable or reading.nullable, constraints=constraints, leftover=leftover)


def _peel(hint: Any, place: Place) -> _Peeled:
    items: tuple[object, ...] = ()
    nullable = False
    while True:
        hint = unalias(hint)
        origin = typing.get_origin(hint)
        if origin is typing.Annotated:
            items = (*items, *hint.__metadata__)
            hint = hint.__origin__
        elif origin is typing.Union or isinstance(hint, types.UnionType):
            options = [arg for arg in typing.get_args(hint) if arg is not type(None)]
            if len(options) != 1:
                shown = " | ".join(hint_name(option) for option in options)
                wider = " (float takes whole numbers too)" if set(options) == {int, float} else ""
                place.refuse(f"may be one of several types, {shown}. Write one type{wider}, or one type `| None`.")
            nullable = nullable or len(options) < len(typing.get_args(hint))
            hint = options[0]
        else:
            return _Peeled(hint, nullable, items)


def _read_bare(hint: Any, metadata: Metadata, place: Place) -> Reading:
    """The hint without Annotated and Optional."""
    origin = typing.get_origin(hint)
    is_list = origin in (list, Sequence, MutableSequence)
    if metadata.shape is not None and not (is_list or origin is tuple or _is_array(hint)):
        place.refuse("has a Shape but is no array. Write Annotated[NDArray[np.float32], twofold.Shape(30)].")
    if isinstance(hint, type) and origin is None:
        found = _read_class(hint, metadata, place)
        if found is not None:
            return found
    elif origin is typing.Literal:
        return _read_literal(typing.get_args(hint), place)
    elif is_list:
        return read_list(typing.get_args(hint)[0], metadata, place, read_hint)
    elif origin is tuple:
        return read_tuple(typing.get_args(hint), metadata, place, read_hint)
    elif _is_array(hint):
        return read_array(typing.get_args(hint), metadata, place)
    return _refuse_unknown(hint, place)


def _read_class(hint: type, metadata: Metadata, place: Place) -> Reading | None:
    if hint in SCALARS:
        return Reading(SCALARS[hint], from_user=not_text if hint in (bytes, date) else None)
    home = hint.__module__.partition(".")[0]
    special = hint.__name__ if home == "pydantic" else ""
    if hint is datetime or special in ("NaiveDatetime", "AwareDatetime"):
        naive = special == "NaiveDatetime" or bool(metadata.naive)
        return Reading(Datetime(naive), from_user=not_text)
    if issubclass(hint, enum.Enum):
        return _read_enum(hint, place)
    if home == "numpy":
        kind = numpy_scalar(hint)
        return None if kind is None else Reading(kind, to_user=hint)
    struct = struct_class(hint, place)
    if struct is None:
        return None
    read = read_struct(struct, place)
    return Reading(
        Struct(read.fields),
        to_user=struct_to_user(read) if place.role == "input" else None,
        from_user=struct_from_user(read),
        struct=read,
    )


def _is_array(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    return isinstance(origin, type) and origin.__module__ == "numpy" and origin.__name__ == "ndarray"


def _read_enum(owner: type[enum.Enum], place: Place) -> Reading:
    if issubclass(owner, enum.Flag):
        place.refuse(f"is the Flag `{owner.__name__}`, whose members add up. Write int, or one bool per flag.")
    members = {_raw(member): member for member in owner}
    choice = _choice(list(members), f"the enum `{owner.__name__}`", place)
    return Reading(choice, to_user=members.__getitem__, from_user=enum_from_user(owner))


def _read_literal(options: tuple[Any, ...], place: Place) -> Reading:
    values = [option for option in options if option is not None]
    members = {_raw(v): v for v in values if isinstance(v, enum.Enum)}
    choice = _choice([_raw(v) if isinstance(v, enum.Enum) else v for v in values], "a Literal", place)
    to_user = (lambda value: members.get(value, value)) if members else None
    return Reading(choice, to_user=to_user, nullable=len(values) < len(options))


def _raw(member: enum.Enum) -> Any:
    """The value of a member; an enum that mixes in str or int may hold a NumPy or other subclass."""
    value = member.value
    if isinstance(value, str):
        return str.__str__(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _choice(values: list[Any], what: str, place: Place) -> Choice:
    unique = list(dict.fromkeys(values))
    if unique and all(type(v) is str for v in unique):
        return Choice(tuple(unique))
    if unique and all(type(v) is int and Int().low <= v <= Int().high for v in unique):
        return Choice(tuple(unique))
    shown = ", ".join(map(repr, values)) or "nothing"
    return place.refuse(f"is {what} of {shown}. Its values must be all str, or all int of at most 64 bits.")


def read_struct(shape: StructClass, place: Place) -> StructReading:
    """The fields of a struct class, each understood. ModelError names the field."""
    if shape.owner in place.within:
        place.refuse(
            f"contains `{shape.owner.__name__}` again. A struct cannot hold itself: write a list of its parts."
        )
    if not shape.members:
        place.refuse(f"is `{shape.owner.__name__}`, which has no fields. Give it at least one.")
    members = tuple(_read_member(shape, member, place) for member in shape.members)
    names = [member.field.name for member in members]
    if twice := next((name for name in names if names.count(name) > 1), None):
        place.refuse(f"is `{shape.owner.__name__}`, which has two fields named {twice!r}. Rename one.")
    return StructReading(shape, members)


def _read_member(shape: StructClass, member: Member, place: Place) -> MemberReading:
    here = place.at_field(shape.owner, member.attribute, pydantic=shape.kind == "pydantic")
    if place.role == "input" and member.name in RESERVED:
        here.refuse(f"is named {member.name!r}, a name that quarantine files use. Rename it.")
    reading = read_hint(member.hint, here, member.metadata)
    nullable = reading.nullable or member.absent
    field = Field(member.name, reading.type, nullable, constraints=reading.constraints)
    if place.role == "input":
        default = _member_default(member, here)
        field = replace(field, default=read_default(default, field, reading, here))
    return MemberReading(member.attribute, member.absent, field, replace(reading, nullable=nullable))


def _member_default(member: Member, place: Place) -> Any:
    if member.factory is None:
        return member.default
    try:
        first, second = member.factory(), member.factory()
    except Exception as error:
        place.refuse(f"has a default_factory that raises {type(error).__name__}: {error}. Write a plain default.")
    if not _same(first, second):
        place.refuse(
            f"has a default_factory that gives another value each time ({first!r}, then {second!r}), so that two modes "
            "would see two defaults. Write a fixed default, or `| None = None` and make the value in the model."
        )
    return first


def _same(first: Any, second: Any) -> bool:
    if hasattr(first, "tolist") and hasattr(second, "tolist"):
        first, second = first.tolist(), second.tolist()
    return bool(first == second)


def read_default(value: Any, field: Field, reading: Reading, place: Place) -> Any:
    """The default as a canonical value; ModelError where it does not fit its own field."""
    if value is MISSING or (value is None and field.nullable):
        return value
    try:
        converted = reading.from_user(value) if reading.from_user is not None and value is not None else value
        return value_reader(field)(converted)
    except Misfit as misfit:
        nothing = " Write `| None` in its annotation." if value is None else ""
        place.refuse(f"has the default {value!r}, which does not fit: {misfit.field_error(0).message}.{nothing}")
    except WrongResult:
        place.refuse(f"has the default {value!r}, which is not of its own type. Correct one of them.")


def _refuse_unknown(hint: Any, place: Place) -> typing.NoReturn:
    if isinstance(hint, typing.TypeVar):
        place.refuse(f"is the type variable {hint_name(hint)}. Write a concrete type.")
    if isinstance(hint, (str, typing.ForwardRef)):
        place.refuse(f"is the name {hint!r}, which is not to be found. Define it at the top of the file.")
    if isinstance(hint, type) and issubclass(hint, tuple) and hasattr(hint, "_fields"):
        place.refuse(f"is the NamedTuple `{hint.__name__}`. Write it as a dataclass: @dataclass class {hint.__name__}.")
    origin = typing.get_origin(hint) or hint
    name = getattr(origin, "__name__", None) or getattr(origin, "_name", None) or ""
    place.refuse(f"is {hint_name(hint)}, which is no type of a row's value. {INSTEAD.get(name, KNOWN)}")
