"""Which row is to blame when a worker is lost or hangs: narrowed down from start to start, by the calls that were open.

1. a call on whole columns is repeated as it was: the worker may have been killed from outside
2. its rows are computed in calls of a 64th, then one by one; a model that is called row by row starts here
3. a row that was alone in its call twice when the worker was lost, or once when it hung, is given up
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from twofold._batch.work import SplitTask

__all__ = ["Losses"]

NARROWER = 64
CERTAIN = {"worker_lost": 2, "deadline_exceeded": 1}
"""How often a row must have been alone: a kill from outside may hit a row once, by chance."""


class Losses:
    """Remembers the losses of a run."""

    def __init__(self, *, by_row: bool) -> None:
        self._by_row = by_row
        self._alone: Counter[tuple[int, int]] = Counter()
        self._once: set[int] = set()

    def suspects(self, task: SplitTask) -> bool:
        """A worker was lost over this split before: compute it with nothing beside it."""
        return task.index in self._once

    def blame(self, task: SplitTask, first_row: int, end_row: int, code: str, message: str) -> tuple[SplitTask, bool]:
        """The split to try next, after a loss in a call of these rows, and whether a row was given up."""
        first_loss = task.index not in self._once
        self._once.add(task.index)
        n_rows = end_row - first_row
        if n_rows == 1:
            self._alone[task.index, first_row] += 1
            if self._alone[task.index, first_row] >= CERTAIN[code]:
                return replace(task, given_up=(*task.given_up, (first_row, code, message))), True
            return task, False
        if self._by_row:
            rows = 1
        elif first_loss and code == "worker_lost":
            return task, False
        else:
            rows = max(1, n_rows // NARROWER)
        return replace(task, careful=(*task.careful, (first_row, end_row, rows))), False
