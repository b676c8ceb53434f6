"""The metadata of `Annotated` as constraints: msgspec.Meta, annotated_types, pydantic's Field, patterns.

What is understood becomes `Constraints`, enforced by the signature in both modes. What is not understood is handed back
as `leftover`: the caller refuses it, or leaves it to pydantic where pydantic makes the value. Nothing is ignored but
what describes: texts, titles, examples, units.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from twofold._signature.place import Place
from twofold._signature.reading import Reading
from twofold._signature.shape import Shape
from twofold._signature.types import (
    UNCONSTRAINED,
    Bool,
    Bytes,
    Constraints,
    Float,
    Int,
    List,
    String,
    Tensor,
    type_name,
)

__all__ = ["Metadata", "fit_constraints", "read_metadata"]

BOUNDS = ("ge", "gt", "le", "lt", "multiple_of")
LENGTHS = ("min_length", "max_length")
DESCRIBES = {"Doc", "DocInfo", "Unit"}


@dataclass(frozen=True, slots=True)
class Metadata:
    """What the metadata of one hint says. `naive`: a datetime without (True) or with (False) a zone, None: not said."""

    constraints: Constraints = UNCONSTRAINED
    shape: tuple[int, ...] | None = None
    naive: bool | None = None
    leftover: tuple[object, ...] = ()


@dataclass(slots=True)
class _Found:
    said: list[tuple[str, Any]] = field(default_factory=list)
    shape: tuple[int, ...] | None = None
    naive: bool | None = None
    leftover: list[object] = field(default_factory=list)


def read_metadata(items: Iterable[object], place: Place) -> Metadata:
    """The metadata items of one `Annotated` (or of one pydantic field), read together.

    Raises ModelError for two that contradict each other, a bound that is not a number, a pattern that does not compile.
    """
    found = _Found()
    for item in _flat(items):
        _read(item, found, place)
    constraints = UNCONSTRAINED
    for name, value in found.said:
        constraints = _with(constraints, name, value, place)
    return Metadata(constraints, found.shape, found.naive, tuple(found.leftover))


def _flat(items: Iterable[object]) -> Iterator[object]:
    for item in items:
        kind = type(item)
        if kind.__name__ == "FieldInfo" and kind.__module__.startswith("pydantic"):
            alias = getattr(item, "alias", None) or getattr(item, "validation_alias", None)
            yield from _flat(getattr(item, "metadata", ()))
            if alias is not None:
                yield _Alias(alias)
        elif hasattr(item, "__is_annotated_types_grouped_metadata__") and kind.__module__ == "annotated_types":
            yield from _flat(iter(item))  # type: ignore[call-overload]
        else:
            yield item


@dataclass(frozen=True, slots=True)
class _Alias:
    """pydantic reads an alias in its own models only; anywhere else it would be dropped without a word."""

    alias: object

    def __repr__(self) -> str:
        return f"Field(alias={self.alias!r})"


def _read(item: object, found: _Found, place: Place) -> None:
    kind = type(item)
    home = kind.__module__.partition(".")[0]
    if isinstance(item, Shape):
        if found.shape is not None:
            place.refuse("has two shapes. Keep one Shape.")
        found.shape = item.lengths
    elif home == "msgspec" and kind.__name__ == "Meta":
        _read_meta(item, found)
    elif home == "annotated_types" and kind.__name__ in ("Ge", "Gt", "Le", "Lt", "MultipleOf", "MinLen", "MaxLen"):
        found.said += [(name, getattr(item, name)) for name in (*BOUNDS, *LENGTHS) if hasattr(item, name)]
    elif home == "annotated_types" and kind.__name__ == "Timezone":
        _read_timezone(item, found)
    elif home == "pydantic" and kind.__name__ in ("StringConstraints", "_PydanticGeneralMetadata"):
        _read_general(item, found)
    elif not (item is None or isinstance(item, str) or kind.__name__ in DESCRIBES):  # None: pydantic's, not set
        found.leftover.append(item)


def _read_meta(item: Any, found: _Found) -> None:
    for name in (*BOUNDS, *LENGTHS, "pattern"):
        value = getattr(item, name)
        if value is not None:
            found.said.append((name, value))
    if item.tz is not None:
        found.naive = not item.tz


def _read_timezone(item: Any, found: _Found) -> None:
    if item.tz is None:
        found.naive = True
    elif item.tz is ... or str(item.tz) == "UTC":
        found.naive = False
    else:
        found.leftover.append(item)


def _read_general(item: Any, found: _Found) -> None:
    """pydantic's own metadata: understood only when every option that is set is understood."""
    options = {name: value for name, value in _options(item) if value is not None}
    known = {name: options.pop(name) for name in (*LENGTHS, "pattern") if name in options}
    found.said += known.items()
    if any(value is not False for value in options.values()):
        found.leftover.append(item)


