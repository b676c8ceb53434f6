"""Arrow IPC files, file and stream format (told apart by their first bytes), mapped into memory.

A file is cut at its batches and inside large ones. A stream has no index: a reader passes over what comes before its
split without touching it, unless it is compressed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from twofold._batch.opening import open_input
from twofold._batch.sources.base import FileScan, FileSplit, Piece, reading, refuse_repeated
from twofold._batch.sources.groups import group_splits, pieces_of
from twofold._batch.sources.where import Where
from twofold._errors import InputError

__all__ = ["SOURCE", "ArrowSource"]

MAGIC = b"ARROW1"


class ArrowSource:
    def scan(self, path: str, *, mark_rows: int, where: Where | None) -> FileScan:  # noqa: ARG002
        with reading(path), open_input(path, mapped=True) as file:
            if not file.size():
                raise InputError(f"the input {path!r} is empty: it is no Arrow file.", path=path)
            schema = _open(file, None).schema
            # One column says how many rows a batch has; the narrowest one is quickest where batches are compressed.
            rows = [batch.num_rows for batch in _batches(file, _narrowest(schema), 0, None)]
        refuse_repeated(path, schema.names)
        return FileScan(path, schema, sum(rows), rows)

    def splits(self, scan: FileScan, split_rows: int) -> list[FileSplit]:
        return group_splits(scan.path, (scan.marks, ()), split_rows)

    def read(self, split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int) -> Iterator[Piece]:  # noqa: ARG002
        first, stop = split.where["groups"]
        with reading(split.path), open_input(split.path, mapped=True) as file:
            stored = _open(file, None).schema
            wanted = sorted(stored.get_field_index(name) for name in columns)
            yield from pieces_of(split, _batches(file, wanted, first, stop), columns, schema)


def _narrowest(schema: pa.Schema) -> list[int]:
    def bits(index: int) -> int:
        try:
            return int(schema.field(index).type.bit_width)
        except ValueError:
            return 1 << 16

    return sorted(range(len(schema)), key=bits)[:1]


def _open(
    file: pa.NativeFile, wanted: list[int] | None
) -> pa.ipc.RecordBatchFileReader | pa.ipc.RecordBatchStreamReader:
    """A reader of the columns with these indices; none of them stands for all."""
    options = pa.ipc.IpcReadOptions(included_fields=wanted, use_threads=False)
    file.seek(0)
    magic = file.read(len(MAGIC))
    file.seek(0)
    return (pa.ipc.open_file if magic == MAGIC else pa.ipc.open_stream)(file, options=options)


def _batches(file: pa.NativeFile, wanted: list[int], first: int, stop: int | None) -> Iterator[pa.RecordBatch]:
    """The batches `first` to `stop` with these columns."""
    reader = _open(file, wanted)
    if isinstance(reader, pa.ipc.RecordBatchFileReader):
        for index in range(first, reader.num_record_batches if stop is None else stop):
            yield _checked(reader.get_batch(index))
        return
    for index, batch in enumerate(reader):
        if index >= first:
            yield _checked(batch)
        if stop is not None and index + 1 == stop:
            return


def _checked(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Refuses a batch whose buffers are shorter than its columns need, before anything reads past their ends."""
    batch.validate()
    return batch


SOURCE = ArrowSource()
