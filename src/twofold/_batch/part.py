"""One split's part: written under a temporary name, then committed with its report and its quarantined rows."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twofold._batch.answer import Answered
from twofold._batch.quarantine import quarantine_lines
from twofold._batch.report import FIRST_SHOWN, merge_reasons, summary
from twofold._batch.sinks import open_part, writing
from twofold._batch.work import SplitTask, Work
from twofold._errors import OutputError, RunStopped

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.sinks import Part

__all__ = ["PartWriter"]


class PartWriter:
    """Writes split after split: pieces with their answers, then the split itself, which commits it."""

    def __init__(self, work: Work, on_report: Callable[[dict[str, Any]], None]) -> None:
        self._work = work
        self._on_report = on_report
        self._open: _OpenPart | None = None

    def take(self, item: Answered | SplitTask) -> None:
        """The next piece of a split, or a split whose pieces all came."""
        if self._open is None:
            self._open = _OpenPart(self._work, item if isinstance(item, SplitTask) else item.task)
        if isinstance(item, SplitTask):
            report = self._open.commit()
            self._open = None
            self._on_report(report)
        else:
            self._open.write(item)

    def drop(self) -> None:
        """Take away what is not committed."""
        if self._open is not None:
            self._open.drop()
            self._open = None


class _Dropped(Exception):
    """Tells a sink that its part is not wanted any more."""


class _OpenPart:
    def __init__(self, work: Work, task: SplitTask) -> None:
        self.task = task
        self._work = work
        own = f"{task.stem}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        store = work.store
        self._part = store.scratch / f"{own}{store.format.suffix}"
        self._lines = store.scratch / f"{own}.quarantine"
        self._opened = open_part(self._part, work.output_schema, store.format, header=store.header)
        self._writer: Part | None = self._opened.__enter__()
        self._rows_in = self._rows_out = self._rows_bad = self._left_out = 0
        self._reasons: dict[str, int] = {}
        self._first: list[dict[str, Any]] = []

    def write(self, item: Answered) -> None:
        assert self._writer is not None
        rows = self._table(item)
        if rows.num_rows:
            self._writer.write(rows)
        self._rows_in += item.piece.n_rows
        self._left_out += item.piece.n_left_out
        self._rows_out += rows.num_rows
        self._rows_bad += len(item.failures)
        if item.failures:
            self._quarantine(item)

    def _table(self, item: Answered) -> pa.RecordBatch:
        """(rows that were answered) x (kept columns, answers) in the output's schema."""
        import numpy as np
        import pyarrow as pa

        work, read = self._work, item.read
        if item.outputs is None:
            return pa.RecordBatch.from_pylist([], schema=work.output_schema)
        fit = None if item.answered is None else pa.array(item.answered)
        whole = fit
        if read.good is not None:
            whole = pa.array(np.asarray(read.good) if item.answered is None else np.asarray(read.good)[item.answered])
        untyped = [name for name in work.kept if name not in work.typed]
        raw = item.piece.arrow(untyped)
        arrays = []
        for name in work.kept:
            if name in work.typed:
                typed = work.reading.typed(name, read)
                column = typed if fit is None else typed.take(fit)
                arrays.append(_null_again(column, item, name, whole))
            else:
                arrays.append(raw[name] if whole is None else raw[name].take(whole))
        answers = item.outputs.arrow()
        arrays.extend(answers.column(answers.schema.get_field_index(name)) for name in work.answers)
        return pa.RecordBatch.from_arrays(arrays, schema=work.output_schema)

    def _quarantine(self, item: Answered) -> None:
        failures = {item.piece.file_row(row): why for row, why in item.failures.items()}
        reasons, first = summary(self.task.file.shown, failures)
        merge_reasons(self._reasons, reasons)
        self._first.extend(first[: FIRST_SHOWN - len(self._first)])
        with writing(self._lines), open(self._lines, "ab") as file:  # noqa: PTH123
            file.writelines(quarantine_lines(self._work, item))

    def commit(self) -> dict[str, Any]:
        task, work = self.task, self._work
        if self._rows_in + self._left_out != task.n_rows or self._rows_in != self._rows_out + self._rows_bad:
            raise RunStopped(
                f"split {task.index} of {task.file.shown!r} has {task.n_rows} rows, {self._rows_in} were read, "
                f"{self._left_out} left out, "
                f"{self._rows_out} answered and {self._rows_bad} quarantined: these do not add up, so nothing of it "
                "was kept. This is a fault in twofold; please report it."
            )
        self._writer = None
        self._opened.__exit__(None, None, None)
        report = {
            "index": task.index,
            "name": task.name,
            "rows_in": self._rows_in,
            "rows_out": self._rows_out,
            "rows_quarantined": self._rows_bad,
            "rows_left_out": self._left_out,
            "reasons": self._reasons,
            "first_errors": self._first,
        }
        work.store.commit(task.name, self._part, self._lines if self._rows_bad else None, report)
        return report

    def drop(self) -> None:
        if self._writer is not None:
            self._writer = None
            stop = _Dropped()
            try:
                self._opened.__exit__(_Dropped, stop, None)
            except (_Dropped, OutputError):
                pass
        for path in (self._part, self._lines):
            path.unlink(missing_ok=True)


def _null_again(column: pa.Array, item: Answered, name: str, whole: pa.Array | None) -> pa.Array:
    """Null where the input had null or nothing: the model may have been given NaN or a default instead."""
    import pyarrow as pa
    import pyarrow.compute as pc

    piece = item.piece
    if piece.origin == "json":
        there = pa.array([record.get(name) is not None for record in piece.records], pa.bool_())
    else:
        if not piece.columns[name].null_count:
            return column
        there = piece.columns[name].is_valid()
    if whole is not None:
        there = there.take(whole)
    return pc.if_else(there, column, pa.scalar(None, column.type))
