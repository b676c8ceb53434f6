"""What a run does, step by step: prepare, compute, report. See `run` for the whole."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from twofold._batch.events import ID_CHARACTERS, Events
from twofold._batch.executors.base import Executor, Measured, ModelFacts
from twofold._batch.joining import Joining, total
from twofold._batch.lengths import measurable
from twofold._batch.plan import chosen_shape, fingerprint, identities, make_work, plan_splits
from twofold._batch.record import RunState, digest, read_record
from twofold._batch.report import BatchReport, OnProgress, allowed_bad_rows, exit_code_of
from twofold._batch.shape import Shape
from twofold._batch.sources import InputScan, parse_where, scan_inputs
from twofold._batch.sources.given import input_files, shown_input
from twofold._batch.sources.spool import Spool
from twofold._batch.stores import Store
from twofold._batch.tracker import RunTracker, refuse_too_many
from twofold._batch.work import SplitTask, Work
from twofold._errors import RunStopped
from twofold._options import BatchOptions

__all__ = ["Plan", "Run", "compute", "make_plan", "prepare", "report"]

PROBED_ROWS = 1 << 16
"""The first split that large is where the model's cost is measured."""


@dataclass
class Run:
    """What is known when the first row is computed."""

    work: Work
    tasks: Sequence[SplitTask]
    state: RunState
    model: ModelFacts
    resumed: int = 0
    model_calls: int = 0

    def done_before(self, committed: Collection[str], events: Events) -> None:
        """These parts were there before this start: so begins what is told of the run."""
        done = [task.n_rows for task in self.tasks if task.name in committed]
        self.resumed = len(done)
        events.tell(
            "plan",
            run=digest(self.state.record.fingerprint)[:ID_CHARACTERS],
            model=self.model.name,
            model_version=self.model.version,
            rows=sum(task.n_rows for task in self.tasks),
            splits=len(self.tasks),
            rows_done=sum(done),
            splits_done=len(done),
            **self.work.shape.to_json(),
        )


@dataclass
class Plan:
    """What a run will be, before anything of it is written."""

    work: Work
    tasks: Sequence[SplitTask]
    fingerprint: dict[str, Any]
    scan: InputScan
    model: ModelFacts
    measured: Measured | None = None


def prepare(executor: Executor, given: str, store: Store, options: BatchOptions) -> Run:
    """Look through the input, match it with the model, and begin the run, go on with it, or find it finished."""
    plan = make_plan(executor, given, store, spool_of(store), options)
    work = plan.work
    state = RunState.begin(work.store, plan.fingerprint, work.shape, overwrite=options.overwrite)
    return Run(work, plan.tasks, state, plan.model)


def make_plan(
    executor: Executor, given: str, store: Store, spool: Spool, options: BatchOptions, *, dry: bool = False
) -> Plan:
    """Look through the input and match it with the model. `dry`: the model's cost is measured, whoever chose what."""
    where = None if options.where is None else parse_where(options.where)
    begun = read_record(store)
    begun_with = None if begun is None or begun.finished is not None else begun.fingerprint.get("inputs")
    files = input_files(given, where, spool, input_format=options.input_format, begun=begun_with)
    inputs = identities(files)
    scan = scan_inputs(files, where=where)
    model = executor.facts()
    work = make_work(scan, shown_input(given), model, options, store, executor.room())
    known = fingerprint(model, files, options, store)
    store = store.of_run(digest(known))
    work = replace(work, store=store)
    found = read_record(store)
    goes_on = found is not None and found.fingerprint == known
    measured = _measured(executor, scan, work, options) if dry or (not goes_on and _is_open(work, options)) else None
    if found is not None and goes_on:
        shape = Shape.from_json(found.shape)
    else:
        shape = chosen_shape(scan, work, measured, options)
    tasks = plan_splits(scan, shape.split_rows, options, digest(known), inputs, store.format)
    return Plan(replace(work, shape=shape), tasks, known, scan, model, measured)


def spool_of(store: Store) -> Spool:
    return Spool(store.spool)


def _is_open(work: Work, options: BatchOptions) -> bool:
    """Something of the run's shape is to be chosen."""
    return not (options.split_rows and options.batch_rows) or (
        not options.unsorted and bool(measurable(work.signature))
    )


def _measured(executor: Executor, scan: InputScan, work: Work, options: BatchOptions) -> Measured | None:
    first = plan_splits(scan, PROBED_ROWS, options, "", {file.path: [] for file in scan.files}, work.store.format)
    measured = executor.probe(work, first[0], scan.n_rows) if first and first[0].n_rows > 1 else None
    return replace(measured, by_length=False) if measured is not None and options.unsorted else measured


def compute(
    run: Run, executor: Executor, options: BatchOptions, began: float, told: OnProgress | None, events: Events
) -> None:
    """Everything from the first row to the output's appearance; what an earlier start did is not done again."""
    state, store = run.state, run.work.store
    if state.is_published:  # an earlier start was stopped between the last rename and its report
        run.done_before({task.name for task in run.tasks}, events)
        events.tell("published", output=store.shown())
        state.finish(total([store.report(task.name) for task in run.tasks]))
        return
    store.sweep({task.name for task in run.tasks}, run.work.output_schema)
    committed = store.committed()
    run.done_before(committed, events)
    try:
        with Joining(run.work, run.tasks) as joining:
            can_put_aside = bool(store.quarantine())
            tracker = RunTracker(run.tasks, options.max_bad_rows, began, joining.committed, told, can_put_aside, events)
            waiting = [task for task in run.tasks if task.name not in committed]
            for task in run.tasks:
                if task.name in committed:
                    tracker.resumed(store.report(task.name))
            if waiting:
                executor.run(run.work, waiting, tracker)
            tracker.show("joining")
            reports = [tracker.reports[task.index] for task in run.tasks]
            joining.finish(reports)
        state.publish()
        events.tell("published", output=store.shown())
        state.finish(total(reports))
    except BaseException:
        executor.close()  # so that nothing is written any more
        store.drop_scratch()
        raise
    tracker.show("done")


def report(run: Run, given: str, options: BatchOptions, began: float) -> BatchReport:
    """What the finished run says. RunStopped where it has more bad rows than are allowed now."""
    finished = run.state.record.finished
    assert finished is not None
    bad, rows_in = finished["rows_quarantined"], finished["rows_in"]
    left_out = finished.get("rows_left_out", 0)
    if rows_in != finished["rows_out"] + bad or rows_in + left_out != sum(task.n_rows for task in run.tasks):
        raise RunStopped(
            f"{rows_in} rows went in, {finished['rows_out']} came out and {bad} are in quarantine: these do not add "
            "up. This is a fault in twofold; please report it."
        )
    spool_of(run.work.store).drop()
    allowed = allowed_bad_rows(options.max_bad_rows, rows_in)
    if allowed is not None and bad > allowed:
        refuse_too_many(bad, options.max_bad_rows, finished["reasons"], finished["first_errors"])
    seconds = time.monotonic() - began
    computed = rows_in if run.resumed < len(run.tasks) else 0
    return BatchReport(
        rows_in=rows_in,
        rows_out=finished["rows_out"],
        rows_quarantined=bad,
        seconds=seconds,
        rows_per_second=computed / seconds,
        splits=finished["splits"],
        splits_resumed=run.resumed,
        output=given,
        quarantine=run.work.store.quarantine() if bad else None,
        reasons=finished["reasons"],
        first_errors=tuple(finished["first_errors"]),
        model_calls=run.model_calls,
        exit_code=exit_code_of(bad, options.max_bad_rows),
    )
