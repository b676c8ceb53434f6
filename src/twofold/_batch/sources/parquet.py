"""Parquet files: cut at row groups, and inside a row group that is too large for one split.

Read column by column in small buffers: the memory a reader holds depends on the pages of the columns it reads,
not on the size of row groups or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

import pyarrow as pa
import pyarrow.parquet as pq

from twofold._batch.objects import is_object
from twofold._batch.opening import AHEAD_BYTES, open_input
from twofold._batch.sources.base import FileScan, FileSplit, Piece, reading, refuse_repeated
from twofold._batch.sources.cursors import borrowed, identity
from twofold._batch.sources.groups import group_splits, pieces_of
from twofold._batch.sources.where import Where
from twofold._errors import UsageError

__all__ = ["SOURCE", "ParquetSource"]

BUFFER_BYTES = 1 << 20


class ParquetSource:
    def scan(self, path: str, *, mark_rows: int, where: Where | None) -> FileScan:  # noqa: ARG002  (it has its own marks)
        with reading(path), _opened(path) as file:
            metadata = file.metadata
            schema = file.schema_arrow
            rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            groups = range(len(rows)) if where is not None else ()
            ruled_out = {i for i in groups if where is not None and rules_out(where, metadata, i, schema)}
        refuse_repeated(path, schema.names)
        return FileScan(path, schema, sum(rows), (rows, ruled_out))

    def splits(self, scan: FileScan, split_rows: int) -> list[FileSplit]:
        return group_splits(scan.path, scan.marks, split_rows)

    def read(self, split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int) -> Iterator[Piece]:
        groups = list(range(*split.where["groups"]))
        with reading(split.path):
            with _opened(split.path) as file:
                if sum(file.metadata.row_group(group).num_rows for group in groups) == split.n_rows:
                    batches = file.iter_batches(batch_rows, row_groups=groups, columns=list(columns), use_threads=False)
                    yield from pieces_of(split, batches, columns, schema)
                    return
            yield from self._read_part_of_group(split, schema, columns, batch_rows)

    def _read_part_of_group(
        self, split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int
    ) -> Iterator[Piece]:
        group, skip = split.where["groups"][0], split.where["skip"]
        key = (identity(split.path), group, tuple(columns), batch_rows)
        row = split.first_row
        with borrowed(key, skip, lambda: _Group(split.path, group, columns, batch_rows)) as cursor:
            for batch in cursor.take(skip, split.n_rows):
                arrays = {name: batch.column(name) for name in columns}
                yield Piece(row, batch.num_rows, "arrow", arrays, schema=schema)
                row += batch.num_rows


class _Group:
    """A row group read forward. What a split does not need of it is decoded all the same, and thrown away."""

    def __init__(self, path: str, group: int, columns: Sequence[str], batch_rows: int) -> None:
        self.row = 0
        self.done = False
        self._open = ExitStack()
        file = self._open.enter_context(_opened(path))
        self._batches = file.iter_batches(batch_rows, row_groups=[group], columns=list(columns), use_threads=False)
        self._rest: pa.RecordBatch | None = None
        self._n_rows = file.metadata.row_group(group).num_rows

    def close(self) -> None:
        self._open.close()

    def take(self, first_row: int, n_rows: int) -> Iterator[pa.RecordBatch]:
        """Rows `first_row` to `first_row + n_rows` of the row group."""
        end = first_row + n_rows
        while self.row < end:
            batch = self._rest if self._rest is not None else next(self._batches, None)
            self._rest = None
            if batch is None:
                self.done = True
                return
            low, high = max(0, first_row - self.row), min(batch.num_rows, end - self.row)
            if high < batch.num_rows:
                self._rest = batch.slice(high)
            self.row += high
            self.done = self.row == self._n_rows
            if low < high:
                yield batch.slice(low, high - low)


def rules_out(where: Where, metadata: pq.FileMetaData, group: int, schema: pa.Schema) -> bool:
    """Whether the statistics of a row group say that none of its rows passes."""
    found = metadata.row_group(group)
    paths = {found.column(i).path_in_schema: i for i in range(found.num_columns)}
    for comparison in where.comparisons:
        if comparison.column not in paths or comparison.column not in schema.names:
            continue
        statistics = found.column(paths[comparison.column]).statistics
        if statistics is None or not statistics.has_min_max:
            continue
        kind = schema.field(comparison.column).type
        try:
            if not comparison.may_hold(pa.array([statistics.min, statistics.max], kind)):
                return True
        except (pa.ArrowException, NotImplementedError, TypeError, ValueError, UsageError):
            continue  # what is wrong with it is said where the whole input is known
    return False


@contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    buffer_bytes = AHEAD_BYTES if is_object(path) else BUFFER_BYTES
    with open_input(path, ahead=False) as stored:
        yield pq.ParquetFile(stored, pre_buffer=False, buffer_size=buffer_bytes, page_checksum_verification=True)


SOURCE = ParquetSource()
