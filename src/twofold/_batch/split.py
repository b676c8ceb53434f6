"""`run_split`: the atom of a batch. Read, compute, write, commit; what an executor does is only where this happens.

read_split -> Reading.read -> Answerer.answer -> PartWriter.write -> commit
(a thread that is ahead)      (this thread)      (a thread that is behind)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from twofold._batch.answer import Answerer, Watch
from twofold._batch.opening import identity_of
from twofold._batch.part import PartWriter
from twofold._batch.pipeline import ahead, behind
from twofold._batch.work import SplitTask, Work
from twofold._errors import InputError

if TYPE_CHECKING:
    from twofold._batch.mapping import Read
    from twofold._batch.sources import Piece
    from twofold._runner import Runner

__all__ = ["Lane", "SplitReport", "run_split"]

SplitReport = dict[str, Any]
"""index, name, rows_in, rows_out, rows_quarantined, reasons {cause: rows}, first_errors [the first five]"""


@dataclass(slots=True)
class _ToCompute:
    """One piece of a split on its way to the model; no piece: the split's end."""

    task: SplitTask
    piece: Piece | None = None
    read: Read | None = None


class Lane:
    """One place where splits are computed, one after the other, while the next is read and the last one written."""

    def __init__(self, work: Work, runner: Runner, watch: Watch) -> None:
        self._work = work
        self._answerer = Answerer(runner, work.shape, watch)

    def run(
        self,
        tasks: Iterable[SplitTask],
        on_report: Callable[[SplitReport], None],
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        """Compute these splits; `on_report` gets each one's report when its part is committed (in another thread).

        Raises what goes wrong; `on_failure` is told before where writing fails while the next split is waited for.
        """
        writer = PartWriter(self._work, on_report)
        try:
            with behind(writer.take, "writing behind", on_failure) as write:
                for item in ahead(self._read(iter(tasks)), "reading ahead"):
                    if item.piece is None or item.read is None:
                        write(item.task)
                    else:
                        write(self._answerer.answer(item.task, item.piece, item.read))
        except BaseException:
            writer.drop()
            raise

    def _read(self, tasks: Iterator[SplitTask]) -> Iterator[_ToCompute]:
        for task in tasks:
            yield from self._read_one(task)
            yield _ToCompute(task)

    def _read_one(self, task: SplitTask) -> Iterator[_ToCompute]:
        work = self._work
        _refuse_changed(task)
        left = task.n_rows
        for piece in work.pieces(task, work.shape.piece_rows):
            left -= piece.n_rows + piece.n_left_out
            yield _ToCompute(task, piece, work.reading.read(piece))
        if left:
            raise InputError(
                f"the input {task.file.shown!r} ends {left} rows early: it changed while it was read. Start the run "
                "again when nothing writes to it any more.",
                path=task.file.shown,
            )
        _refuse_changed(task)


def _refuse_changed(task: SplitTask) -> None:
    path = task.file.path
    if identity_of(path) != task.identity:
        raise InputError(
            f"the input {path!r} was written while the run read it. Start the run again when nothing writes to it any "
            "more.",
            path=path,
        )


def run_split(work: Work, task: SplitTask, runner: Runner, watch: Watch) -> SplitReport:
    """Compute one split and commit its part; a split whose part is there already is left as it is."""
    if task.name in work.store.committed():
        return work.store.report(task.name)
    reports: list[SplitReport] = []
    Lane(work, runner, watch).run([task], reports.append)
    return reports[0]
