"""From committed parts to the finished output: joined as they come, in order, under a temporary name."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from twofold._batch.durable import commit, sync_file, sync_folder
from twofold._batch.output import Output
from twofold._batch.pipeline import behind
from twofold._batch.quarantine import join_quarantine
from twofold._batch.report import FIRST_SHOWN, merge_reasons
from twofold._batch.sinks import open_join, open_part, writing
from twofold._batch.work import SplitTask, Work

if TYPE_CHECKING:
    from twofold._batch.sinks import Joiner

__all__ = ["Joining", "total"]

SYNC_BYTES = 16 << 20
"""How much is joined before it is flushed, in a thread while splits are still computed: little is left for the end."""


class Joining:
    """Joins the parts of a run. Leaving the `with` without `finish` closes what is open; it is not wanted then."""

    def __init__(self, work: Work, output: Output, tasks: Sequence[SplitTask]) -> None:
        self._work = work
        self._output = output
        self._tasks = tasks
        self._whole = output.tmp / f"joined{output.format.suffix}"
        self._committed: set[int] = set()
        self._next = 0
        self._unsynced_bytes = 0
        self._open = ExitStack()
        self._joiner: Joiner | None = None

    def __enter__(self) -> Joining:
        if not self._output.is_folder:
            opened = open_join(self._whole, self._work.output_schema, self._output.format)
            self._joiner = self._open.enter_context(opened)
            self._flush = self._open.enter_context(behind(self._sync, "flushing behind"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> bool:
        return bool(self._open.__exit__(kind, error, where))

    def committed(self, index: int) -> None:
        """The part of this split is there; parts are joined as soon as all before them are."""
        self._committed.add(index)
        while self._next in self._committed:
            if self._joiner is not None:
                self._add(self._joiner, self._work.parts / self._tasks[self._next].name)
            self._next += 1

    def _add(self, joiner: Joiner, part: Path) -> None:
        joiner.add(part)
        self._unsynced_bytes += part.stat().st_size
        if self._unsynced_bytes >= SYNC_BYTES:
            self._flush(part)
            self._unsynced_bytes = 0

    def _sync(self, part: Path) -> None:  # noqa: ARG002
        with writing(self._whole):
            if self._whole.exists():  # an Arrow file is written at the end: it begins with all dictionaries
                sync_file(self._whole)

    def finish(self, reports: Sequence[dict[str, Any]]) -> Path:
        """Flush the whole output and put the quarantine in its place. Returns what is to get the output's name."""
        self._open.close()
        self._joiner = None
        output = self._output
        with writing(output.path):
            self._join_quarantine(reports)
            if not output.is_folder:
                sync_file(self._whole)
                return self._whole
            if not self._tasks:  # a folder of nothing would have no schema
                empty = output.tmp / f"part-000000{output.format.suffix}"
                with open_part(empty, self._work.output_schema, output.format):
                    pass
                sync_file(empty)
                commit(empty, output.parts / empty.name)
            sync_folder(output.parts)
            return output.parts

    def _join_quarantine(self, reports: Sequence[dict[str, Any]]) -> None:
        stems = [task.stem for task, report in zip(self._tasks, reports, strict=True) if report["rows_quarantined"]]
        if stems:
            whole = self._output.tmp / "quarantine.jsonl"
            join_quarantine([self._work.splits / f"{stem}.jsonl" for stem in stems], whole)
            sync_file(whole)
            commit(whole, self._output.quarantine)


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
        "splits": len(reports),
        "reasons": reasons,
        "first_errors": first,
    }
