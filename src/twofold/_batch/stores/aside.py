"""Where a run's failing rows are put when it is done: a file of JSON lines, there all at once or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from twofold._batch.durable import commit, sync_file
from twofold._batch.sinks import writing
from twofold._errors import OverwriteRefused, UsageError

__all__ = ["Aside", "aside_of"]

FIRST_LINE_BYTES = 1 << 24


@dataclass(frozen=True)
class Aside:
    """`temporary` lies in the same file system."""

    path: Path
    temporary: Path

    def remove(self) -> None:
        with writing(self.path):
            self.path.unlink(missing_ok=True)

    def write(self, pieces: Iterable[bytes]) -> None:
        """All of them, in order; nothing where there is none."""
        with writing(self.path):
            with self.temporary.open("wb") as file:
                file.writelines(pieces)
                size = file.tell()
            if not size:
                self.temporary.unlink()
                return
            sync_file(self.temporary)
            commit(self.temporary, self.path)


def aside_of(given: str, inputs: Iterable[str], output: str) -> Aside:
    """The file that --quarantine names. A file that is there is replaced where it is a quarantine, too; UsageError
    for one that is something else, or that this run reads or writes."""
    path = Path(os.path.abspath(given))  # noqa: PTH100 (no links followed)
    if not path.parent.is_dir():
        raise UsageError(f"--quarantine {given}: its folder is not there. Make it, or choose another place.")
    if path.is_dir():
        raise UsageError(f"--quarantine {given} is a folder. Name a file in it: {given.rstrip('/')}/quarantine.jsonl")
    for other in (*inputs, output):
        if path.resolve() == Path(other).resolve():
            raise UsageError(f"--quarantine {given} is what this run reads or writes. Choose another place.")
    if path.exists() and not _is_quarantine(path):
        raise OverwriteRefused(f"--quarantine {given}: there is a file that no run made. Move it, or choose another.")
    return Aside(path, path.with_name(f".{path.name}.tmp"))


def _is_quarantine(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(FIRST_LINE_BYTES)
    try:
        return not first or {"_position", "_error"} <= set(json.loads(first))
    except (ValueError, TypeError):
        return False