def _options(item: Any) -> list[tuple[str, Any]]:
    if hasattr(item, "__dataclass_fields__"):
        return [(spec.name, getattr(item, spec.name)) for spec in fields(item)]
    return list(vars(item).items())


def _with(constraints: Constraints, name: str, value: Any, place: Place) -> Constraints:
    """One more constraint; of two on the same side the stricter holds."""
    value = _pattern(value, place) if name == "pattern" else _number(name, value, place)
    before = getattr(constraints, name)
    if before is not None and before != value:
        if name in ("pattern", "multiple_of"):
            place.refuse(f"has two different {name}s, {before!r} and {value!r}. Keep one of them.")
        value = max(before, value) if name in ("ge", "gt", "min_length") else min(before, value)
    changed: Constraints = replace(constraints, **{name: value})
    return changed


def _number(name: str, value: Any, place: Place) -> int | float:
    if not isinstance(value, (int, float)) and hasattr(value, "tolist"):  # a NumPy scalar
        value = value.tolist()
    whole = name in LENGTHS
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or math.isnan(value):
        expected = "a whole number" if whole else "a number"
        place.refuse(f"has the constraint {name}={value!r}, which is not {expected}. Write {expected} there.")
    if (name == "multiple_of" and not (value > 0 and math.isfinite(value))) or (whole and value < 0):
        place.refuse(f"has the constraint {name}={value!r}, which no value can satisfy. Write a positive number.")
    return value


def _pattern(value: Any, place: Place) -> str:
    """The pattern as text; the flags of a compiled one become inline flags. It may match anywhere in the value."""
    text: object = getattr(value, "pattern", value)
    flags = getattr(value, "flags", 0) & ~re.UNICODE
    if not isinstance(text, str):
        place.refuse(f"has the pattern {value!r}, which is not text. Write a str pattern.")
    letters = "".join(c for c, flag in zip("aimsx", (re.A, re.I, re.M, re.S, re.X), strict=True) if flags & flag)
    text = f"(?{letters}){text}" if letters else text
    try:
        re.compile(text)
    except re.error as error:
        place.refuse(f"has the pattern {text!r}, which is not a regular expression ({error}). Correct the pattern.")
    return text


def fit_constraints(said: Constraints, reading: Reading, place: Place) -> Constraints:
    """The constraints of a hint, together with those that its type brings along (of a tensor's items, a fixed length).

    ModelError for one that values of the type cannot be held to. A numeric bound of a tensor holds for each item.
    """
    kind = reading.type
    allowed: tuple[str, ...] = ()
    if isinstance(kind, (Int, Float)) or (isinstance(kind, Tensor) and not isinstance(kind.item, Bool)):
        allowed = BOUNDS
    elif isinstance(kind, String):
        allowed = (*LENGTHS, "pattern")
    elif isinstance(kind, (Bytes, List)):
        allowed = LENGTHS
    if isinstance(kind, Tensor) and said.min_length == said.max_length == kind.shape[0]:
        said = replace(said, min_length=None, max_length=None)  # that is how the tensor got its length
    constraints = reading.constraints
    for spec in fields(said):
        value = getattr(said, spec.name)
        if value is None:
            continue
        if spec.name not in allowed:
            items = " Put it on the items: list[Annotated[float, Meta(ge=0)]]." if isinstance(kind, List) else ""
            place.refuse(
                f"has the constraint {spec.name}={value!r}, which {type_name(kind)} cannot be held to. Remove it, or "
                f"check it in the model and raise twofold.BadRow.{items}"
            )
        constraints = _with(constraints, spec.name, value, place)
    return constraints
