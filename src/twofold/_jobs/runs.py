"""The folder of a run, which its process and all schedulers look into. Who holds the lock runs it; nobody else does.

    000012-1/          firing 12, its first attempt
        task.json      what to do
        lock           held by the process that attends the run, and by the command it runs; its process id
        log            what the run printed
        progress.json  rows done, and how fast (batch runs)
        exit.json      how it ended; once this is there, the run is over

A scheduler that dies leaves its runs running; another finds their folders. A folder that nobody holds and that has no
exit.json belongs to a run that was killed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold._batch.durable import write_whole
from twofold._batch.stores.locks import try_lock
from twofold._errors import shorten

__all__ = ["ALREADY", "LOST", "Run", "RunExit"]

LAST_BYTES, LAST_CHARACTERS = 4096, 300
LOST = -9
ALREADY = 75
"""The exit code of an attending process that found the run taken, or over."""


@dataclass(frozen=True, slots=True)
class RunExit:
    """How a run ended: its exit code, and a sentence."""

    code: int
    words: str = ""


class Run:
    """The run in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    # ---- for the scheduler ----------------------------------------------------------------------------------------

    def begin(self, task: dict[str, Any]) -> subprocess.Popen[bytes]:
        """Start a process that attends the run. It goes on when this one ends."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write("task.json", task)
        with open(self.folder / "log", "ab") as log:  # noqa: PTH123
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "twofold._jobs.attend", str(self.folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def exit(self) -> RunExit | None:
        """How it ended; None while it did not."""
        found = self._read("exit.json")
        return None if found is None else RunExit(found["code"], found["words"])

    def progress(self) -> dict[str, Any] | None:
        """What a batch run last said: see `attend`."""
        return self._read("progress.json")

    def is_held(self) -> bool:
        """Some process attends it now."""
        try:
            descriptor = self.hold()
        except FileNotFoundError:  # it was claimed, and has no folder yet
            return False
        if descriptor is None:
            return True
        os.close(descriptor)
        return False

    def began(self) -> bool:
        """A process attended it once; perhaps it is dead."""
        try:
            return bool((self.folder / "lock").stat().st_size)
        except FileNotFoundError:
            return False

    def seal(self) -> RunExit | None:
        """End a run that nobody attends, so that nobody will; how it ended. None: it is attended after all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = self.hold()
        if descriptor is None:
            return None
        try:
            if (found := self.exit()) is None:
                found = RunExit(LOST, "its process was killed")
                self.ended(found)
            return found
        finally:
            os.close(descriptor)

    def tell(self, number: signal.Signals) -> bool:
        """Send the process that attends it a signal; False: there is none."""
        if not self.is_held():
            return False
        try:
            os.kill(int((self.folder / "lock").read_text()), number)
            return True
        except (OSError, ValueError):  # gone, or it has not written its id yet
            return False

    # ---- for the process that attends it ----------------------------------------------------------------------------

    def hold(self) -> int | None:
        """Take the run: the descriptor of its lock. None: another has it."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        if try_lock(descriptor):
            return descriptor
        os.close(descriptor)
        return None

    def task(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "task.json").read_bytes())
        return found

    def ended(self, how: RunExit) -> None:
        self._write("exit.json", {"code": how.code, "words": how.words})

    def progressed(self, progress: dict[str, Any]) -> None:
        temporary = self.folder / "progress.tmp"
        temporary.write_text(json.dumps(progress))
        temporary.replace(self.folder / "progress.json")

    def last_line(self) -> str:
        """The last thing that the run printed, shortened."""
        with open(self.folder / "log", "rb") as log:  # noqa: PTH123
            log.seek(max(0, log.seek(0, os.SEEK_END) - LAST_BYTES))
            lines = log.read().decode("utf-8", "replace").split("\n")
        return shorten(next((line.strip() for line in reversed(lines) if line.strip()), ""), LAST_CHARACTERS)

    def _write(self, name: str, values: dict[str, Any]) -> None:
        write_whole(self.folder / name, json.dumps(values).encode(), self.folder / f"{name}.{os.getpid()}.tmp")

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.folder / name).read_bytes())
            return found
        except FileNotFoundError:
            return None
