"""Which row is to blame when a worker is lost or hangs: narrowed down from start to start, by the call that was open.

1. a call that was not alone in its process, or whose process was killed from outside, perhaps: once more as it was
2. its rows are computed in calls of a 64th, then one by one; a model that is called row by row starts here
3. a row that was alone in its call is given up; where the process was killed, only the second time

So k rows that end their process cost at most k (log2 n + 1) calls of n rows that crash, and one more for each where
the process looks killed. Costs are starts of processes, which load the model: that is why these are no halves.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from twofold._batch.work import SplitTask

__all__ = ["Loss", "Losses"]

NARROWER = 64


@dataclass(frozen=True)
class Loss:
    """How a worker was lost in a call: `code` and `message` are for a row that is given up for it.

    `sure`: the call did it. Otherwise the process was killed from outside, perhaps, or by another call beside it.
    """

    code: str
    message: str
    sure: bool = True

    @classmethod
    def ended(cls, returncode: int | None, how: str, *, alone: bool) -> Loss:
        """Of a worker that ended by itself or was killed."""
        killed = returncode is None or returncode in (-signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT)
        message = f"the worker process {how} in a call with this row alone"
        return cls("worker_lost", message, sure=alone and not killed)


class Losses:
    """Remembers the losses of a run."""

    def __init__(self, *, by_row: bool) -> None:
        self._by_row = by_row
        self._alone: Counter[tuple[int, int]] = Counter()
        self._once: set[int] = set()

    def suspects(self, task: SplitTask) -> bool:
        """A worker was lost over this split before: compute it with nothing beside it."""
        return task.index in self._once

    def blame(self, task: SplitTask, rows: Sequence[Sequence[int]], loss: Loss) -> tuple[SplitTask, bool]:
        """The split to try next, after a loss in a call with these rows, and whether a row was given up."""
        first_loss = task.index not in self._once
        self._once.add(task.index)
        n_rows = sum(end - first for first, end in rows)
        if n_rows == 1:
            row = rows[0][0]
            self._alone[task.index, row] += 1
            if loss.sure or self._alone[task.index, row] > 1:
                return replace(task, given_up=(*task.given_up, (row, loss.code, loss.message))), True
            return task, False
        if first_loss and not loss.sure and not self._by_row:
            return task, False
        narrow = 1 if self._by_row else max(1, n_rows // NARROWER)
        return replace(task, careful=(*task.careful, (rows, narrow))), False
