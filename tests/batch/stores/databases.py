"""What stands in a database, for the tests of tables."""

from __future__ import annotations

from typing import Any

from twofold._batch.databases import location_of, transaction


def sql(database: str, text: str, *values: Any) -> list[tuple[Any, ...]]:
    with transaction(location_of(f"{database}table=any")) as session:
        return session.run(text, *values)


def tables(database: str) -> set[str]:
    if database.startswith("sqlite"):
        return {row[0] for row in sql(database, "SELECT name FROM sqlite_master WHERE type = 'table'")}
    return {row[0] for row in sql(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")}
