"""What every source gives: what is in a file (`FileScan`), where it is cut (`FileSplit`), its rows (`Piece`)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from twofold._batch.opening import Identity
from twofold._errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.sources.where import Where

__all__ = ["Broken", "FileScan", "FileSplit", "InputFile", "Piece", "Source", "reading", "refuse_repeated"]

Positions = np.ndarray[Any, np.dtype[np.int64]]

Constants = dict[str, int | str | None]
"""Column -> its value in all rows of a file."""

Broken = tuple[str, str]
"""The text of a record that cannot be cut into fields, and why it cannot."""


@dataclass(frozen=True, slots=True)
class InputFile:
    """One file of an input: a local path or a URL, and its state before the first look into it (bytes first).

    `name` is what people are shown, and positions name. `digest`: of its content, where the file was made for this run;
    `n_bytes`: what its rows hold, where that is not the size of the file. `constants` are columns that have one value
    in the whole file: what its folders say (`country=DE`).
    """

    path: str
    identity: Identity
    name: str = ""
    constants: Constants = field(default_factory=dict)
    digest: str = ""
    n_bytes: int | None = None

    @property
    def shown(self) -> str:
        return self.name or self.path

    @property
    def state(self) -> Identity:
        """What says, in the record of a run, that this is the same input."""
        return [self.identity[0], self.digest] if self.digest else self.identity


@dataclass(frozen=True, slots=True)
class FileSplit:
    """Rows `first_row` to `first_row + n_rows` of one file. `where` is the source's own: how to find them again.

    `name` and `constants` are those of the file (`InputFile`).
    """

    path: str
    first_row: int
    n_rows: int
    where: dict[str, Any]
    name: str = ""
    constants: Constants = field(default_factory=dict)

    @property
    def shown(self) -> str:
        return self.name or self.path

    def to_json(self) -> dict[str, Any]:
        found = {"path": self.path, "first_row": self.first_row, "n_rows": self.n_rows, "where": self.where}
        more = {"name": self.name, "constants": self.constants}
        return {**found, **{key: value for key, value in more.items() if value}}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> FileSplit:
        return cls(**values)


@dataclass(frozen=True, slots=True)
class FileScan:
    """What one look at a file found. `marks` is the source's own: the places where the file may be cut.

    `schema` is of what the file itself holds.
    """

    path: str
    schema: pa.Schema
    n_rows: int
    marks: Any
    name: str = ""
    constants: Constants = field(default_factory=dict)
    n_bytes: int = 0

    @property
    def shown(self) -> str:
        return self.name or self.path


@dataclass(slots=True)
class Piece:
    """The next `n_rows` rows of a split; the first of them is row `first_row` of the file (from 0).

    Where a filter left rows out, `file_rows` says which rows of the file these are, `n_left_out` how many the filter
    took away since the piece before, and `unjudged` which whole rows it cannot judge, by their row within the piece:
    (column, why).

    `columns` (origin "arrow": typed; "text": CSV cells as strings, null = empty without quotes) or `records`
    (origin "json": one dict a row, as msgspec decodes it) hold the rows that could be cut into fields, in order:
    `n_rows - len(broken)` of them. `broken` has the others by their row within the piece.
    """

    first_row: int
    n_rows: int
    origin: Literal["arrow", "text", "json"]
    columns: dict[str, pa.Array] = field(default_factory=dict)
    records: list[dict[str, Any]] = field(default_factory=list)
    broken: dict[int, Broken] = field(default_factory=dict)
    schema: pa.Schema | None = None
    file_rows: Positions | None = None
    n_left_out: int = 0
    unjudged: dict[int, tuple[str, str]] = field(default_factory=dict)

    def file_row(self, row: int) -> int:
        """The row of the file that row `row` of the piece is."""
        return self.first_row + row if self.file_rows is None else int(self.file_rows[row])

    def rows_of_file(self, rows: Positions) -> Positions:
        """The same of several rows."""
        return rows + self.first_row if self.file_rows is None else self.file_rows[rows]

    @property
    def n_whole(self) -> int:
        """How many rows `columns` or `records` hold."""
        return self.n_rows - len(self.broken)

    def whole_rows(self) -> list[int] | range:
        """The rows within the piece that `columns` or `records` hold, in their order."""
        if not self.broken:
            return range(self.n_rows)
        return [row for row in range(self.n_rows) if row not in self.broken]

    def arrow(self, names: Sequence[str]) -> dict[str, pa.Array]:
        """These columns of the whole rows as Arrow arrays of the input's schema, `n_whole` long."""
        if self.origin != "json":
            return {name: self.columns[name] for name in names}
        from twofold._batch.sources.json_columns import record_columns

        assert self.schema is not None
        return record_columns(self.records, self.schema, names)


class Source(Protocol):
    """One input format."""

    def scan(self, path: str, *, mark_rows: int, where: Where | None) -> FileScan:
        """Look through the file once. A text file gets a mark every `mark_rows` rows. InputError if broken.

        `where`: rows that do not pass it need not be found again.
        """
        ...

    def splits(self, scan: FileScan, split_rows: int) -> list[FileSplit]:
        """The file cut into splits of about `split_rows` rows (text files: exactly), in order, covering it all but
        for what was said not to pass."""
        ...

    def read(self, split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int) -> Iterator[Piece]:
        """The rows of a split in pieces of at most `batch_rows`, in bounded memory.

        `schema` is that of the whole input (`InputScan.schema`); of it only `columns` are read.
        """
        ...


def refuse_repeated(path: str, names: Sequence[str]) -> None:
    """InputError where a file has two columns of one name."""
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"the input {path!r} has the column {repeated[0]!r} more than once. Give each column its own name.",
            path=path,
            columns=repeated,
        )


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turns what pyarrow and the system say about a file that cannot be read into an InputError naming it."""
    import pyarrow as pa

    try:
        yield
    except FileNotFoundError as error:
        raise InputError(f"the input {path!r} is not there. Check the path.", path=path) from error
    except PermissionError as error:
        raise InputError(f"the input {path!r} may not be read. Check its rights.", path=path) from error
    except (OSError, pa.ArrowException) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        why = why.rstrip(".")
        raise InputError(
            f"the input {path!r} cannot be read: {why}. Is the file whole, and of the format its name says?",
            path=path,
        ) from error
