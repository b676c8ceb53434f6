"""What a new version of a model must keep, so that those who call the old one need not change."""

from __future__ import annotations

from twofold._signature.signature import Signature
from twofold._signature.types import Choice, Constraints, Field, Float, Int, List, Struct, Tensor, Type, type_name

__all__ = ["broken_promises"]

LOWEST = ("ge", "gt", "min_length")
HIGHEST = ("le", "lt", "max_length")


def broken_promises(old: Signature, new: Signature) -> list[str]:
    """In words, what of `old` does not hold with `new`; empty: every row that fitted fits, every answer can be read.

    A new version may accept more (an optional input, a wider type or bound) and answer more fields.
    """
    broken = [_of_input(found, {f.name: f for f in new.inputs}.get(found.name)) for found in old.inputs]
    known = {found.name for found in old.inputs}
    broken += [f"the input {f.name!r} is new and required" for f in new.inputs if f.required and f.name not in known]
    broken += [_of_output(found, {f.name: f for f in new.outputs}.get(found.name)) for found in old.outputs]
    if old.nulls_as_nan and not new.nulls_as_nan:
        broken.append("a null is not taken as NaN any more")
    return [words for words in broken if words]


def _of_input(old: Field, new: Field | None) -> str:
    name = f"the input {old.name!r}"
    if new is None:
        return f"{name} is gone"
    if not _fits(old.type, new.type, more_members=False):
        return f"{name} was {type_name(old.type)} and is {type_name(new.type)}"
    if old.nullable and not new.nullable:
        return f"{name} may not be null any more"
    if new.required and not old.required:
        return f"{name} is required now"
    return f"{name} has narrower constraints" if _narrower(old.constraints, new.constraints) else ""


def _of_output(old: Field, new: Field | None) -> str:
    name = f"the output {old.name!r}"
    if new is None:
        return f"{name} is gone"
    if not _fits(new.type, old.type, more_members=True):
        return f"{name} was {type_name(old.type)} and is {type_name(new.type)}"
    return f"{name} may be null now" if new.nullable and not old.nullable else ""


def _fits(given: Type, reader: Type, *, more_members: bool) -> bool:
    """Every value of the type `given` is one of the type `reader`. `more_members`: a struct may have more of them."""
    match given, reader:
        case Int(), Int():
            return reader.low <= given.low and given.high <= reader.high
        case Int(), Float():
            return True
        case Float(), Float():
            return given.bits <= reader.bits
        case Choice(), Choice():
            return set(given.values) <= set(reader.values)
        case Tensor(), Tensor():
            return given.shape == reader.shape and _fits(given.item, reader.item, more_members=False)
        case List(), List():
            return _member_fits(given.item, reader.item, more_members=more_members)
        case Struct(), Struct():
            members = {field.name: field for field in given.fields}
            known = {field.name for field in reader.fields}
            return (more_members or known >= set(members)) and all(
                _member_fits(members[field.name], field, more_members=more_members)
                if field.name in members
                else not field.required
                for field in reader.fields
            )
        case _:
            return given == reader


def _member_fits(given: Field, reader: Field, *, more_members: bool) -> bool:
    return (
        _fits(given.type, reader.type, more_members=more_members)
        and (reader.nullable or not given.nullable)
        and (not reader.required or given.required)
        and (more_members or not _narrower(given.constraints, reader.constraints))
    )


def _narrower(old: Constraints, new: Constraints) -> bool:
    """Something that the old constraints allow may not fit the new ones."""
    for name in (*LOWEST, *HIGHEST):
        before, after = getattr(old, name), getattr(new, name)
        if after is not None and (before is None or (after > before if name in LOWEST else after < before)):
            return True
    return any(
        getattr(new, name) is not None and getattr(new, name) != getattr(old, name)
        for name in ("multiple_of", "pattern")
    )
