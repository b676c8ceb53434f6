"""A lock as a file, held by whoever has its descriptor open: a run and the workers that inherited it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from twofold._batch.sinks import writing
from twofold._errors import UsageError

__all__ = ["LOCK", "holder_of", "locked", "try_lock"]

LOCK = "lock"
DYING_S = 10.0
"""How long the workers of a run that is dead may take to end."""
LOOK_AGAIN_S = 0.02


@contextmanager
def locked(state: Path, shown: str) -> Iterator[int]:
    """Hold the lock of a run's state; UsageError when another run holds it. A dead run holds none.

    Gives its descriptor. Creates the state folder; takes it away again where nothing but the lock was put in.
    """
    with writing(state):
        descriptor = _lock(state, shown)
    try:
        yield descriptor
    finally:
        _remove_if_unused(state)
        os.close(descriptor)


def holder_of(state: Path) -> int | None:
    """The process that holds the lock now; 0 where that cannot be told, None where nobody holds it."""
    try:
        descriptor = os.open(state / LOCK, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    except OSError:
        return None
    try:
        if try_lock(descriptor, shared=True):
            return None
        pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() if hasattr(os, "pread") else ""
        return int(pid) if pid.isdigit() else 0
    finally:
        os.close(descriptor)


def _lock(state: Path, shown: str) -> int:
    path = state / LOCK
    until = time.monotonic() + DYING_S
    while True:
        state.mkdir(exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not try_lock(descriptor):
            pid = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() if hasattr(os, "pread") else ""
            os.close(descriptor)
            if time.monotonic() < until and pid.isdigit() and not _lives(int(pid)):
                time.sleep(LOOK_AGAIN_S)  # its workers are on their way out
                continue
            raise _held(path, pid, shown)
        try:
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116 (else: removed before we had it)
                os.ftruncate(descriptor, 0)
                os.write(descriptor, f"{os.getpid()}\n".encode())
                return descriptor
        except FileNotFoundError:
            pass
        os.close(descriptor)


def _held(path: Path, pid: str, shown: str) -> UsageError:
    then = "Wait for it, or stop it; then start this one again."
    if pid.isdigit() and not _lives(int(pid)) and (workers := _holders(path)):
        named = ", ".join(map(str, workers))
        return UsageError(
            f"a run that was writing {shown!r} is dead (process {pid}), and a worker of it still lives (process "
            f"{named}). {then}",
            pid=named,
        )
    return UsageError(
        f"another run{f' (process {pid})' if pid else ''} is writing {shown!r} right now. {then}", pid=pid
    )


def _lives(pid: int) -> bool:
    """Whether there is such a process on this machine; another machine's may hold the lock as well."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _holders(path: Path) -> list[int]:
    """The processes that have this file open, where the system says so."""
    found = set()
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if os.readlink(entry) == str(path):  # noqa: PTH115
                found.add(int(entry.parts[2]))
        except OSError:
            continue
    return sorted(found - {os.getpid()})


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    if os.name == "nt":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_if_unused(state: Path) -> None:
    try:
        if os.listdir(state) == [LOCK]:  # noqa: PTH208
            (state / LOCK).unlink()
            state.rmdir()
    except OSError:
        pass
