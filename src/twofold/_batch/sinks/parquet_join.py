"""One Parquet file from many: row groups are copied as bytes, and a footer is written in which they have moved.

Numbers below are field ids of `parquet.thrift`; fields that are not named here are kept as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from twofold._batch.sinks.base import Joiner
from twofold._batch.sinks.copying import copy_bytes
from twofold._batch.sinks.thrift import I16, I64, LIST, STRUCT, Sequence, Struct, read_struct, write_struct
from twofold._errors import OutputError

__all__ = ["joined_parquet", "read_footer"]

MAGIC = b"PAR1"

FILE_SCHEMA: Final = 2
FILE_NUM_ROWS: Final = 3
FILE_ROW_GROUPS: Final = 4
GROUP_COLUMNS: Final = 1
GROUP_NUM_ROWS: Final = 3
GROUP_FILE_OFFSET: Final = 5
GROUP_ORDINAL: Final = 7
CHUNK_FILE_OFFSET: Final = 2
CHUNK_META_DATA: Final = 3
CHUNK_PAGE_INDEX: Final = (4, 5, 6, 7)
META_OFFSETS: Final = (9, 10, 11)  # data page, index page, dictionary page
META_BLOOM_FILTER: Final = (14, 15)

MAX_ORDINAL = (1 << 15) - 1


@contextmanager
def joined_parquet(path: Path, write_empty: Callable[[], None]) -> Iterator[Joiner]:
    """Joins parts into `path`; `write_empty` writes the file when there are none."""
    with path.open("wb") as output:
        output.write(MAGIC)
        joiner = _Joiner(output)
        yield joiner
        any_parts = joiner.finish()
    if not any_parts:
        write_empty()


class _Joiner:
    def __init__(self, output: BinaryIO) -> None:
        self._output = output
        self._footer: Struct | None = None
        self._schema = b""
        self._row_groups: list[Struct] = []

    def add(self, part: Path) -> None:
        with part.open("rb") as file:
            footer, end = read_footer(file, part)
            schema = b"".join(write_struct(element) for element in footer.structs(FILE_SCHEMA))
            if self._footer is None:
                self._footer, self._schema = footer, schema
            elif schema != self._schema:
                raise OutputError(
                    f"the part {str(part)!r} has another schema than the first one. Remove it, and run again.",
                    path=str(part),
                )
            groups = footer.structs(FILE_ROW_GROUPS)
            if not groups:
                return
            moved = self._output.tell() - len(MAGIC)
            copy_bytes(file, len(MAGIC), end - len(MAGIC), self._output)
        for group in groups:
            _move(group, moved, len(self._row_groups))
            self._row_groups.append(group)

    def finish(self) -> bool:
        """Write the footer; False when there was no part to take one from."""
        footer = self._footer
        if footer is None:
            return False
        footer.put(FILE_NUM_ROWS, I64, sum(group.number(GROUP_NUM_ROWS) or 0 for group in self._row_groups))
        footer.put(FILE_ROW_GROUPS, LIST, Sequence(STRUCT, list(self._row_groups)))
        stored = write_struct(footer)
        self._output.write(stored + len(stored).to_bytes(4, "little") + MAGIC)
        return True


def read_footer(file: BinaryIO, path: Path) -> tuple[Struct, int]:
    """The metadata of a Parquet file, and the position where it begins. OutputError when it is not there."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    tail = file.read(8)
    length = int.from_bytes(tail[:4], "little")
    start = size - 8 - length
    if tail[4:] != MAGIC or start < len(MAGIC):
        raise OutputError(f"{str(path)!r} is not a whole Parquet file. Remove it, and run again.", path=str(path))
    file.seek(start)
    try:
        footer, _ = read_struct(file.read(length))
    except (IndexError, ValueError) as error:
        raise OutputError(f"{str(path)!r} has a damaged footer. Remove it, and run again.", path=str(path)) from error
    return footer, start


def _move(group: Struct, by: int, ordinal: int) -> None:
    """Add `by` to every position in a row group. Indexes that hold positions themselves are left out."""
    _shift(group, GROUP_FILE_OFFSET, by)
    if ordinal <= MAX_ORDINAL:
        group.put(GROUP_ORDINAL, I16, ordinal)
    else:
        group.drop(GROUP_ORDINAL)
    for chunk in group.structs(GROUP_COLUMNS):
        _shift(chunk, CHUNK_FILE_OFFSET, by)
        chunk.drop(*CHUNK_PAGE_INDEX)
        metadata = chunk.struct(CHUNK_META_DATA)
        if metadata is not None:
            for field_id in META_OFFSETS:
                _shift(metadata, field_id, by)
            metadata.drop(*META_BLOOM_FILTER)


def _shift(struct: Struct, field_id: int, by: int) -> None:
    """Positions of 0 stand for none: writers put it in `file_offset`, which is deprecated."""
    found = struct.get(field_id)
    if found is not None and isinstance(found.value, int) and found.value > 0:
        found.value += by
