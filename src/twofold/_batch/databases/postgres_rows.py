"""Rows out of PostgreSQL by COPY, as CSV that pyarrow reads into the columns' types; one snapshot, read only.

`numeric` without a precision gets the one that its values need, which are looked through before; what has no type here
(arrays, intervals, addresses) comes as the text that PostgreSQL writes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from twofold._batch.databases.base import quoted
from twofold._batch.databases.location import Location
from twofold._batch.databases.postgres import connect
from twofold._batch.databases.queries import PIECE_BYTES, PIECE_ROWS, Answer, reading_database
from twofold._batch.sources.base import refuse_repeated
from twofold._errors import InputError, MissingExtra

if TYPE_CHECKING:
    import psycopg
    import pyarrow as pa

__all__ = ["rows"]

BYTEA, NUMERIC, JSON = 17, 1700, (114, 3802)
MOST_DIGITS: Final = 38


@contextmanager
def rows(location: Location) -> Iterator[Answer]:
    """InputError where the table or the query is not as it should be."""
    try:
        import psycopg
    except ImportError:
        raise MissingExtra("psycopg", "postgres", "A PostgreSQL database") from None
    import pyarrow as pa

    with reading_database(location, (psycopg.Error, pa.ArrowInvalid)), connect(location) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        for setting in ("DateStyle TO 'ISO'", "TimeZone TO 'UTC'", "bytea_output TO 'hex'", "extra_float_digits TO 1"):
            connection.execute(f"SET {setting}".encode())
        table = ".".join(quoted(part) for part in location.table.split("."))
        query = location.query.rstrip().rstrip(";") or f"SELECT * FROM {table}"
        described = connection.execute(f"SELECT * FROM ({query}) AS q LIMIT 0".encode()).description or []
        refuse_repeated(location.shown(), [column.name for column in described])
        schema = pa.schema([_field(connection, query, column) for column in described])
        if not schema.names:
            raise InputError(f"the input {location.shown()!r} has no columns.", path=location.shown())
        yield schema, _batches(connection, query, schema)


def _field(connection: psycopg.Connection[Any], query: str, column: Any) -> pa.Field:
    import pyarrow as pa

    from twofold._batch.formats import JSON_MARK

    kinds = {
        16: pa.bool_(),
        BYTEA: pa.binary(),
        20: pa.int64(),
        21: pa.int16(),
        23: pa.int32(),
        26: pa.int64(),
        700: pa.float32(),
        701: pa.float64(),
        1082: pa.date32(),
        1083: pa.time64("us"),
        1114: pa.timestamp("us"),
        1184: pa.timestamp("us", "UTC"),
    }
    if column.type_code == NUMERIC:
        return pa.field(column.name, _numeric(connection, query, column))
    if column.type_code in JSON:
        return pa.field(column.name, pa.string(), metadata={JSON_MARK: b"1"})
    return pa.field(column.name, kinds.get(column.type_code, pa.string()))


def _numeric(connection: psycopg.Connection[Any], query: str, column: Any) -> pa.DataType:
    """Decimals that hold all values exactly; text where some have more digits than those, or are NaN."""
    import pyarrow as pa

    c = quoted(column.name)
    precision, scale = column.precision, column.scale
    if precision is not None and scale is not None and scale >= 0:
        return pa.decimal128(precision, scale) if scale <= precision <= MOST_DIGITS else pa.string()
    asked = f"SELECT max(scale({c})), max(length(trunc(abs({c}))::text)), bool_or({c}::text ~ '[a-zA-Z]') "
    digits, whole, odd = connection.execute(f"{asked} FROM ({query}) AS q".encode()).fetchone() or (0, 0, False)
    scale = digits or 0
    precision = scale + (whole or 1)
    return pa.string() if odd or precision > MOST_DIGITS or scale > precision else pa.decimal128(precision, scale)


def _batches(connection: psycopg.Connection[Any], query: str, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """The server sends one row a message, so that every piece is whole rows."""
    with connection.cursor() as cursor, cursor.copy(f"COPY ({query}) TO STDOUT (FORMAT csv)".encode()) as copy:
        waiting: list[bytes] = []
        n_bytes = 0
        for row in copy:
            waiting.append(bytes(row))
            n_bytes += len(row)
            if n_bytes >= PIECE_BYTES or len(waiting) >= PIECE_ROWS:
                yield _batch(waiting, schema)
                waiting, n_bytes = [], 0
        if waiting:
            yield _batch(waiting, schema)


def _batch(lines: list[bytes], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa
    import pyarrow.csv as pc

    data = b"".join(lines)
    as_text = {field.name for field in schema if pa.types.is_binary(field.type)}
    kinds = {field.name: pa.string() if field.name in as_text else field.type for field in schema}
    table = pc.read_csv(
        pa.BufferReader(data),
        pc.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=schema.names),
        pc.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(schema) > 1),
        pc.ConvertOptions(
            column_types=kinds,
            null_values=[""],
            true_values=["t"],
            false_values=["f"],
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
        ),
    )
    if table.num_rows != len(lines):
        raise pa.ArrowInvalid(f"{len(lines)} rows came and {table.num_rows} were read")
    columns = []
    for name, column in zip(schema.names, table.columns, strict=True):
        array = pa.concat_arrays(column.chunks)
        if name in as_text:
            array = pa.array([None if text is None else bytes.fromhex(text[2:]) for text in array.to_pylist()])
        columns.append(array)
    return pa.RecordBatch.from_arrays(columns, schema=schema)
