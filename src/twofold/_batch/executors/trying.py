"""`--workers auto`: more workers than cores are tried where cores stand idle, and kept where rows get on faster.

A model that waits for something (a disk, a service, a lock) leaves its core to others. How many workers there are
changes no byte of the output.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

__all__ = ["MOST_TIMES", "Trying"]

WINDOW_S = 1.5
IDLE = 0.6
"""Workers that use less than this part of a core each leave room for others."""
HELPS = 1.15
WORTH_S = 5.0
"""Where less time is left than this, it is not worth the start of a process."""
MOST_TIMES = 4
"""So many workers a core are the most that are tried."""
TICK = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Trying:
    """Says how many workers there should be, from what they get done."""

    def __init__(self, n_workers: int, most: int) -> None:
        self.n_workers = n_workers
        self._most = most
        self._before: tuple[int, float] | None = None
        """The workers and the rows a second before what is being tried."""
        self._settled = False
        self._pids: frozenset[int] = frozenset()
        self._began_s = self._cpu_s = 0.0
        self._rows = 0

    def computed(self, n_rows: int) -> None:
        self._rows += n_rows

    def look(self, now: float, pids: Collection[int], rows_left: int) -> int:
        """How many workers there should be from now on; `pids`: of those that are ready."""
        if self._settled or len(pids) < self.n_workers:
            return self.n_workers
        if frozenset(pids) != self._pids:
            self._begin(now, pids)
        elif now - self._began_s >= WINDOW_S and self._rows:
            self._decide(now, pids, rows_left)
        return self.n_workers

    def _begin(self, now: float, pids: Collection[int]) -> None:
        self._pids = frozenset(pids)
        self._began_s, self._cpu_s, self._rows = now, sum(map(_cpu_s, pids)), 0

    def _decide(self, now: float, pids: Collection[int], rows_left: int) -> None:
        took_s = now - self._began_s
        rate = self._rows / took_s
        busy = (sum(map(_cpu_s, pids)) - self._cpu_s) / (took_s * len(pids))
        self._begin(now, pids)
        if self._before is not None and rate < HELPS * self._before[1]:
            self.n_workers, self._settled = self._before[0], True
        elif busy > IDLE or self.n_workers >= self._most or rows_left < rate * WORTH_S:
            self._settled = busy > IDLE or self.n_workers >= self._most
        else:
            self._before = self.n_workers, rate
            self.n_workers = min(2 * self.n_workers, self._most)


def _cpu_s(pid: int) -> float:
    """Seconds of CPU that a process has used; infinity where that cannot be read: no core seems idle then."""
    try:
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(words[11]) + int(words[12])) / TICK
    except (OSError, IndexError, ValueError):
        return float("inf")
