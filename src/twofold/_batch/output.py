"""Where a run writes: the output, and the state beside it.

x.parquet            out/                the output; appears by one rename
x.parquet.twofold/   out.twofold/        the state
    lock                                 held while a run works
    run.json                             see `record`
    parts/                               committed parts, in the output's format; nothing else is ever in here
    splits/                              for each part: its counts and its quarantined rows, committed before it
    tmp/                                 what is being written
    quarantine.jsonl                     all quarantined rows, when the run is done
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold._batch.formats import Format, find_format, format_of
from twofold._batch.sinks import writing
from twofold._errors import UsageError

__all__ = ["Output", "locked", "output_of", "refuse_overlap"]

FOLDER_FORMAT = Format("parquet", "", ".parquet")


@dataclass(frozen=True)
class Output:
    """The place that the user named."""

    path: Path
    is_folder: bool
    format: Format

    @property
    def state(self) -> Path:
        return self.path.with_name(self.path.name + ".twofold")

    @property
    def parts(self) -> Path:
        return self.state / "parts"

    @property
    def splits(self) -> Path:
        return self.state / "splits"

    @property
    def tmp(self) -> Path:
        return self.state / "tmp"

    @property
    def quarantine(self) -> Path:
        return self.state / "quarantine.jsonl"

    def shown(self) -> str:
        return f"{self.path}{os.sep}" if self.is_folder else str(self.path)

    def identity(self) -> Any:
        """What stands under the output's name now, so that a change is seen; None when there is nothing."""
        try:
            if self.path.is_dir():
                return sorted(_identity(entry.name, entry.stat()) for entry in os.scandir(self.path))
            return _identity(self.path.name, self.path.stat())
        except FileNotFoundError:
            return None


def _identity(name: str, stat: os.stat_result) -> list[Any]:
    return [name, stat.st_size, stat.st_mtime_ns]


def output_of(output: str) -> Output:
    """The output that a path names: one file by its suffix; a folder where the name ends with / or has no suffix."""
    path = Path(os.path.abspath(output))  # noqa: PTH100 (no links followed: the state stands beside the name given)
    names_folder = output.endswith(("/", os.sep)) or not path.suffix or (path.is_dir() and find_format(path) is None)
    if names_folder:
        if path.exists() and not path.is_dir():
            raise UsageError(f"the output {output!r} names a folder, and there is a file of that name. Choose another.")
        return Output(path, True, FOLDER_FORMAT)
    if path.is_dir():
        raise UsageError(f"the output {output!r} is a folder. End its name with / for a folder of parts.")
    return Output(path, False, format_of(path))


def refuse_overlap(output: Output, inputs: list[Path], given: str) -> None:
    """UsageError where the run would read what it writes."""
    target = output.path.resolve()
    state = output.state.resolve()
    for path in inputs:
        found = path.resolve()
        same = output.path.exists() and path.samefile(output.path)
        if same or found == target or target in found.parents:
            raise UsageError(
                f"the output {output.shown()!r} is the input {str(path)!r} itself, or its folder. "
                "Choose another OUTPUT."
            )
        if state in found.parents:
            raise UsageError(
                f"the input {str(path)!r} lies in {str(output.state)!r}, which this run would replace. "
                "Choose another OUTPUT."
            )
    pattern = os.path.abspath(given)  # noqa: PTH100 (a glob, perhaps)
    if (Path(given).is_dir() and Path(given).resolve() in target.parents) or target.match(pattern):
        raise UsageError(
            f"the output {output.shown()!r} would itself be a part of the input {given!r}. Choose an OUTPUT elsewhere."
        )


@contextmanager
def locked(output: Output) -> Iterator[None]:
    """Hold the lock of the output's state; UsageError when another run holds it. A dead run holds none.

    Creates the state folder; takes it away again where nothing but the lock was put in.
    """
    with writing(output.state):
        descriptor = _lock(output)
    try:
        yield
    finally:
        _remove_if_unused(output.state)
        os.close(descriptor)


def _lock(output: Output) -> int:
    path = output.state / "lock"
    while True:
        output.state.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _try_lock(descriptor):
            pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() if hasattr(os, "pread") else ""
            os.close(descriptor)
            raise UsageError(
                f"another run{f' (process {pid})' if pid else ''} is writing {output.shown()!r} right now. "
                "Wait for it, or stop it; then start this one again.",
                pid=pid,
            )
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116 (else: removed before we had it)
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    if os.name == "nt":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_if_unused(state: Path) -> None:
    try:
        if os.listdir(state) == ["lock"]:  # noqa: PTH208
            (state / "lock").unlink()
            state.rmdir()
    except OSError:
        pass
