"""`--dry-run`: what a run would do, and about how long it would take. Nothing of it is written.

The input is looked through and matched with the model, as always. Then the first rows of a few splits are computed,
into a folder that vanishes.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from twofold._batch.events import ID_CHARACTERS
from twofold._batch.places import shown
from twofold._batch.report import FIRST_SHOWN, merge_reasons
from twofold._batch.run import opened_store, started_executor
from twofold._batch.sources.given import shown_input
from twofold._errors import OutputError, RunStopped, UsageError
from twofold._options import BatchOptions
from twofold._reference import ModelRef
from twofold._supervisor import refuse_in_worker

if TYPE_CHECKING:
    from twofold._batch.executors.base import Executor
    from twofold._batch.flow import Plan
    from twofold._batch.stores import Store
    from twofold._batch.work import SplitTask

__all__ = ["DryRun", "Sample", "dry_run"]

SAMPLE_S = 1.0
UNMEASURED_ROWS = 256


@dataclass(frozen=True)
class Sample:
    """The rows that were tried. `rows_per_second`: at one place."""

    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_left_out: int
    rows_per_second: float
    reasons: dict[str, int] = field(default_factory=dict)
    first_errors: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True)
class DryRun:
    """What a run would do. `state`: begins, goes on, done; `columns`: field -> its column, or those of its items."""

    run: str
    state: str
    input: str
    output: str
    files: int
    rows: int
    """Before `where`."""
    bytes: int
    model: str
    model_version: str
    columns: dict[str, str | list[str]]
    defaults: tuple[str, ...]
    """Fields that have no column."""
    unread: tuple[str, ...]
    """Columns that neither the model nor the output has."""
    kept: tuple[str, ...]
    answers: dict[str, str]
    types: dict[str, str]
    """Of the output's columns."""
    splits: int
    splits_done: int
    rows_left: int
    split_rows: int
    batch_rows: int
    by_length: bool
    places: int
    sample: Sample | None
    seconds: float | None
    """About, for what is left to do; None where the sample tells nothing."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def dry_run(ref: ModelRef, input_path: str, output_path: str, options: BatchOptions) -> DryRun:
    """What `run_batch` would do with these. Raises what it would raise before its first row."""
    refuse_in_worker("twofold.batch")
    if options.events is not None:
        raise UsageError("--dry-run writes nothing, and --events is for what a run does. Leave one of them out.")
    with ExitStack() as open_:
        scratch = Path(open_.enter_context(TemporaryDirectory(prefix="twofold-")))
        store = cast("Store", _Unwritten(opened_store(input_path, output_path, options)))
        executor = started_executor(ref, options, open_, store)
        open_.enter_context(closing(executor))
        from twofold._batch.flow import make_plan
        from twofold._batch.sources.spool import Spool

        plan = make_plan(executor, input_path, store, Spool(scratch / "spool"), options, dry=True)
        state, committed = _state(plan, options)
        waiting = [task for task in plan.tasks if task.name not in committed]
        places = executor.places_for(max(1, len(waiting)))
        sample = _sample(executor, plan, waiting[:places], scratch, on_cluster=options.executor == "ray")
        return _described(plan, shown_input(input_path), shown(output_path), state, waiting, places, sample)


class _Unwritten:
    """A store that takes no record, and is not made by being looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        where = getattr(store, "location", None)
        self._absent = where is not None and where.kind == "sqlite" and not Path(where.where).exists()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def of_run(self, run: str) -> _Unwritten:
        return _Unwritten(self._store.of_run(run))

    def load(self) -> dict[str, Any] | None:
        return None if self._absent else self._store.load()

    def identity(self) -> Any:
        return None if self._absent else self._store.identity()

    def save(self, record: dict[str, Any]) -> None:
        pass


def _state(plan: Plan, options: BatchOptions) -> tuple[str, Collection[str]]:
    """Whether the run would begin, go on or is done, and the parts that are there. OverwriteRefused: it may not."""
    from twofold._batch.record import RunState

    work = plan.work
    run = RunState.begin(work.store, plan.fingerprint, work.shape, overwrite=options.overwrite)
    if run.record.finished is not None or run.is_published:
        return "done", {task.name for task in plan.tasks}
    if run.begins:
        return "begins", ()
    with suppress(OutputError):
        return "goes on", work.store.committed()
    return "goes on", ()  # it was stopped before there was a place for parts


