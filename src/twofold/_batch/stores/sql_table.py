"""Tables for a run's rows: what must be true of one that is there, how one is made, and how rows get into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from twofold._batch.databases import Column, Location, Session
from twofold._errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ROW", "SPLIT", "check_table", "create", "published_rows"]

SPLIT: Final = "twofold_split"
ROW: Final = "twofold_row"


def check_table(session: Session, location: Location, schema: pa.Schema, key: Sequence[str]) -> dict[str, Column]:
    """The columns of the output's table, empty where it is not there yet. UsageError where it cannot take the rows."""
    table, shown = location.table, location.shown()
    for name in key:
        if name not in schema.names:
            raise UsageError(f"--key {name}: the output has no such column. Its columns: {', '.join(schema.names)}.")
    taken = next((name for name in (SPLIT, ROW) if name in schema.names), None)
    if taken is not None:
        raise UsageError(f"a column {taken} is needed while the run works. Leave it out with --keep, or rename it.")
    there = session.columns(table)
    if not there:
        return {}
    absent = [name for name in schema.names if name not in there]
    if absent:
        raise UsageError(
            f"the table of {shown!r} has no column {', '.join(absent)}. Add it, leave it out with --keep, give it "
            "another name with --rename, or choose another table."
        )
    needed = [name for name, column in there.items() if column.needed and name not in schema.names]
    if needed:
        raise UsageError(
            f"the table of {shown!r} needs a value for {', '.join(needed)}, and the output has no such column. Give it "
            "a default, keep it from the input with --keep, or choose another table."
        )
    if key and set(key) not in session.uniques(table):
        columns = ", ".join(key)
        raise UsageError(
            f"--key {columns}: the table of {shown!r} has no unique index on that, so a key could name several rows. "
            f"Make one: CREATE UNIQUE INDEX ON {table} ({columns})"
        )
    return there


def create(
    session: Session,
    table: str,
    schema: pa.Schema,
    there: Mapping[str, Column],
    *,
    key: Sequence[str] = (),
    staging: bool = False,
) -> None:
    """Make a table for rows of this schema; columns that the output's table has take their types."""
    columns = [
        f"{session.name_of(field.name)} {there[field.name].kind if field.name in there else session.kind_of(field)}"
        for field in schema
    ]
    if staging:
        columns += [f"{name} BIGINT" for name in (SPLIT, ROW)]
    if key:
        columns.append(f"PRIMARY KEY ({_listed(session, key)})")
    session.run(f"CREATE TABLE {session.name(table)} ({', '.join(columns)})")


def published_rows(session: Session, staging: str, table: str, names: Sequence[str], key: Sequence[str]) -> str:
    """SQL that puts the rows of all splits into the output, in order."""
    columns = _listed(session, names)
    chosen = f"SELECT {columns} FROM {session.name(staging)}"
    if not key:
        return f"INSERT INTO {session.name(table)} ({columns}) {chosen} ORDER BY {SPLIT}, {ROW}"
    keys = _listed(session, key)
    others = [session.name_of(name) for name in names if name not in key]
    update = f"UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in others)}" if others else "NOTHING"
    if not session.last_of_key_wins:
        chosen = (
            f"SELECT {columns} FROM (SELECT DISTINCT ON ({keys}) * FROM {session.name(staging)} "
            f"ORDER BY {keys}, {SPLIT} DESC, {ROW} DESC) AS last"
        )
    # "WHERE true": else SQLite takes ON CONFLICT for the condition of a join
    order = f"WHERE true ORDER BY {SPLIT}, {ROW}"
    return f"INSERT INTO {session.name(table)} ({columns}) {chosen} {order} ON CONFLICT ({keys}) DO {update}"


def _listed(session: Session, names: Sequence[str]) -> str:
    return ", ".join(map(session.name_of, names))
