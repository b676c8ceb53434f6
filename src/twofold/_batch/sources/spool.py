"""Rows that cannot be read twice: written to a file of this machine first, which the splits then refer to.

    spool/rows.arrow    the rows (of standard input: its bytes, as they came)
    spool/spool.json    where they came from and their digest; written when all of them are there

A run that goes on reads the rows it began with. A new run reads them anew.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from twofold._batch.durable import sync_file, write_whole
from twofold._batch.opening import identity_of
from twofold._batch.sinks import writing
from twofold._batch.sources.base import InputFile
from twofold._errors import UsageError

__all__ = ["STDIN", "Spool"]

STDIN: Final = "-"
STDIN_SUFFIXES: Final = {"jsonl": ".jsonl", "csv": ".csv", "arrow": ".arrows"}
COPY_BYTES: Final = 1 << 20


@dataclass(frozen=True)
class Spool:
    """The spool of one run."""

    folder: Path

    def rows(self, source: str, suffix: str, write: Callable[[IO[bytes]], None]) -> InputFile:
        """What `write` writes, as a file that is whole and on the disk. `source`: where it comes from, for people."""
        path = self.folder / f"rows{suffix}"
        self.drop()
        with writing(self.folder):
            self.folder.mkdir(parents=True)
            with _hashing(path) as (file, digest):
                write(file)
            sync_file(path)
            found = {"source": source, "path": path.name, "digest": digest.hexdigest()}
            write_whole(self.folder / "spool.json", json.dumps(found).encode(), self.folder / "spool.json.tmp")
        return self._file(found)

    def found(self, source: str, inputs: Any) -> InputFile | None:
        """The rows that a run spooled, which began with these `inputs` (of its record); None where they are others."""
        try:
            found = json.loads((self.folder / "spool.json").read_bytes())
        except (OSError, ValueError):
            return None
        file = self._file(found) if found["source"] == source and (self.folder / found["path"]).exists() else None
        return file if file is not None and inputs == [[file.shown, file.state]] else None

    def _file(self, found: dict[str, Any]) -> InputFile:
        path = str(self.folder / found["path"])
        return InputFile(path, identity_of(path), name=found["source"], digest=found["digest"])

    def stdin(self, input_format: str | None) -> InputFile:
        """All of standard input. It is read at every start: what comes must be the same where a run goes on."""
        suffix = STDIN_SUFFIXES[input_format or "jsonl"]
        if sys.stdin is None or sys.stdin.closed:
            raise UsageError("INPUT is -, and there is no standard input.")
        return self.rows(STDIN, suffix, lambda file: shutil.copyfileobj(sys.stdin.buffer, file, COPY_BYTES))

    def drop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


@contextmanager
def _hashing(path: Path) -> Iterator[tuple[Any, Any]]:
    digest = hashlib.blake2b(digest_size=16)
    with path.open("wb") as file:
        yield _Hashing(file, digest), digest


class _Hashing:
    """A file that is written forward; what is written is hashed."""

    closed = False

    def __init__(self, file: IO[bytes], digest: Any) -> None:
        self._file, self._digest = file, digest

    def write(self, data: Any) -> int:
        self._digest.update(data)
        return self._file.write(data)

    def tell(self) -> int:
        return self._file.tell()

    def flush(self) -> None:
        self._file.flush()

    def writable(self) -> bool:
        return True

    def close(self) -> None:
        pass
