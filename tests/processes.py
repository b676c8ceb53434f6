"""What tests of real processes share: whether one is alive, which ones a mark in the environment shows, waiting."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def alive(pid: int) -> bool:
    """It runs: a zombie that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def marked(mark: str) -> list[int]:
    """The processes with TWOFOLD_TEST_MARK=mark in their environment, which children inherit."""
    wanted = f"TWOFOLD_TEST_MARK={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0") and alive(int(entry.name)):
                    found.append(int(entry.name))
            except OSError:  # ended meanwhile, or not ours
                continue
    return [pid for pid in found if pid != os.getpid()]


def wait_for(what: Callable[[], T], timeout_s: float = 20.0) -> T:
    """Ask until the answer is true; fails after `timeout_s`."""
    until = time.monotonic() + timeout_s
    while not (answer := what()):
        if time.monotonic() > until:
            raise AssertionError(f"not so within {timeout_s} s: {what}")
        time.sleep(0.02)
    return answer
