"""Rows out of SQLite. A column has the type that holds all of its values, which are looked through before.

integers -> int64 (bool where the table says BOOLEAN and all are 0 or 1); with reals -> float64; text -> string;
blobs -> binary; several of these -> string (with blobs: refused); none at all -> as the table declares it, else string
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from twofold._batch.databases.base import quoted
from twofold._batch.databases.location import Location
from twofold._batch.databases.queries import PIECE_BYTES, PIECE_ROWS, Answer, reading_database
from twofold._batch.sources.base import refuse_repeated
from twofold._errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["rows"]

FIRST_ROWS = 16
TOGETHER = 200
"""Columns that are looked through at once: a result has at most 2,000, and each asks for seven."""
EXACT = 1 << 53


@contextmanager
def rows(location: Location) -> Iterator[Answer]:
    """InputError where the file, the table or the query is not as it should be."""
    if not Path(location.where).is_file():
        raise InputError(f"the input {location.shown()!r} is not there. Check the path.", path=location.shown())
    with reading_database(location, (sqlite3.Error, OverflowError)):
        address = f"file:{quote(location.where)}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
            connection.execute("BEGIN")  # the same state for all that follows
            query = location.query.rstrip().rstrip(";") or f"SELECT * FROM {quoted(location.table)}"
            cursor = connection.execute(query)
            names = [column[0] for column in cursor.description or ()]
            if not names:
                raise InputError(f"the input {location.shown()!r} gives no rows: it is no query that reads.")
            refuse_repeated(location.shown(), names)
            schema = _schema(connection, query, names, location)
            yield schema, _batches(cursor, schema)


def _schema(connection: sqlite3.Connection, query: str, names: Sequence[str], location: Location) -> pa.Schema:
    import pyarrow as pa

    declared = dict(connection.execute("SELECT name, upper(type) FROM pragma_table_info(?)", (location.table,)))
    fields: list[pa.Field] = []
    for start in range(0, len(names), TOGETHER):
        some = names[start : start + TOGETHER]
        asked = ", ".join(
            f"max(typeof({c})='integer'), max(typeof({c})='real'), max(typeof({c})='text'), max(typeof({c})='blob'), "
            f"min(iif(typeof({c})='integer', {c}, NULL)), max(iif(typeof({c})='integer', {c}, NULL))"
            for c in map(quoted, some)
        )
        found = connection.execute(f"SELECT {asked} FROM ({query})").fetchone()
        for at, name in enumerate(some):
            kind = _kind(found[6 * at : 6 * at + 6], declared.get(name, ""))
            if kind is None:
                raise InputError(
                    f"the input {location.shown()!r} has bytes and other values in the column {name!r}. Cast them in "
                    "a query.",
                    path=location.shown(),
                    columns=[name],
                )
            fields.append(pa.field(name, kind))
    return pa.schema(fields)


def _kind(found: Sequence[Any], declared: str) -> pa.DataType | None:
    import pyarrow as pa

    integers, reals, texts, blobs, low, high = found
    if blobs:
        return None if integers or reals or texts else pa.binary()
    if texts:
        return pa.string()
    if reals:
        exact = not integers or (low >= -EXACT and high <= EXACT)
        return pa.float64() if exact else pa.string()
    if integers:
        return pa.bool_() if declared.startswith("BOOL") and low >= 0 and high <= 1 else pa.int64()
    for word, kind in (("BOOL", pa.bool_()), ("INT", pa.int64()), ("BLOB", pa.binary())):
        if word in declared:
            return kind
    return pa.float64() if any(word in declared for word in ("REAL", "FLOA", "DOUB")) else pa.string()


def _batches(cursor: sqlite3.Cursor, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    n_rows = FIRST_ROWS
    while found := cursor.fetchmany(n_rows):
        columns = [_array(values, field) for values, field in zip(zip(*found, strict=True), schema, strict=True)]
        batch = pa.RecordBatch.from_arrays(columns, schema=schema)
        yield batch
        n_rows = max(1, min(4 * n_rows, PIECE_ROWS, PIECE_BYTES * len(found) // max(batch.nbytes, 1)))


def _array(values: Sequence[Any], field: pa.Field) -> pa.Array:
    import pyarrow as pa

    if pa.types.is_boolean(field.type):
        values = [None if value is None else bool(value) for value in values]
    elif pa.types.is_string(field.type):
        values = [value if value is None or isinstance(value, str) else str(value) for value in values]
    return pa.array(values, field.type)
