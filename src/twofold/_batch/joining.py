"""From committed parts to the finished output: assembled as they come, in order."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any

from twofold._batch.report import FIRST_SHOWN, merge_reasons
from twofold._batch.stores import Assembly
from twofold._batch.work import SplitTask, Work

__all__ = ["Joining", "total"]


class Joining:
    """Assembles the parts of a run. Leaving the `with` without `finish` closes what is open; it is not wanted then."""

    def __init__(self, work: Work, tasks: Sequence[SplitTask]) -> None:
        self._work = work
        self._tasks = tasks
        self._committed: set[int] = set()
        self._next = 0
        self._open = ExitStack()
        self._assembly: Assembly | None = None

    def __enter__(self) -> Joining:
        self._assembly = self._open.enter_context(self._work.store.assembling(self._work.output_schema))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        return bool(self._open.__exit__(kind, error, where))

    def committed(self, index: int) -> None:
        """The part of this split is there; parts are taken as soon as all before them are."""
        assert self._assembly is not None
        self._committed.add(index)
        while self._next in self._committed:
            self._assembly.add(self._tasks[self._next].name)
            self._next += 1

    def finish(self, reports: Sequence[dict[str, Any]]) -> None:
        """Complete the output and put the quarantine in its place."""
        self._open.close()
        bad = [task.name for task, report in zip(self._tasks, reports, strict=True) if report["rows_quarantined"]]
        self._work.store.put_aside(bad)


def total(reports: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The reports of all splits, in order, as one."""
    reasons: dict[str, int] = {}
    first: list[dict[str, Any]] = []
    for report in reports:
        merge_reasons(reasons, report["reasons"])
        first.extend(report["first_errors"][: FIRST_SHOWN - len(first)])
    return {
        "rows_in": sum(report["rows_in"] for report in reports),
        "rows_out": sum(report["rows_out"] for report in reports),
        "rows_quarantined": sum(report["rows_quarantined"] for report in reports),
        "rows_left_out": sum(report.get("rows_left_out", 0) for report in reports),
        "splits": len(reports),
        "reasons": reasons,
        "first_errors": first,
    }
