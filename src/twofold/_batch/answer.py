"""Rows to answers: one piece through the model, call by call."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from twofold._batch.lengths import cuts_by_length, lengths_of
from twofold._batch.report import summary
from twofold._errors import FieldError, RowFailure, RunStopped
from twofold._profile import Profile, profile_path

if TYPE_CHECKING:
    from twofold._batch.mapping import Read, Rows
    from twofold._batch.shape import Shape
    from twofold._batch.sources import Piece
    from twofold._batch.work import SplitTask
    from twofold._columns import Batch
    from twofold._runner import Result, Runner

__all__ = ["Answered", "Answerer", "Streak", "Watch", "runs_of"]

Runs = Sequence[Sequence[int]]
"""Rows, rising, as runs of neighbours: [[first, last + 1], …]."""

FIRST_STEP_ROWS = 64
STEP_S = 0.25
CONCURRENT_STEP_S = 10.0
LOST_BATCHES = 3
ROW_FAULTS = ("bad_row", "row_does_not_fit", "worker_lost", "deadline_exceeded")


class Watch(Protocol):
    """Told what happens in a lane, so that whoever started it can show progress and knows which rows were being
    computed when it died. Rows are rows of the split's file."""

    def calling(self, index: int, rows: Runs, expected_s: float) -> None:
        """A call with these rows begins; `expected_s`: t(n), what nine of ten calls of that size stay within."""

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
            where = f"the rows of {task.file.shown} from {task.file.first_row} on"
            raise RunStopped(
                f"the model failed on every row of {LOST_BATCHES} batches in a row, always with {kind}: "
                f"{first.message.removeprefix(f'{kind}: ')} (in {where}). That is the model, not the rows, so the run "
                "was stopped. Mend the model, then start again with --overwrite: answers of two models are not mixed.",
                kind=kind,
                traceback=first.traceback,
            )


class _Calls:
    """The calls of one piece: its rows in the order in which they are computed, and where one call ends.

    `rows` (rising positions in the file, (n,) int64) are computed in `order` (None: as they stand); `careful` is that
    of the split.
    """

    def __init__(self, rows: np.ndarray, order: np.ndarray | None, careful: Sequence[tuple[Runs, int]]) -> None:
        self._rows = rows if order is None else rows[order]
        self._sorted = order is None
        self._group: np.ndarray | None = None
        self._most = [0, *(most for _, most in careful)]
        for number, (runs, _) in enumerate(careful, 1):
            inside = np.zeros(len(rows), bool)
            for first, end in runs:
                inside |= (self._rows >= first) & (self._rows < end)
            if inside.any():
                if self._group is None:
                    self._group = np.zeros(len(rows), np.int64)
                self._group[inside] = number

    def end(self, low: int, high: int) -> int:
        """Where a call that begins at `low` ends, `high` at the latest: rows that need care keep to themselves."""
        if self._group is None:
            return high
        group = self._group[low:high]
        others = np.flatnonzero(group != group[0])
        if len(others):
            high = low + int(others[0])
        most = self._most[group[0]]
        return min(high, low + most) if most else high

    def runs(self, low: int, high: int) -> list[list[int]]:
        """The rows of this call."""
        rows = self._rows[low:high]
        return runs_of(rows if self._sorted else np.sort(rows))

    def row(self, at: int) -> int:
        return int(self._rows[at])


def runs_of(rows: np.ndarray) -> list[list[int]]:
    """Rising rows as runs of neighbours: [[first, last + 1], …]."""
    first, last = int(rows[0]), int(rows[-1])
    if last - first == len(rows) - 1:
        return [[first, last + 1]]
    cuts = np.flatnonzero(np.diff(rows) != 1) + 1
    starts, ends = rows[np.concatenate([[0], cuts])], rows[np.concatenate([cuts - 1, [len(rows) - 1]])] + 1
    return [[int(start), int(end)] for start, end in zip(starts, ends, strict=True)]


