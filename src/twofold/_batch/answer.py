"""Rows to answers: one piece through the model, call by call."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from twofold._batch.report import summary
from twofold._errors import FieldError, RowFailure, RunStopped

if TYPE_CHECKING:
    from twofold._batch.mapping import Read, Rows
    from twofold._batch.sources import Piece
    from twofold._batch.work import SplitTask
    from twofold._columns import Batch
    from twofold._runner import Runner

__all__ = ["Answered", "Answerer", "Streak", "Watch"]

FIRST_STEP_ROWS = 64
STEP_S = 0.25
CONCURRENT_STEP_S = 10.0
LOST_BATCHES = 3
ROW_FAULTS = ("bad_row", "row_does_not_fit", "worker_lost", "deadline_exceeded")


class Watch(Protocol):
    """Told what happens in a lane, so that whoever started it can show progress and knows which rows were being
    computed when it died. Rows are rows of the split's file."""

    def calling(self, index: int, first_row: int, end_row: int) -> None: ...

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None:
        """These rows are done; counts per reason and the first five of those that failed."""


@dataclass
class Answered:
    """A piece with its answers.

    `answered` are the positions among the rows that fit (None: all of them) that `outputs` has answers for, in order;
    `failures` has all other rows of the piece, by their row within it.
    """

    task: SplitTask
    piece: Piece
    read: Read
    outputs: Batch | None
    answered: np.ndarray | None
    failures: dict[int, RowFailure]


@dataclass
class Streak:
    """How many batches in a row lost every row to the same exception. Three of them: the model is broken.

    A batch that is cut short by the end of its split counts where it goes on with such a row of batches only: three
    tiny files with one bad row each say nothing about the model.
    """

    kind: str = ""
    batches: int = 0
    split: int = -1

    def add(self, task: SplitTask, failures: Sequence[RowFailure], n_rows: int, *, full: bool) -> None:
        first = failures[0] if failures else None
        if first is None or len(failures) < n_rows or first.code in ROW_FAULTS:
            self.batches = 0
            return
        if any((failure.code, failure.kind) != (first.code, first.kind) for failure in failures):
            self.batches = 0
            return
        kind = first.kind or first.code
        if not full and not (self.batches and self.split == task.index):
            return
        self.batches = self.batches + 1 if kind == self.kind else 1
        self.kind, self.split = kind, task.index
        if self.batches >= LOST_BATCHES:
            where = f"the rows of {task.file.path} from {task.file.first_row} on"
            raise RunStopped(
                f"the model failed on every row of {LOST_BATCHES} batches in a row, always with {kind}: "
                f"{first.message.removeprefix(f'{kind}: ')} (in {where}). That is the model, not the rows, so the run "
                "was stopped. Mend the model, then start again with --overwrite: answers of two models are not mixed.",
                kind=kind,
                traceback=first.traceback,
            )


