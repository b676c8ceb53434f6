"""`--priority idle`: this process computes when nothing else does, and so does its disk.

Linux shares a core between sessions first, and inside a session by priority: a process that is idle in its own session
still takes half of the core from another. So the session steps back as well, which takes one of its own.
"""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

__all__ = ["be_idle"]

IOPRIO_SET = {"x86_64": 251, "aarch64": 30, "riscv64": 30}
"""Number of the system call."""
WHO_PROCESS, CLASS_IDLE = 1, 3 << 13


def be_idle() -> None:
    """All threads of this process, and what it starts from here on. What a system does not have is left out."""
    if not hasattr(os, "SCHED_IDLE"):
        if hasattr(os, "nice"):
            os.nice(19)
        return
    for thread in _threads():
        with suppress(OSError):  # it has ended
            os.sched_setscheduler(thread, os.SCHED_IDLE, os.sched_param(0))
        _idle_disk(thread)
    if os.getsid(0) == os.getpid():
        with suppress(OSError):  # a system that does not group by session
            Path("/proc/self/autogroup").write_text("19")


def _threads() -> Iterable[int]:
    try:
        return [int(name) for name in os.listdir("/proc/self/task")]  # noqa: PTH208
    except OSError:
        return [0]


def _idle_disk(thread: int) -> None:
    number = IOPRIO_SET.get(platform.machine())
    if number is not None:
        ctypes.CDLL(None).syscall(number, WHO_PROCESS, thread, CLASS_IDLE)
