"""`--memory`: what of it each worker may hold, how many workers that allows, and whether it is kept.

What is counted is what processes hold for themselves; the code that they share is counted once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from twofold._errors import UsageError

__all__ = ["Held", "Shares", "held_by", "in_words"]

MARGIN = 0.9
"""Planned for is this part of the memory: nothing fits to the byte."""
LEAST_ROOM = 48 << 20
"""A place needs so much for its rows to be worth having."""
UNKNOWN_BYTES = 256 << 20
"""Taken for a process where the system does not say."""
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


@dataclass(frozen=True)
class Held:
    """Bytes that a process holds: for itself, and of what others may share with it."""

    own: int
    shared: int


def held_by(pid: int) -> Held | None:
    """None where this system does not say, or the process is gone."""
    try:
        _, resident, shared = (int(word) for word in Path(f"/proc/{pid}/statm").read_text().split()[:3])
    except (OSError, ValueError):
        return None
    return Held((resident - shared) * PAGE, shared * PAGE)


@dataclass(frozen=True)
class Shares:
    """`memory_bytes` for the whole run; `model_bytes`: of a worker that has no rows in hand; `rest_bytes`: this
    process, and what all share."""

    memory_bytes: int
    model_bytes: int
    rest_bytes: int

    @classmethod
    def now(cls, memory_bytes: int, worker: int) -> Shares:
        """As it is with one worker that has loaded the model."""
        mine, its = held_by(os.getpid()), held_by(worker)
        if mine is None or its is None:
            return cls(memory_bytes, UNKNOWN_BYTES, UNKNOWN_BYTES)
        return cls(memory_bytes, its.own, mine.own + max(mine.shared, its.shared))

    def workers(self, wanted: int) -> int:
        """How many of the wanted ones fit. UsageError where none does."""
        left = MARGIN * self.memory_bytes - self.rest_bytes
        fitting = int(left // (self.model_bytes + LEAST_ROOM))
        if fitting < 1:
            least = (self.rest_bytes + self.model_bytes + LEAST_ROOM) / MARGIN
            raise UsageError(
                f"--memory {in_words(self.memory_bytes)} is too little: a worker with the model and a few rows holds "
                f"{in_words(self.model_bytes)}, and what watches it {in_words(self.rest_bytes)}. "
                f"Give at least {in_words(int(least) + 1)}.",
            )
        return min(wanted, fitting)

    def room(self, n_workers: int, lanes: int) -> int:
        """Bytes for the rows in hand at one place."""
        left = int(MARGIN * self.memory_bytes) - self.rest_bytes
        return max(1, (left // n_workers - self.model_bytes) // lanes)

    def exceeded_by(self, workers: Iterable[int]) -> int | None:
        """The worker that holds most, where all together hold more than there is; None where they do not."""
        mine = held_by(os.getpid())
        held = {pid: found for pid in workers if (found := held_by(pid)) is not None}
        if mine is None or not held:
            return None
        total = mine.own + max(mine.shared, *(its.shared for its in held.values()))
        total += sum(its.own for its in held.values())
        return max(held, key=lambda pid: held[pid].own) if total > self.memory_bytes else None


def in_words(n_bytes: int) -> str:
    return f"{n_bytes / (1 << 30):.3g} GiB" if n_bytes >= 1 << 30 else f"{-(-n_bytes // (1 << 20))} MiB"