@dataclass
class _Pace:
    """How many rows a call gets: in a model that is called row by row, as many as take about `step_s` seconds, so that
    progress shows and a lost worker points at few rows. It changes no answer there."""

    most: int
    step_s: float
    rows: int = field(default=FIRST_STEP_ROWS)

    def took(self, n_rows: int, seconds: float) -> None:
        if n_rows >= self.rows and seconds < self.step_s / 2:
            self.rows = min(2 * self.rows, self.most)
        elif seconds > 2 * self.step_s:
            self.rows = max(self.rows // 2, 1)


class Answerer:
    """Calls the model for one lane; remembers across splits how fast it is, and whether it only fails."""

    def __init__(self, runner: Runner, batch_rows: int, watch: Watch) -> None:
        self._runner = runner
        self._batch_rows = batch_rows
        self._watch = watch
        self._streak = Streak()
        model = runner.model
        self._pace: _Pace | None = None
        if model.form == "rows":
            together = max(model.concurrency or 1, model.threads or 1)
            step_s = STEP_S if together == 1 else CONCURRENT_STEP_S
            self._pace = _Pace(batch_rows, step_s, min(batch_rows, max(FIRST_STEP_ROWS, 4 * together)))

    def answer(self, task: SplitTask, piece: Piece, read: Read) -> Answered:
        """Compute the rows that fit; say of all others why they have no answer."""
        whole = piece.whole_rows()
        failures = {row: RowFailure("row_does_not_fit", why) for row, (_, why) in piece.broken.items()}
        for at, errors in read.misfits.items():
            failures[whole[at]] = _misfit(errors)
        rows = read.rows
        # An array made of a range goes through Python integers, one by one.
        good = np.arange(piece.n_rows) if isinstance(whole, range) else np.asarray(whole)
        if read.good is not None:
            good = good[read.good]
        keep = self._give_up(task, piece, good, failures)
        if keep is not None:
            rows, good = rows.take(keep), good[keep]
        if failures:
            self._called(task, len(failures), {piece.first_row + row: failure for row, failure in failures.items()})
        outputs, lost = self._compute(task, rows, good, piece.first_row)
        for at, failure in lost.items():
            failures[int(good[at])] = failure
        answered = keep
        if lost:
            still = np.array([at for at in range(len(good)) if at not in lost], dtype=np.int64)
            answered = still if keep is None else keep[still]
        return Answered(task, piece, read, outputs, answered, failures)

    def _called(self, task: SplitTask, n_rows: int, failed: dict[int, RowFailure]) -> None:
        reasons, first = summary(task.file.path, failed) if failed else ({}, [])
        self._watch.called(task.index, n_rows, len(failed), reasons, first)

    def _give_up(
        self, task: SplitTask, piece: Piece, good: np.ndarray, failures: dict[int, RowFailure]
    ) -> np.ndarray | None:
        """Note the rows that are not tried again; the positions in `good` of all others (None: there are none)."""
        given_up = {row - piece.first_row: (code, message) for row, code, message in task.given_up}
        if not any(row in given_up for row in good.tolist()) if given_up else True:
            return None
        keep = []
        for at, row in enumerate(good.tolist()):
            if row in given_up:
                failures[row] = RowFailure(*given_up[row])
            else:
                keep.append(at)
        return np.array(keep, dtype=np.int64)

    def _compute(
        self, task: SplitTask, rows: Rows, good: np.ndarray, first_row: int
    ) -> tuple[Batch | None, dict[int, RowFailure]]:
        from twofold._columns import Batch

        outputs: list[Batch] = []
        failures: dict[int, RowFailure] = {}
        for start in range(0, rows.n_rows, self._batch_rows):
            stop = min(start + self._batch_rows, rows.n_rows)
            lost: list[RowFailure] = []
            for low, high in self._steps(task, good, first_row, start, stop):
                self._watch.calling(task.index, first_row + int(good[low]), first_row + int(good[high - 1]) + 1)
                began = time.perf_counter()
                result = self._runner.run(rows.slice(low, high))
                if self._pace is not None:
                    self._pace.took(high - low, time.perf_counter() - began)
                failed = {first_row + int(good[low + at]): failure for at, failure in result.failures.items()}
                self._called(task, high - low, failed)
                if result.outputs.n_rows + len(result.failures) != high - low:
                    raise RunStopped(
                        f"{high - low} rows went into the model and {result.outputs.n_rows} answers and "
                        f"{len(result.failures)} failures came back. This is a fault in twofold; please report it."
                    )
                for at, failure in result.failures.items():
                    failures[low + at] = failure
                    lost.append(failure)
                if result.outputs.n_rows:
                    outputs.append(result.outputs)
            self._streak.add(task, lost, stop - start, full=stop - start == self._batch_rows)
        return (Batch.concat(outputs) if outputs else None), failures

    def _steps(
        self, task: SplitTask, good: np.ndarray, first_row: int, start: int, stop: int
    ) -> Iterator[tuple[int, int]]:
        """The calls for the batch `good[start:stop]`."""
        low = start
        while low < stop:
            high = stop if self._pace is None else min(stop, low + self._pace.rows)
            row = first_row + int(good[low])
            for first, end, rows in task.careful:
                if row >= end:
                    continue
                if row >= first:
                    high = min(high, low + rows)
                # No call reaches over the edge of a range that needs care.
                edge = end if row >= first else first
                high = min(high, max(low + 1, low + int(np.searchsorted(good[low:high], edge - first_row))))
            yield low, high
            low = high


def _misfit(errors: Sequence[FieldError]) -> RowFailure:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return RowFailure("row_does_not_fit", errors[0].message + more, field=errors[0].field)