class Answerer:
    """Calls the model for one lane; knows what a call takes, and remembers across splits whether it only fails.

    A model that is called row by row gets as many rows at once as take about a quarter of a second, so that progress
    shows and a lost worker points at few rows: that changes no answer there.
    """

    def __init__(self, runner: Runner, shape: Shape, watch: Watch) -> None:
        self._runner = runner
        self._shape = shape
        self._watch = watch
        self._streak = Streak()
        model = runner.model
        self._profile = Profile.read(profile_path(model.version))
        self._step_s = 0.0
        if model.form == "rows":
            together = max(model.concurrency or 1, model.threads or 1)
            self._step_s = STEP_S if together == 1 else CONCURRENT_STEP_S
            self._step_rows = min(shape.batch_rows, max(FIRST_STEP_ROWS, 4 * together))

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
            self._called(task, len(failures), {piece.file_row(row): failure for row, failure in failures.items()})
        outputs, lost = self._compute(task, rows, piece.rows_of_file(good))
        for at, failure in lost.items():
            failures[int(good[at])] = failure
        answered = keep
        if lost:
            still = np.array([at for at in range(len(good)) if at not in lost], dtype=np.int64)
            answered = still if keep is None else keep[still]
        return Answered(task, piece, read, outputs, answered, failures)

    def _called(self, task: SplitTask, n_rows: int, failed: dict[int, RowFailure]) -> None:
        reasons, first = summary(task.file.shown, failed) if failed else ({}, [])
        self._watch.called(task.index, n_rows, len(failed), reasons, first)

    def _give_up(
        self, task: SplitTask, piece: Piece, good: np.ndarray, failures: dict[int, RowFailure]
    ) -> np.ndarray | None:
        """Note the rows that are not tried again; the positions in `good` of all others (None: there are none)."""
        lost = {row: RowFailure("row_does_not_fit", why, field=column) for row, (column, why) in piece.unjudged.items()}
        if task.given_up:
            given_up = {row: (code, message) for row, code, message in task.given_up}
            file_rows = piece.rows_of_file(good).tolist()
            hit = {int(good[at]): given_up[row] for at, row in enumerate(file_rows) if row in given_up}
            lost.update({row: RowFailure(*why) for row, why in hit.items()})
        keep = [at for at, row in enumerate(good.tolist()) if row not in lost] if lost else []
        if not lost or len(keep) == len(good):
            return None
        failures.update({row: lost[row] for row in good.tolist() if row in lost})
        return np.array(keep, dtype=np.int64)

    def _compute(self, task: SplitTask, rows: Rows, at: np.ndarray) -> tuple[Batch | None, dict[int, RowFailure]]:
        """The answers, in order, and the failures by position; `at`: the rows in the file."""
        order, most = None, self._shape.batch_rows
        cuts: Sequence[int] = [*range(0, rows.n_rows, most), rows.n_rows]
        if self._shape.by_length and rows.n_rows > 1:
            lengths = lengths_of(rows, self._runner.signature)
            order = np.argsort(lengths, kind="stable")
            rows, cuts = rows.take(order), cuts_by_length(lengths[order], most)
        calls = _Calls(at, order, task.careful)
        outputs: list[Batch] = []
        failures: dict[int, RowFailure] = {}
        for start, stop in pairwise(cuts):
            lost: list[RowFailure] = []
            low = start
            while low < stop:
                high = calls.end(low, min(stop, low + self._step_rows) if self._step_s else stop)
                result = self._call(task, rows, calls, low, high)
                for position, failure in result.failures.items():
                    failures[low + position] = failure
                    lost.append(failure)
                if result.outputs.n_rows:
                    outputs.append(result.outputs)
                low = high
            self._streak.add(task, lost, stop - start, full=stop - start == most or stop < rows.n_rows)
        found = _concat(outputs)
        return (found, failures) if order is None else _in_order(found, failures, order)

    def _call(self, task: SplitTask, rows: Rows, calls: _Calls, low: int, high: int) -> Result:
        n_rows = high - low
        self._watch.calling(task.index, calls.runs(low, high), self._profile.seconds_for(n_rows))
        began = time.perf_counter()
        result = self._runner.run(rows.slice(low, high))
        self._took(n_rows, time.perf_counter() - began)
        if result.outputs.n_rows + len(result.failures) != n_rows:
            raise RunStopped(
                f"{n_rows} rows went into the model and {result.outputs.n_rows} answers and "
                f"{len(result.failures)} failures came back. This is a fault in twofold; please report it."
            )
        self._called(task, n_rows, {calls.row(low + at): failure for at, failure in result.failures.items()})
        return result

    def _took(self, n_rows: int, seconds: float) -> None:
        self._profile.learn(n_rows, seconds)
        if not self._step_s:
            return
        if n_rows >= self._step_rows and seconds < self._step_s / 2:
            self._step_rows = min(2 * self._step_rows, self._shape.batch_rows)
        elif seconds > 2 * self._step_s:
            self._step_rows = max(self._step_rows // 2, 1)


def _concat(outputs: list[Batch]) -> Batch | None:
    from twofold._columns import Batch

    return Batch.concat(outputs) if outputs else None


def _in_order(
    outputs: Batch | None, failures: dict[int, RowFailure], order: np.ndarray
) -> tuple[Batch | None, dict[int, RowFailure]]:
    """Answers and failures of rows that were computed in `order`, as the rows stood before."""
    if failures:
        order_of_answers = np.delete(order, sorted(failures))
        failures = {int(order[at]): failure for at, failure in failures.items()}
    else:
        order_of_answers = order
    return (None if outputs is None else outputs.take(np.argsort(order_of_answers))), failures


def _misfit(errors: Sequence[FieldError]) -> RowFailure:
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    return RowFailure("row_does_not_fit", errors[0].message + more, field=errors[0].field)
