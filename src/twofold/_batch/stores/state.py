"""What of a run must lie on this machine where its output does not: under `--state`, a folder for each output."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold._batch.durable import write_whole
from twofold._batch.events import LOG
from twofold._batch.sinks import writing
from twofold._batch.stores.locks import locked

__all__ = ["StateFolder", "state_folder"]

SHOWN_CHARACTERS = 48


@dataclass(frozen=True)
class StateFolder:
    """`lock`, `tmp/`, `log.jsonl`, a copy of the record (`run.json`), and what was spooled."""

    path: Path

    @property
    def log(self) -> Path:
        return self.path / LOG

    @property
    def scratch(self) -> Path:
        """On a machine where the folder is not, one of its own."""
        if self.path.is_dir():
            return self.path / "tmp"
        own = Path(tempfile.gettempdir()) / f"twofold-{os.getpid()}-{self.path.name}"
        own.mkdir(exist_ok=True)
        return own

    @contextmanager
    def hold(self, shown: str) -> Iterator[int]:
        with writing(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with locked(self.path, shown) as descriptor:
            yield descriptor

    def place(self) -> str:
        """Says whether another holder was on this machine and had this folder; whoever holds its lock knows then that
        the other is dead."""
        found = self.path.stat()
        return f"{socket.gethostname()} {_boot()} {found.st_dev}:{found.st_ino}"

    def save(self, record: dict[str, Any]) -> None:
        with writing(self.path):
            self.scratch.mkdir(exist_ok=True)
            write_whole(self.path / "run.json", json.dumps(record).encode(), self.scratch / "run.json")

    def sweep(self) -> None:
        with writing(self.path):
            shutil.rmtree(self.scratch, ignore_errors=True)
            self.scratch.mkdir(exist_ok=True)

    def clear(self) -> None:
        shutil.rmtree(self.scratch, ignore_errors=True)


def state_folder(root: str, shown: str) -> StateFolder:
    """The folder of an output, by its name as it is shown."""
    words = re.sub(r"[^A-Za-z0-9._-]+", "-", shown.partition("://")[2])[-SHOWN_CHARACTERS:].strip("-.")
    return StateFolder(Path(root).absolute() / f"{words}-{hashlib.sha256(shown.encode()).hexdigest()[:8]}")


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
