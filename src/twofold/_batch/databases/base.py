"""What a transaction in any database gives."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from twofold._batch.databases.location import Location
from twofold._errors import OutputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Column", "Session", "in_database"]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table. `needed`: a row cannot be added without a value for it."""

    kind: str
    needed: bool


class Session(Protocol):
    """An open transaction. Names in SQL are quoted by `name`; values stand as `?`."""

    now: str
    """The time in seconds, as SQL."""
    last_of_key_wins: bool
    """Whether rows of one statement may meet the same key; else they must be made distinct before."""
    binary: str
    """The type of bytes."""

    def run(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """One statement. The rows that it gives."""
        ...

    def name(self, name: str) -> str:
        """A table's name as SQL; of a database with schemas it may be schema.table."""
        ...

    def name_of(self, column: str) -> str:
        """A column's name as SQL."""
        ...

    def kind_of(self, field: pa.Field) -> str:
        """The type of a column that holds this field."""
        ...

    def columns(self, table: str) -> dict[str, Column]:
        """The columns of a table, in order; empty where there is no such table."""
        ...

    def uniques(self, table: str) -> list[set[str]]:
        """The sets of columns that have a unique index without a condition."""
        ...

    def insert(self, table: str, batches: Iterable[pa.RecordBatch]) -> None:
        """Add rows to the columns that have their names."""
        ...

    def prepare(self) -> None:
        """Before tables are made: nobody else makes them at the same time."""
        ...


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def listed(names: Sequence[str]) -> str:
    return ", ".join(quoted(name) for name in names)


@contextmanager
def in_database(location: Location, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns what a database says into an OutputError, without the secrets of its URL."""
    try:
        yield
    except errors as error:
        said = location.scrubbed(" ".join(str(error).split()))
        raise OutputError(
            f"the output {location.shown()!r} cannot be written: the database says: {said}. What is committed stays: "
            "start again when that is mended."
        ) from None
