"""CPU time and memory of a process and everything it started.

On Linux it is read from /proc. Elsewhere only what the operating system adds up for children that have ended is known,
so a tree's CPU time comes with its end and memory is not known.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

__all__ = ["MEASURED", "PeakMemory", "tree", "tree_cpu_s", "tree_memory_mb"]

_PROC = Path("/proc")
MEASURED = Path("/proc/self/stat").exists()
_TICKS_PER_S = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, … ; empty for a process that is gone."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def tree(root: int) -> list[int]:
    """The process ids of `root` and its descendants that are alive."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            fields = _stat(int(entry.name))
            if fields:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, ()))
    return found


def tree_cpu_s(root: int) -> float | None:
    """CPU seconds (user and system) of the tree so far, ended and waited-for children included."""
    if not MEASURED:
        return None
    ticks = 0
    for pid in tree(root):
        fields = _stat(pid)
        if fields:
            ticks += sum(int(fields[n]) for n in (11, 12, 13, 14))
    return ticks / _TICKS_PER_S


def tree_memory_mb(root: int) -> float:
    """Megabytes (10^6 bytes) that the tree holds now; pages shared by its processes count once."""
    total_kb = 0
    for pid in tree(root):
        try:
            text = (_PROC / str(pid) / "smaps_rollup").read_text()
        except OSError:
            continue
        for line in text.splitlines():
            if line.startswith("Pss:"):
                total_kb += int(line.split()[1])
                break
    return total_kb * 1024 / 1e6


class PeakMemory:
    """Watches a tree's memory from a thread, every `interval_s`; use as a context manager. `mb` is the peak seen."""

    def __init__(self, root: int, interval_s: float = 0.1) -> None:
        self.mb: float | None = None
        self._root = root
        self._interval_s = interval_s
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="twofold-memory", daemon=True)

    def _watch(self) -> None:
        while MEASURED and not self._stop.is_set():
            began = time.perf_counter()
            self._look()
            # reading a large process takes milliseconds: spend at most a twentieth of the time on it
            self._stop.wait(max(self._interval_s, 20 * (time.perf_counter() - began)))

    def _look(self) -> None:
        self.mb = max(self.mb or 0.0, tree_memory_mb(self._root))

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        if MEASURED:
            self._look()
