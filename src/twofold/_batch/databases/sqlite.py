"""SQLite, from the standard library. Rows are added as Python values; what it has no type for is text."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

from twofold._batch.databases.base import Column, in_database, listed, quoted
from twofold._batch.databases.location import Location

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["connect", "transaction"]

BUSY_S = 120.0
"""How long to wait for another writer: there can be one at a time."""
CHUNK_ROWS = 4096


def connect(location: Location) -> sqlite3.Connection:
    return sqlite3.connect(location.where, timeout=BUSY_S, isolation_level=None)


@contextmanager
def transaction(location: Location) -> Iterator[SqliteSession]:
    with in_database(location, (sqlite3.Error, OverflowError)), closing(connect(location)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield SqliteSession(connection)
        except BaseException:
            connection.rollback()
            raise
        _commit(connection)


def _commit(connection: sqlite3.Connection) -> None:
    connection.commit()


class SqliteSession:
    now = "(julianday('now') - 2440587.5) * 86400.0"
    last_of_key_wins = True
    binary = "BLOB"

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql, values).fetchall()

    def name(self, name: str) -> str:
        return quoted(name)

    def name_of(self, column: str) -> str:
        return quoted(column)

    def kind_of(self, field: pa.Field) -> str:
        import pyarrow.types as kinds

        kind = _plain(field.type)
        if kinds.is_integer(kind) or kinds.is_duration(kind):
            return "INTEGER"
        if kinds.is_boolean(kind):
            return "BOOLEAN"
        if kinds.is_floating(kind):
            return "REAL"
        return "BLOB" if _is_bytes(kind) else "TEXT"

    def columns(self, table: str) -> dict[str, Column]:
        rows = self.run('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', table)
        alone = sum(bool(row[4]) for row in rows) == 1
        return {
            name: Column(kind, bool(notnull) and default is None and not (pk and alone and kind.upper() == "INTEGER"))
            for name, kind, notnull, default, pk in rows
        }

    def uniques(self, table: str) -> list[set[str]]:
        key = {row[0] for row in self.run("SELECT name FROM pragma_table_info(?) WHERE pk > 0", table)}
        indexes = self.run('SELECT name FROM pragma_index_list(?) WHERE "unique" AND NOT partial', table)
        found = [{row[0] for row in self.run("SELECT name FROM pragma_index_info(?)", index[0])} for index in indexes]
        return [key, *found] if key else found

    def insert(self, table: str, batches: Iterable[pa.RecordBatch]) -> None:
        for batch in batches:
            places = ", ".join("?" * batch.num_columns)
            sql = f"INSERT INTO {self.name(table)} ({listed(batch.schema.names)}) VALUES ({places})"
            for start in range(0, batch.num_rows, CHUNK_ROWS):
                piece = batch.slice(start, CHUNK_ROWS)
                self._connection.executemany(sql, zip(*map(_values, piece.columns), strict=True))

    def prepare(self) -> None:
        pass  # a transaction that writes is alone


def _plain(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    while True:
        if isinstance(kind, pa.BaseExtensionType):
            kind = kind.storage_type
        elif pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
            kind = kind.value_type
        else:
            return kind


def _is_bytes(kind: pa.DataType) -> bool:
    from twofold._batch.sinks.column_text import is_bytes

    return is_bytes(kind)


def _values(column: pa.Array) -> list[Any]:
    """As SQLite takes them; nested values as JSON, times as the text that other outputs have."""
    import pyarrow as pa
    import pyarrow.compute as pc

    from twofold._batch.sinks.column_text import decoded, is_bytes, is_nested, is_text, plain_text
    from twofold._batch.sinks.json_text import json_text

    column = decoded(column)
    kind = column.type
    types = pa.types
    if types.is_duration(kind):
        column = column.cast(pa.int64())
    elif types.is_float16(kind):
        column = column.cast(pa.float32())
    elif is_nested(kind):
        column = pc.if_else(column.is_valid(), json_text(column), pa.scalar(None, pa.string()))
    elif not any(test(kind) for test in (types.is_integer, types.is_boolean, types.is_floating, is_text, is_bytes)):
        column = plain_text(column)
    found: list[Any] = column.to_pylist()
    return found
