"""Stores: where a run's parts are committed and its output appears. One small module per kind.

open_store(output)      the store that the user's OUTPUT names
store_of(values)        the same store in another process, from its `to_json`
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, Final, cast

from twofold._batch.formats import format_of
from twofold._batch.places import is_url, shown
from twofold._batch.stores.aside import Aside, aside_of
from twofold._batch.stores.base import Assembly, Store
from twofold._batch.stores.local import FOLDER_FORMAT, LocalStore, local_store, refuse_overlap
from twofold._errors import UsageError
from twofold._options import BatchOptions

__all__ = ["Assembly", "LocalStore", "Store", "open_store", "refuse_one_machine", "refuse_overlap", "store_of"]

KINDS: Final[dict[str, tuple[str, str]]] = {
    "local": ("twofold._batch.stores.local", "LocalStore"),
    "objects": ("twofold._batch.stores.objects", "ObjectsStore"),
    "stdout": ("twofold._batch.stores.stdout", "StdoutStore"),
    "sql": ("twofold._batch.stores.sql", "SqlStore"),
}
"""Kind -> module and class; none is imported before it is used."""


def open_store(output: str, options: BatchOptions, inputs: Sequence[str] = ()) -> Store:
    """The store of an OUTPUT. UsageError for a name that is none, and for options that do not go with it.

    `inputs`: the files and objects that the run reads.
    """
    aside = (
        None
        if options.quarantine is None
        else aside_of(options.quarantine, [path for path in inputs if not is_url(path)], output)
    )
    if options.output_format is not None and output != "-":
        raise UsageError(f"--output-format is for standard output (-), and {shown(output)!r} is another output.")
    if is_url(output):
        from twofold._batch.databases import is_database

        if is_database(output):
            return _sql_store(output, options, aside)
    if options.key:
        raise UsageError(f"--key {options.key[0]} is for tables of a database, and {shown(output)!r} is none.")
    if output == "-":
        from twofold._batch.stores.stdout import stdout_store

        return stdout_store(options.output_format, aside)
    if is_url(output):
        return _objects_store(output, options, aside, inputs)
    return local_store(output, aside)


def _objects_store(output: str, options: BatchOptions, aside: Aside | None, inputs: Sequence[str]) -> Store:
    from twofold._batch.objects import SCHEMES, is_object
    from twofold._batch.stores.objects import ObjectsStore
    from twofold._batch.stores.state import state_folder

    if not is_object(output):
        raise UsageError(
            f"{shown(output)!r} is no output: a URL begins with {', '.join(f'{scheme}://' for scheme in SCHEMES[:4])}, "
            "sqlite:// or postgresql://."
        )
    whole = output.rstrip("/")
    for found in inputs:
        if found == whole or found.startswith((f"{whole}/", f"{whole}.twofold/")):
            raise UsageError(
                f"the output {output!r} is the input {shown(found)!r}, or holds it. Choose another OUTPUT."
            )
    is_folder = output.endswith("/") or "." not in output.rpartition("/")[2]
    file_format = FOLDER_FORMAT if is_folder else format_of(output)
    return ObjectsStore(output, is_folder, file_format, state_folder(options.state, output), aside)


def _sql_store(output: str, options: BatchOptions, aside: Aside | None) -> Store:
    from twofold._batch.databases import location_of
    from twofold._batch.stores.sql import SqlStore
    from twofold._batch.stores.state import state_folder

    location = location_of(output)
    if not location.table:
        raise UsageError(f"the output {shown(output)!r} is a query. Name a table: {location.kind}://…?table=NAME")
    if aside is None:
        raise UsageError(
            f"the output {location.shown()!r} is a table, which has no place for rows that have no answer. Say where "
            "they go: --quarantine bad.jsonl"
        )
    return SqlStore(location, state_folder(options.state, location.shown()), aside, options.key)


def refuse_one_machine(store: Store) -> None:
    """UsageError for a store that other machines cannot commit to, however they are connected."""
    values = store.to_json()
    if values["kind"] == "stdout" or (values["kind"] == "sql" and values["location"][0] == "sqlite"):
        raise UsageError(
            f"the output {store.shown()!r} is one of this machine, to which others cannot write. With --executor ray, "
            "OUTPUT is a file or a folder that all nodes see, an object store, or a table of PostgreSQL."
        )


def store_of(values: dict[str, Any]) -> Store:
    """What `Store.to_json` wrote."""
    module, name = KINDS[values["kind"]]
    return cast("Store", getattr(import_module(module), name).from_json(values))