def _sample(
    executor: Executor, plan: Plan, tasks: Sequence[SplitTask], scratch: Path, *, on_cluster: bool
) -> Sample | None:
    """The first rows of these splits, computed and written; on a cluster, what the calls for the plan have told."""
    from twofold._batch.stores import LocalStore

    row_s = None if plan.measured is None else plan.measured.row_s
    if not tasks:
        return None
    if on_cluster:
        return None if row_s is None else Sample(0, 0, 0, 0, 1 / max(row_s, 1e-9))
    rows = UNMEASURED_ROWS if row_s is None else max(1, int(SAMPLE_S / max(row_s, 1e-9)))
    store = LocalStore(scratch / "sample", False, plan.work.store.format)
    store.state.mkdir()
    store.sweep((), plan.work.output_schema)
    watch = _Watch()
    few = [replace(task, n_rows=min(task.n_rows, rows)) for task in tasks]
    with suppress(RunStopped):  # a model that only fails: the sample shows with what
        executor.run(replace(plan.work, store=store), few, watch)
    return watch.sample()


class _Watch:
    """A Tracker that takes the time."""

    def __init__(self) -> None:
        self._began: dict[int, float] = {}
        self._seconds: dict[int, float] = {}
        self._reports: list[dict[str, Any]] = []

    def began(self, index: int, place: str) -> None:  # noqa: ARG002
        self._began[index] = time.monotonic()

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None:
        pass

    def lost(self, index: int) -> None:
        self._began.pop(index, None)

    def gone(self, place: str, how: str, splits: list[int]) -> None:
        pass

    def done(self, report: dict[str, Any]) -> None:
        self._reports.append(report)
        if report["index"] in self._began:
            self._seconds[report["index"]] = time.monotonic() - self._began[report["index"]]

    def tick(self) -> None:
        pass

    def sample(self) -> Sample | None:
        if not self._reports:
            return None
        reasons: dict[str, int] = {}
        for report in self._reports:
            merge_reasons(reasons, report["reasons"])
        first = [error for report in self._reports for error in report["first_errors"]]
        rows_in, rows_out, bad, out = (
            sum(report.get(key, 0) for report in self._reports)
            for key in ("rows_in", "rows_out", "rows_quarantined", "rows_left_out")
        )
        timed = sum(
            report["rows_in"] + report.get("rows_left_out", 0)
            for report in self._reports
            if report["index"] in self._seconds
        )
        speed = timed / max(sum(self._seconds.values()), 1e-9) if timed else 0.0
        return Sample(rows_in, rows_out, bad, out, speed, reasons, tuple(first[:FIRST_SHOWN]))


def _described(
    plan: Plan, source: str, output: str, state: str, waiting: Sequence[SplitTask], places: int, sample: Sample | None
) -> DryRun:
    from twofold._batch.record import digest

    work, scan = plan.work, plan.scan
    rows_left = sum(task.n_rows for task in waiting)
    speed = 0.0 if sample is None else sample.rows_per_second * places
    read = {*work.read_columns}
    return DryRun(
        run=digest(plan.fingerprint)[:ID_CHARACTERS],
        state=state,
        input=source,
        output=output,
        files=len(scan.files),
        rows=sum(task.n_rows for task in plan.tasks),
        bytes=sum(file.n_bytes for file in scan.files),
        model=plan.model.name,
        model_version=plan.model.version,
        columns=dict(work.columns),
        defaults=tuple(one.name for one in work.signature.inputs if one.name not in work.columns),
        unread=tuple(name for name in work.input_schema.names if name not in read),
        kept=work.kept,
        answers=work.answers,
        types={one.name: str(one.type) for one in work.output_schema},
        splits=len(plan.tasks),
        splits_done=len(plan.tasks) - len(waiting),
        rows_left=rows_left,
        split_rows=work.shape.split_rows,
        batch_rows=work.shape.batch_rows,
        by_length=work.shape.by_length,
        places=places,
        sample=sample,
        seconds=round(rows_left / speed, 3) if speed else (None if rows_left else 0.0),
    )
