"""Files as rows: `files:scans/*.png` has a row for each file, with `path`, `bytes`, `size` and `modified`.

Which files there are is written down once (a listing); a split names rows of it. A file is read when its row is, and
only where something reads `bytes`; a piece holds few bytes, however many rows that is.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO, Final

import pyarrow as pa

from twofold._batch.opening import LISTING, identity_of, read_all
from twofold._batch.sources.base import FileScan, FileSplit, Piece, reading
from twofold._batch.sources.listing import Found
from twofold._batch.sources.where import Where
from twofold._errors import InputError

__all__ = ["CONTENT", "SOURCE", "FilesSource", "write_listing"]

CONTENT: Final = "bytes"
PIECE_BYTES: Final = 16 << 20
LIST_ROWS: Final = 4096
COLUMNS: Final = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),
        pa.field(CONTENT, pa.binary(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("modified", pa.timestamp("us", "UTC"), nullable=False),
    ]
)
LISTED: Final = pa.schema(
    [COLUMNS.field("path"), COLUMNS.field("size"), COLUMNS.field("modified"), ("state", pa.string())]
)


def write_listing(found: Sequence[Found], file: IO[bytes]) -> None:
    with pa.ipc.new_file(file, LISTED) as writer:
        for start in range(0, len(found), LIST_ROWS):
            some = found[start : start + LIST_ROWS]
            columns = [
                [file.path for file in some],
                [file.identity[0] for file in some],
                [file.modified for file in some],
                [json.dumps(file.identity) for file in some],
            ]
            arrays = [pa.array(values, field.type) for values, field in zip(columns, LISTED, strict=True)]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=LISTED))


class FilesSource:
    def scan(self, path: str, *, mark_rows: int, where: Where | None) -> FileScan:  # noqa: ARG002
        n_rows = sum(batch.num_rows for batch in _batches(path))
        return FileScan(path, COLUMNS, n_rows, None)

    def splits(self, scan: FileScan, split_rows: int) -> list[FileSplit]:
        return [
            FileSplit(scan.path, first, min(split_rows, scan.n_rows - first), {})
            for first in range(0, scan.n_rows, split_rows)
        ]

    def read(self, split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int) -> Iterator[Piece]:
        """In pieces of at most `batch_rows` files and, with their content, about 16 MiB; one larger file is alone."""
        first = 0
        row = split.first_row
        for batch in _batches(split.path):
            low = max(0, row - first)
            high = min(batch.num_rows, split.first_row + split.n_rows - first)
            first += batch.num_rows
            while low < high:
                stop, contents = _together(batch, low, min(high, low + batch_rows), CONTENT in columns)
                arrays = {name: batch.column(name).slice(low, stop - low) for name in columns if name != CONTENT}
                if CONTENT in columns:
                    arrays[CONTENT] = pa.array(contents, pa.binary())
                yield Piece(row, stop - low, "arrow", arrays, schema=schema)
                row += stop - low
                low = stop


def _together(batch: pa.RecordBatch, low: int, high: int, with_content: bool) -> tuple[int, list[bytes]]:
    """Where a piece that begins at row `low` ends, and what its files hold."""
    if not with_content:
        return high, []
    contents: list[bytes] = []
    n_bytes = 0
    for at in range(low, high):
        size = batch.column("size")[at].as_py()
        if contents and n_bytes + size > PIECE_BYTES:
            break
        contents.append(_content(batch.column("path")[at].as_py(), batch.column("state")[at].as_py()))
        n_bytes += size
    return low + len(contents), contents


def _content(path: str, state: str) -> bytes:
    with reading(path):
        content = read_all(path)
    if identity_of(path) != json.loads(state) or len(content) != json.loads(state)[0]:
        raise InputError(
            f"the input {path!r} was written since the run listed it. Start the run again when nothing writes to it "
            "any more.",
            path=path,
        )
    return content


def _batches(path: str) -> Iterator[pa.RecordBatch]:
    with reading(path), pa.memory_map(path.removeprefix(LISTING)) as file:
        reader = pa.ipc.open_file(file)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)


SOURCE = FilesSource()
