"""Stores: where a run's parts are committed and its output appears. One small module per kind.

open_store(output)      the store that the user's OUTPUT names
store_of(values)        the same store in another process, from its `to_json`
"""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, cast

from twofold._batch.stores.base import Assembly, Store
from twofold._batch.stores.local import LocalStore, local_store, refuse_overlap

__all__ = ["Assembly", "LocalStore", "Store", "open_store", "refuse_overlap", "store_of"]

KINDS: Final[dict[str, tuple[str, str]]] = {
    "local": ("twofold._batch.stores.local", "LocalStore"),
}
"""Kind -> module and class; none is imported before it is used."""


def open_store(output: str) -> Store:
    """The store of an OUTPUT. UsageError for a name that is none."""
    return local_store(output)


def store_of(values: dict[str, Any]) -> Store:
    """What `Store.to_json` wrote."""
    module, name = KINDS[values["kind"]]
    return cast("Store", getattr(import_module(module), name).from_json(values))
