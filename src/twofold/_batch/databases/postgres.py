"""PostgreSQL, through psycopg. Rows are added by COPY, as text that the server reads into its columns' types."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from twofold._batch.databases.base import Column, in_database, listed, quoted
from twofold._batch.databases.location import Location
from twofold._errors import MissingExtra

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

__all__ = ["connect", "transaction"]

TOGETHER = 0x74776F666F6C64
"""The lock of those who make tables."""


def connect(location: Location) -> psycopg.Connection[tuple[Any, ...]]:
    """MissingExtra where psycopg is not installed."""
    try:
        import psycopg
    except ImportError:
        raise MissingExtra("psycopg", "postgres", "A PostgreSQL database") from None
    return psycopg.connect(location.where, application_name="twofold")


@contextmanager
def transaction(location: Location) -> Iterator[PostgresSession]:
    try:
        import psycopg
    except ImportError:
        raise MissingExtra("psycopg", "postgres", "A PostgreSQL database") from None
    with in_database(location, (psycopg.Error,)), connect(location) as connection:  # rolls back what is not committed
        yield PostgresSession(connection)
        _commit(connection)


def _commit(connection: psycopg.Connection[tuple[Any, ...]]) -> None:
    connection.commit()


class PostgresSession:
    now = "extract(epoch FROM clock_timestamp())::double precision"
    last_of_key_wins = False
    binary = "bytea"

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        if values:
            sql = sql.replace("?", "%s")
        done = self._connection.execute(sql.encode(), values or None)
        return done.fetchall() if done.description is not None else []

    def name(self, name: str) -> str:
        return ".".join(quoted(part) for part in name.split("."))

    def name_of(self, column: str) -> str:
        return quoted(column)

    def kind_of(self, field: pa.Field) -> str:
        from twofold._batch.formats import JSON_MARK

        return "jsonb" if JSON_MARK in (field.metadata or {}) else _kind(field.type)

    def columns(self, table: str) -> dict[str, Column]:
        rows = self.run(
            "SELECT attname, format_type(atttypid, atttypmod), attnotnull AND NOT atthasdef AND attidentity = '' "
            "FROM pg_attribute WHERE attrelid = to_regclass(?) AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
            self.name(table),
        )
        return {name: Column(kind, needed) for name, kind, needed in rows}

    def uniques(self, table: str) -> list[set[str]]:
        rows = self.run(
            "SELECT i.indexrelid, a.attname FROM pg_index i JOIN pg_attribute a "
            "ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey::int2[]) "
            "WHERE i.indrelid = to_regclass(?) AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL "
            "AND i.indnatts = i.indnkeyatts",
            self.name(table),
        )
        found: dict[int, set[str]] = {}
        for index, column in rows:
            found.setdefault(index, set()).add(column)
        return list(found.values())

    def insert(self, table: str, batches: Iterable[pa.RecordBatch]) -> None:
        from twofold._batch.sinks.csv import lines
        from twofold._batch.sinks.text_files import in_pieces

        coming = iter(batches)
        first = next(coming, None)
        if first is None:
            return
        sql = f"COPY {self.name(table)} ({listed(first.schema.names)}) FROM STDIN (FORMAT csv)"
        with self._connection.cursor() as cursor, cursor.copy(sql.encode()) as copy:
            for batch in chain([first], coming):
                for piece in in_pieces(_with_hex(batch)):
                    copy.write(memoryview(lines(piece)))

    def prepare(self) -> None:
        self.run(f"SELECT pg_advisory_xact_lock({TOGETHER})")


def _with_hex(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Bytes as PostgreSQL writes them: \\x and hexadecimal digits."""
    import pyarrow as pa

    from twofold._batch.sinks.column_text import decoded, is_bytes

    for at, field in enumerate(batch.schema):
        column = decoded(batch.column(at))
        if is_bytes(column.type):
            texts = [None if value is None else f"\\x{value.hex()}" for value in column.to_pylist()]
            batch = batch.set_column(at, field.name, pa.array(texts, pa.string()))
    return batch


def _kind(kind: pa.DataType) -> str:
    import pyarrow as pa

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _kind(kind.storage_type)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _kind(kind.value_type)
    if types.is_decimal(kind):
        return f"numeric({kind.precision}, {kind.scale})" if kind.scale >= 0 else "numeric"
    if types.is_timestamp(kind):
        return "timestamp" if kind.tz is None else "timestamptz"
    if types.is_nested(kind):
        return "jsonb"
    for names, found in KINDS.items():
        if str(kind).split("[")[0] in names.split():
            return found
    return "text"


KINDS = {
    "bool": "boolean",
    "int8 int16 uint8": "smallint",
    "int32 uint16": "integer",
    "int64 uint32 duration": "bigint",
    "uint64": "numeric(20)",
    "halffloat float": "real",
    "double": "double precision",
    "binary large_binary binary_view fixed_size_binary": "bytea",
    "date32 date64": "date",
    "time32 time64": "time",
}
"""Arrow's words -> PostgreSQL's; all others are text."""
