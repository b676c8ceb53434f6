"""Arrow IPC streams that strangers sent: read without a copy, checked before anything is unpacked.

A few bytes of a stream can stand for gigabytes: in compressed buffers, dictionaries, run ends and columns of nulls.
What they would become is added up first.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from twofold._realtime.http.problems import Refusal

__all__ = ["read_stream"]

CONTINUATION = b"\xff\xff\xff\xff"
RECORD_BATCH, DICTIONARY_BATCH = 3, 2  # of the union MessageHeader


def read_stream(body: bytes, max_bytes: int, max_rows: int) -> pa.Table | None:
    """The table of an Arrow IPC stream; None where it is larger than that once it is unpacked.

    Raises Refusal (400) for what is no such stream.
    """
    try:
        if _compressed_bytes(body) > max_bytes:
            return None
        with pa.ipc.open_stream(pa.py_buffer(body)) as reader:
            batches: list[pa.RecordBatch] = []
            n_rows = 0
            for batch in reader:
                n_rows += batch.num_rows
                if n_rows > max_rows:
                    return None
                batch.validate(full=True)
                batches.append(batch)
            table = pa.Table.from_batches(batches, schema=reader.schema)
        return None if sum(map(_decoded_bytes, table.columns)) > max_bytes else table
    except (pa.ArrowException, OSError, ValueError, struct.error, LookupError, OverflowError) as error:
        raise Refusal("bad_body", f"The body is not an Arrow IPC stream: {str(error)[:200]}.") from None


def _decoded_bytes(column: pa.ChunkedArray) -> int:
    return sum(map(_array_bytes, column.chunks))


def _array_bytes(array: pa.Array) -> int:
    """How much memory an array takes without dictionaries and run ends."""
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        return _array_bytes(array.storage)
    if pa.types.is_dictionary(kind):
        words = array.dictionary
        if len(words) and (pa.types.is_string(words.type) or pa.types.is_binary(words.type)):
            lengths = pc.binary_length(words).take(array.indices)
            return int(pc.sum(lengths.cast(pa.int64())).as_py() or 0) + 8 * len(array)
        return len(array) * _widest(words)
    if pa.types.is_run_end_encoded(kind):
        return len(array) * _widest(array.values)
    if pa.types.is_struct(kind):
        return sum(_array_bytes(array.field(at)) for at in range(kind.num_fields))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return int(array.nbytes) + _array_bytes(array.values)
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        views = np.frombuffer(array.buffers()[1], np.int32)[4 * array.offset : 4 * (array.offset + len(array))]
        there = array.is_valid().to_numpy(zero_copy_only=False)
        return int(views[::4][there].sum(dtype=np.int64)) + 16 * len(array)  # a view begins with its length
    return 8 * len(array)


def _widest(values: pa.Array) -> int:
    """No entry of these takes more bytes than this."""
    return _array_bytes(values) if len(values) else 8


def _compressed_bytes(body: bytes) -> int:
    """What the compressed buffers of all messages say that they will take, in bytes."""
    total = 0
    for message, content in _messages(body):
        table = _Table.root(message)
        kind = table.scalar(1, "B")
        batch = table.table(2)
        if kind == DICTIONARY_BATCH and batch is not None:
            batch = batch.table(1)
        if kind not in (RECORD_BATCH, DICTIONARY_BATCH) or batch is None or batch.at(3) is None:
            continue
        for offset, length in batch.structs(2, "qq"):
            if length > 8:
                (size,) = struct.unpack_from("<q", body, content + offset)
                total += max(size, 0)
    return total


def _messages(body: bytes) -> Iterator[tuple[memoryview, int]]:
    """The metadata of each message, and where in the body its content begins."""
    at = 0
    view = memoryview(body)
    while at + 4 <= len(body):
        if body[at : at + 4] == CONTINUATION:
            at += 4
        (size,) = struct.unpack_from("<i", body, at)
        at += 4
        if size <= 0:
            return
        message = view[at : at + size]
        at += size
        yield message, at
        at += max(_Table.root(message).scalar(3, "q"), 0)


class _Table:
    """A table of a flatbuffer: fields by their number."""

    def __init__(self, data: memoryview, start: int) -> None:
        self._data = data
        self._start = start
        (back,) = struct.unpack_from("<i", data, start)
        self._fields = start - back
        if self._fields < 0:
            raise ValueError("its metadata is broken")
        (self._size,) = struct.unpack_from("<H", data, self._fields)

    @classmethod
    def root(cls, data: memoryview) -> _Table:
        (start,) = struct.unpack_from("<I", data, 0)
        return cls(data, start)

    def at(self, field: int) -> int | None:
        """Where the field stands; None: it is not there."""
        if 4 + 2 * field + 2 > self._size:
            return None
        (offset,) = struct.unpack_from("<H", self._data, self._fields + 4 + 2 * field)
        return self._start + offset if offset else None

    def scalar(self, field: int, code: str) -> int:
        at = self.at(field)
        found: int = 0 if at is None else struct.unpack_from(f"<{code}", self._data, at)[0]
        return found

    def _target(self, field: int) -> int | None:
        at = self.at(field)
        return None if at is None else at + int(struct.unpack_from("<I", self._data, at)[0])

    def table(self, field: int) -> _Table | None:
        target = self._target(field)
        return None if target is None else _Table(self._data, target)

    def structs(self, field: int, code: str) -> Iterator[tuple[int, ...]]:
        target = self._target(field)
        if target is None:
            return
        (count,) = struct.unpack_from("<I", self._data, target)
        size = struct.calcsize(f"<{code}")
        for number in range(count):
            yield struct.unpack_from(f"<{code}", self._data, target + 4 + number * size)
