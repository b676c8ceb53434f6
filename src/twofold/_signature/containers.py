"""Which container of whole columns a hint names: looked up by name, so that no package is imported to find out."""

from __future__ import annotations

import typing
from collections.abc import Mapping, MutableMapping
from typing import Any, Literal

from twofold._signature.namespaces import unalias

__all__ = ["CONTAINERS", "Container", "container_of"]

Container = Literal["", "numpy", "pandas", "polars", "table", "record_batch"]

NAMED: dict[tuple[str, str], Container] = {
    ("pandas", "DataFrame"): "pandas",
    ("polars", "DataFrame"): "polars",
    ("pyarrow", "Table"): "table",
    ("pyarrow", "RecordBatch"): "record_batch",
}
CONTAINERS = "dict[str, np.ndarray], pandas.DataFrame, polars.DataFrame, pyarrow.Table or pyarrow.RecordBatch"


def container_of(hint: Any) -> Container:
    """The container, or "" for a hint that is none."""
    hint = unalias(hint)
    while typing.get_origin(hint) is typing.Annotated:
        hint = unalias(hint.__origin__)
    origin = typing.get_origin(hint)
    if origin in (dict, Mapping, MutableMapping):
        key, value = map(unalias, typing.get_args(hint))
        array = typing.get_origin(value) or value
        is_array = getattr(array, "__name__", "") in ("ndarray", "MaskedArray") and array.__module__.startswith("numpy")
        return "numpy" if key is str and is_array else ""
    if not isinstance(hint, type):
        return ""
    return NAMED.get((hint.__module__.partition(".")[0], hint.__name__), "")
