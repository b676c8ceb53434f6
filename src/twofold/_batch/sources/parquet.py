"""Parquet files: cut at row groups, and inside a row group that is too large for one split.

Read column by column in small buffers: the memory a reader holds depends on the pages of the columns it reads,
not on the size of row groups or files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from twofold._batch.sources.base import FileScan, FileSplit, Piece, reading, refuse_repeated
from twofold._batch.sources.groups import group_splits, pieces_of

__all__ = ["SOURCE", "ParquetSource"]

BUFFER_BYTES = 1 << 20


class ParquetSource:
    def scan(self, path: Path, *, mark_rows: int) -> FileScan:  # noqa: ARG002  (a Parquet file has its own marks)
        with reading(path), _open(path) as file:
            metadata = file.metadata
            rows = [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)]
            schema = file.schema_arrow
        refuse_repeated(path, schema.names)
        return FileScan(str(path), schema, sum(rows), rows)

    def splits(self, scan: FileScan, split_rows: int) -> list[FileSplit]:
        return group_splits(scan.path, scan.marks, split_rows)

    def read(self, split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int) -> Iterator[Piece]:
        groups = list(range(*split.where["groups"]))
        with reading(split.path), _open(Path(split.path)) as file:
            batches = file.iter_batches(batch_rows, row_groups=groups, columns=list(columns), use_threads=False)
            yield from pieces_of(split, batches, columns, schema)


def _open(path: Path) -> pq.ParquetFile:
    return pq.ParquetFile(path, pre_buffer=False, buffer_size=BUFFER_BYTES, page_checksum_verification=True)


SOURCE = ParquetSource()
