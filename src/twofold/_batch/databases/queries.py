"""The rows of a table or query, streamed into an Arrow file, in bounded memory and in one snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import IO, TYPE_CHECKING, cast

from twofold._batch.databases.location import Location
from twofold._errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["PIECE_BYTES", "PIECE_ROWS", "Answer", "reading_database", "write_rows"]

PIECE_ROWS = 8192
PIECE_BYTES = 4 << 20

Answer = tuple["pa.Schema", Iterator["pa.RecordBatch"]]


def write_rows(location: Location, file: IO[bytes]) -> None:
    """All rows as an Arrow file. InputError for what the database refuses."""
    import pyarrow as pa

    module = import_module(f"twofold._batch.databases.{location.kind}_rows")
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    opened = cast("AbstractContextManager[Answer]", module.rows(location))
    with opened as (schema, batches), pa.ipc.new_file(file, schema, options=options) as writer:
        for batch in batches:
            writer.write_batch(batch)


@contextmanager
def reading_database(location: Location, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turns what a database says into an InputError, without the secrets of its URL."""
    try:
        yield
    except errors as error:
        said = location.scrubbed(" ".join(str(error).split()))
        raise InputError(
            f"the input {location.shown()!r} cannot be read: the database says: {said}", path=location.shown()
        ) from None
