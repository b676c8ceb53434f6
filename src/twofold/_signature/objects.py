"""Python objects as the plain lists and mappings they stand for."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

__all__ = ["as_list", "as_mapping", "is_null"]


def is_null(value: Any) -> bool:
    """pandas' and NumPy's words for "no value": NA, NaT, masked."""
    name = type(value).__name__
    return name in ("NAType", "NaTType", "MaskedConstant") or (
        name == "datetime64" and type(value).__module__ == "numpy" and str(value) == "NaT"
    )


def as_list(value: Any) -> list[Any] | None:
    """The items of a list, a tuple or an array; None for anything else (a string is no list)."""
    if isinstance(value, list | tuple):
        return list(value)
    if type(value).__module__.partition(".")[0] in ("numpy", "array", "pandas", "torch", "polars"):
        listed = getattr(value, "tolist", None) or getattr(value, "to_list", None)
        items = listed() if listed is not None else None
        return items if isinstance(items, list) else None
    return None


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """Names and values of a mapping, a dataclass, a msgspec Struct, a pydantic model or a named tuple; else None."""
    if isinstance(value, Mapping):
        return value
    kind = type(value)
    for names in ("__struct_fields__", "model_fields", "_fields"):
        found = getattr(kind, names, None)
        if found is not None and not callable(found):
            return {name: getattr(value, name) for name in found}
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    return None
