"""Reading: what one hint was understood as, and the two ways between its canonical value and the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twofold._signature import types
from twofold._signature.structs import StructClass
from twofold._signature.types import UNCONSTRAINED, Constraints, Field

__all__ = ["MemberReading", "Reading", "StructReading"]

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Reading:
    """One hint, understood.

    `to_user` makes the user's object of a canonical value that is not null (None: it is that value already);
    `from_user` makes of what the user answered what the signature can read (None: it can already). Neither sees None.
    `item` is what a list holds; `leftover` metadata that only pydantic checks.
    """

    type: types.Type
    to_user: Convert | None = None
    from_user: Convert | None = None
    nullable: bool = False
    constraints: Constraints = UNCONSTRAINED
    struct: StructReading | None = None
    item: Reading | None = None
    leftover: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class MemberReading:
    """One field of a struct: the field of the row it is, and its hint."""

    attribute: str
    absent: bool
    field: Field
    reading: Reading


@dataclass(frozen=True, slots=True)
class StructReading:
    """A struct class with its fields understood. `fields` are those of its row, in order."""

    shape: StructClass
    members: tuple[MemberReading, ...]

    @property
    def fields(self) -> tuple[Field, ...]:
        return tuple(member.field for member in self.members)
