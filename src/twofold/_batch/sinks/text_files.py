"""Files of lines, plain or compressed; several of them one after the other are one such file."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa

from twofold._batch.sinks.base import Joiner
from twofold._batch.sinks.copying import copy_bytes
from twofold._batch.sinks.json_text import json_text
from twofold._errors import OutputError

__all__ = ["Write", "in_pieces", "joined_text", "open_text_output", "refuse_untextual"]

Write = Callable[[bytes | pa.Buffer], object]

GZIP_LEVEL = 3
GZIP_WINDOW_BITS = 31
PIECE_BYTES = 256 << 20


@contextmanager
def open_text_output(path: Path, compression: str) -> Iterator[Write]:
    """A function that appends text to the file; what it wrote is one gzip member or zstd frame, even if nothing."""
    if compression == "zstd":
        with pa.CompressedOutputStream(pa.OSFile(str(path), "wb"), "zstd") as stream:
            stream.write(b"")
            yield stream.write
        return
    with path.open("wb") as file:
        if compression == "gzip":
            compressor = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW_BITS)
            yield lambda data: file.write(compressor.compress(data))
            file.write(compressor.flush())
        else:
            yield file.write


@contextmanager
def joined_text(path: Path, compression: str, header: bytes) -> Iterator[Joiner]:
    """Parts joined as bytes, after a header. Concatenated gzip members or zstd frames are one valid file."""
    with path.open("wb") as file:
        file.write(_compressed(header, compression))
        yield _Joiner(file)


def _compressed(text: bytes, compression: str) -> bytes:
    if compression == "gzip":
        return zlib.compress(text, GZIP_LEVEL, GZIP_WINDOW_BITS)
    return pa.Codec("zstd").compress(text, asbytes=True) if compression == "zstd" else text


class _Joiner:
    def __init__(self, output: BinaryIO) -> None:
        self._output = output

    def add(self, part: Path) -> None:
        with part.open("rb") as file:
            size = file.seek(0, 2)
            copy_bytes(file, 0, size, self._output)


def refuse_untextual(schema: pa.Schema) -> None:
    """OutputError that names a column whose type has no text form."""
    for field in schema:
        try:
            json_text(pa.array([], field.type))
        except (OutputError, pa.ArrowException) as error:
            raise OutputError(
                f"the column {field.name} of type {field.type} cannot be written as text. Leave it out with --keep, or "
                "write Parquet or Arrow.",
                column=field.name,
            ) from error


def in_pieces(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """A batch cut so that its text stays far below the 2 GiB that one Arrow string column can hold."""
    pieces = min(batch.num_rows, batch.nbytes // PIECE_BYTES + 1)
    for index in range(pieces):
        start, stop = (batch.num_rows * at // pieces for at in (index, index + 1))
        yield batch.slice(start, stop - start)
