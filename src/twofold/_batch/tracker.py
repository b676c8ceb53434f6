"""Where a run stands: rows done and rows lost, whether there are too many of these, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from twofold._batch.events import Events
from twofold._batch.report import (
    FIRST_SHOWN,
    OnProgress,
    PlaceProgress,
    Progress,
    allowed_bad_rows,
    error_lines,
    merge_reasons,
)
from twofold._batch.work import SplitTask
from twofold._errors import RunStopped

__all__ = ["RunTracker", "refuse_too_many"]

PROGRESS_S = 0.1


@dataclass
class _InWork:
    place: str = ""
    began: float = 0.0
    rows: int = 0
    failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    first: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class _Place:
    began: float
    rows: int = 0
    splits: list[int] = field(default_factory=list)


class RunTracker:
    """Follows the splits of a run, in work and committed."""

    def __init__(
        self,
        tasks: Sequence[SplitTask],
        limit: str | int | None,
        began: float,
        on_commit: Callable[[int], None],
        told: OnProgress | None,
        can_put_aside: bool = True,
        events: Events | None = None,
    ) -> None:
        self.reports: dict[int, dict[str, Any]] = {}
        self._tasks = {task.index: task for task in tasks}
        self._rows_total = rows_total = sum(task.n_rows for task in tasks)
        self._limit = limit
        self._can_put_aside = can_put_aside
        self._allowed = allowed_bad_rows(limit, rows_total) if can_put_aside else 0
        self._began = began
        self._on_commit = on_commit
        self._told = told
        self._told_at = 0.0
        self._events = events or Events()
        self._in_work: dict[int, _InWork] = {}
        self._places: dict[str, _Place] = {}
        self._rows = self._failed = self._resumed = 0

    def resumed(self, report: dict[str, Any]) -> None:
        """This split was committed by an earlier start."""
        self._resumed += report["rows_in"] + report.get("rows_left_out", 0)
        self._committed(report)

    def began(self, index: int, place: str) -> None:
        now = time.monotonic()
        split = self._in_work.setdefault(index, _InWork())
        split.place, split.began = place, now
        self._places.setdefault(place, _Place(now)).splits.append(index)
        task = self._tasks[index]
        where = {"file": task.file.shown, "first_row": task.file.first_row}
        self._events.tell("split_begun", split=index, rows=task.n_rows, **where, place=place)

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None:
        split = self._in_work.setdefault(index, _InWork())
        split.rows += n_rows
        split.failed += n_failed
        if split.place in self._places:
            self._places[split.place].rows += n_rows
        self._rows += n_rows
        self._failed += n_failed
        if n_failed:
            merge_reasons(split.reasons, reasons)
            split.first.extend(first)
            self._check()
        self.tick()

    def lost(self, index: int) -> None:
        split = self._drop(index)
        if split.place in self._places:
            self._places[split.place].rows -= split.rows

    def gone(self, place: str, how: str, splits: list[int]) -> None:
        held = [name for name, its in self._places.items() if name == place or {*its.splits} & {*splits}]
        for name in held:
            del self._places[name]
        self._events.tell("worker_lost", place=place, how=how, splits=splits)

    def _drop(self, index: int) -> _InWork:
        split = self._in_work.pop(index, _InWork())
        self._rows -= split.rows
        self._failed -= split.failed
        if index in (place := self._places.get(split.place, _Place(0.0))).splits:
            place.splits.remove(index)
        return split

    def done(self, report: dict[str, Any]) -> None:
        split = self._drop(report["index"])
        self._committed(report)
        self._tell_done(split, report)
        self.tick()

    def _tell_done(self, split: _InWork, report: dict[str, Any]) -> None:
        index, n_bad = report["index"], report["rows_quarantined"]
        if n_bad:
            why = {"reasons": report["reasons"], "first_errors": report["first_errors"]}
            self._events.tell("quarantined", split=index, rows=n_bad, **why)
        self._events.tell(
            "split_done",
            split=index,
            rows_in=report["rows_in"],
            rows_out=report["rows_out"],
            rows_quarantined=n_bad,
            rows_left_out=report.get("rows_left_out", 0),
            seconds=round(time.monotonic() - split.began, 3) if split.began else None,
            place=split.place,
        )

    def _committed(self, report: dict[str, Any]) -> None:
        self.reports[report["index"]] = report
        self._rows += report["rows_in"] + report.get("rows_left_out", 0)
        self._failed += report["rows_quarantined"]
        self._check()
        self._on_commit(report["index"])

    def tick(self) -> None:
        if self._told is not None and time.monotonic() - self._told_at >= PROGRESS_S:
            self.show("rows")

    def show(self, stage: str) -> None:
        """Tell where the run stands, now."""
        if self._told is not None:
            self._told_at = time.monotonic()
            seconds = self._told_at - self._began
            places = tuple(
                PlaceProgress(name, tuple(place.splits), place.rows, self._told_at - place.began)
                for name, place in self._places.items()
            )
            rows = self._rows, self._rows_total, self._failed, self._resumed
            self._told(Progress(stage, *rows, seconds, places))

    def _check(self) -> None:
        if self._allowed is None or self._failed <= self._allowed:
            return
        reasons: dict[str, int] = {}
        first: list[dict[str, Any]] = []
        for index in sorted({*self.reports, *self._in_work}):
            split, report = self._in_work.get(index), self.reports.get(index)
            if report is not None:
                merge_reasons(reasons, report["reasons"])
                first.extend(report["first_errors"])
            elif split is not None:
                merge_reasons(reasons, split.reasons)
                first.extend(split.first)
        if not self._can_put_aside:
            raise RunStopped(
                "a row has no answer, and no place was named for such rows, so the run was stopped. To go on without "
                "them, say where they go: --quarantine bad.jsonl\n" + "\n".join(error_lines(reasons, first)),
                reasons=reasons,
                first_errors=first[:FIRST_SHOWN],
            )
        refuse_too_many(self._failed, self._limit, reasons, first)


def refuse_too_many(n_bad: int, limit: str | int | None, reasons: dict[str, int], first: list[dict[str, Any]]) -> None:
    """Raises RunStopped: more bad rows than allowed."""
    raise RunStopped(
        f"{n_bad:,} rows are bad, more than --max-bad-rows {limit} allows, so the run was stopped. What is committed "
        "stays: start again with a higher limit to go on from there.\n" + "\n".join(error_lines(reasons, first)),
        rows_quarantined=n_bad,
        reasons=reasons,
        first_errors=first[:FIRST_SHOWN],
    )
