"""One file joined from parts as they come, in order, under a temporary name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from twofold._batch.durable import sync_file
from twofold._batch.formats import Format
from twofold._batch.pipeline import behind
from twofold._batch.sinks import Joiner, open_join, writing

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.stores.base import Assembly

__all__ = ["joined_file"]

SYNC_BYTES = 16 << 20
"""How much is joined before it is flushed, in a thread while splits are still computed: little is left for the end."""


@contextmanager
def joined_file(
    whole: Path, schema: pa.Schema, file_format: Format, part_of: Callable[[str], Path]
) -> Iterator[Assembly]:
    """Joins into `whole`, which is on the disk when this is left. `part_of`: where a part lies."""

    def flush(part: Path) -> None:  # noqa: ARG001
        with writing(whole):
            if whole.exists():  # an Arrow file is written at the end: it begins with all dictionaries
                sync_file(whole)

    with open_join(whole, schema, file_format) as joiner, behind(flush, "flushing behind") as flush_behind:
        yield _Joined(joiner, part_of, flush_behind)
    with writing(whole):
        sync_file(whole)


@dataclass
class _Joined:
    joiner: Joiner
    part_of: Callable[[str], Path]
    flush: Callable[[Path], None]
    unsynced_bytes: int = 0

    def add(self, name: str) -> None:
        part = self.part_of(name)
        self.joiner.add(part)
        self.unsynced_bytes += part.stat().st_size
        if self.unsynced_bytes >= SYNC_BYTES:
            self.flush(part)
            self.unsynced_bytes = 0
