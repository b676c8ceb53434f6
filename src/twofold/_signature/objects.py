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
    """Names and values of a mapping, a dataclass, a msgspec Struct, a pydantic model or a named tuple; else None.

    The names are those of a row: the encoded names of a Struct, the aliases of a pydantic model.
    """
    if isinstance(value, Mapping):
        return value
    kind = type(value)
    attributes = _attributes(kind)
    return None if attributes is None else {name: getattr(value, read) for name, read in attributes.items()}


def _attributes(kind: Any) -> dict[str, str] | None:
    """The attribute that each name of a row is read from."""
    if hasattr(kind, "__struct_encode_fields__"):
        return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))
    if isinstance(checked := getattr(kind, "__pydantic_fields__", None), dict):
        aliases = {name: info.validation_alias or info.alias or name for name, info in checked.items()}
        return {alias if isinstance(alias, str) else name: name for name, alias in aliases.items()}
    if dataclasses.is_dataclass(kind):
        return {field.name: field.name for field in dataclasses.fields(kind) if field.init}
    named = getattr(kind, "_fields", None)
    return {name: name for name in named} if isinstance(named, tuple) else None
