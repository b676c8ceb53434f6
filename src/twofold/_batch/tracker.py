"""Where a run stands: rows done and rows lost, whether there are too many of these, and who is told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from twofold._batch.report import FIRST_SHOWN, OnProgress, Progress, allowed_bad_rows, error_lines, merge_reasons
from twofold._errors import RunStopped

__all__ = ["RunTracker", "refuse_too_many"]

PROGRESS_S = 0.1


@dataclass
class _InWork:
    rows: int = 0
    failed: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    first: list[dict[str, Any]] = field(default_factory=list)


class RunTracker:
    """Follows the splits of a run, in work and committed."""

    def __init__(
        self,
        rows_total: int,
        limit: str | int | None,
        began: float,
        on_commit: Callable[[int], None],
        told: OnProgress | None,
        can_put_aside: bool = True,
    ) -> None:
        self.reports: dict[int, dict[str, Any]] = {}
        self._rows_total = rows_total
        self._limit = limit
        self._can_put_aside = can_put_aside
        self._allowed = allowed_bad_rows(limit, rows_total) if can_put_aside else 0
        self._began = began
        self._on_commit = on_commit
        self._told = told
        self._told_at = 0.0
        self._in_work: dict[int, _InWork] = {}
        self._rows = self._failed = self._resumed = 0

    def resumed(self, report: dict[str, Any]) -> None:
        """This split was committed by an earlier start."""
        self._resumed += report["rows_in"] + report.get("rows_left_out", 0)
        self._committed(report)

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None:
        split = self._in_work.setdefault(index, _InWork())
        split.rows += n_rows
        split.failed += n_failed
        self._rows += n_rows
        self._failed += n_failed
        if n_failed:
            merge_reasons(split.reasons, reasons)
            split.first.extend(first)
            self._check()
        self.tick()

    def lost(self, index: int) -> None:
        split = self._in_work.pop(index, _InWork())
        self._rows -= split.rows
        self._failed -= split.failed

    def done(self, report: dict[str, Any]) -> None:
        self.lost(report["index"])
        self._committed(report)
        self.tick()

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
            self._told(Progress(stage, self._rows, self._rows_total, self._failed, self._resumed, seconds))

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
