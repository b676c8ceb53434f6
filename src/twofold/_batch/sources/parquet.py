"""Parquet files: cut at row groups, and inside a row group that is too large for one split.

Read column by column in small buffers: the memory a reader holds depends on the pages of the columns it reads,
not on the size of row groups or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from twofold._batch.sources.base import FileScan, FileSplit, Piece, reading

__all__ = ["SOURCE", "ParquetSource"]

BUFFER_BYTES = 1 << 20


class ParquetSource:
    """`where`: {"row_groups": [first, last + 1], "skip": rows of these row groups that come before the split}."""

    def scan(self, path: Path, *, mark_rows: int) -> FileScan:  # noqa: ARG002  (a Parquet file has its own marks)
        with reading(path), _open(path) as file:
            metadata = file.metadata
            rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            return FileScan(str(path), file.schema_arrow, sum(rows), rows)

    def splits(self, scan: FileScan, split_rows: int) -> list[FileSplit]:
        splits: list[FileSplit] = []
        start = first_row = n_rows = 0
        for index, group_rows in enumerate(scan.marks):
            if n_rows and n_rows + group_rows > split_rows:
                splits.append(_split(scan.path, first_row, n_rows, (start, index), 0))
                start, first_row, n_rows = index, first_row + n_rows, 0
            n_rows += group_rows
            # Rows before a split inside a row group are decoded and thrown away, so cut only when it is much too large.
            pieces = round(group_rows / split_rows) if n_rows == group_rows else 1
            if pieces > 1:
                bounds = [group_rows * i // pieces for i in range(pieces + 1)]
                splits.extend(
                    _split(scan.path, first_row + low, high - low, (index, index + 1), low)
                    for low, high in pairwise(bounds)
                )
                start, first_row, n_rows = index + 1, first_row + group_rows, 0
        if n_rows:
            splits.append(_split(scan.path, first_row, n_rows, (start, len(scan.marks)), 0))
        return splits

    def read(self, split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int) -> Iterator[Piece]:
        low, high = split.where["row_groups"]
        skip, row, end = split.where["skip"], split.first_row, split.first_row + split.n_rows
        with reading(split.path), _open(Path(split.path)) as file:
            batches = file.iter_batches(
                batch_rows, row_groups=list(range(low, high)), columns=list(columns), use_threads=False
            )
            for batch in batches:
                start = min(skip, batch.num_rows)
                skip -= start
                taken = batch.slice(start, end - row)
                if taken.num_rows:
                    arrays = {name: taken.column(name) for name in columns}
                    yield Piece(row, taken.num_rows, "arrow", arrays, schema=schema)
                    row += taken.num_rows
                if row == end:
                    return


def _split(path: str, first_row: int, n_rows: int, row_groups: tuple[int, int], skip: int) -> FileSplit:
    return FileSplit(path, first_row, n_rows, {"row_groups": list(row_groups), "skip": skip})


def _open(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES)


SOURCE = ParquetSource()
