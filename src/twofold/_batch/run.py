"""A run over stored data: plan, compute what is not committed, join, let the output appear.

worker 0 loads the model     while the input is looked through
Work, splits, fingerprint    what this run is; `record` says whether it may begin, goes on or is done
plan - committed             through the executor; each split commits its own part
join, publish, finish        the output appears by one rename
"""

from __future__ import annotations

import shutil
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from types import FrameType

from twofold._batch.executors.base import Executor
from twofold._batch.executors.local import LocalExecutor
from twofold._batch.joining import Joining, total
from twofold._batch.light import import_pyarrow
from twofold._batch.output import Output, locked, output_of, refuse_overlap
from twofold._batch.part import split_report
from twofold._batch.plan import fingerprint, identities, make_work, plan_splits, split_rows_for
from twofold._batch.record import RunState, digest, read_record
from twofold._batch.report import BatchReport, OnProgress, allowed_bad_rows, exit_code_of
from twofold._batch.sources import InputScan, expand_inputs, scan_inputs
from twofold._batch.tracker import RunTracker, refuse_too_many
from twofold._batch.work import SplitTask, Work
from twofold._errors import RunStopped
from twofold._model import ModelRef
from twofold._options import BatchOptions
from twofold._supervisor import refuse_in_worker

__all__ = ["run_batch"]


def run_batch(
    ref: ModelRef,
    input_path: str,
    output_path: str,
    options: BatchOptions,
    *,
    on_progress: OnProgress | None = None,
    executor: Executor | None = None,
) -> BatchReport:
    """Answer every row of the input, in order, into the output. Started again after whatever stopped it, it goes on.

    Raises UsageError, InputError, ModelError, OutputError, or RunStopped (too many bad rows, a model that only fails,
    SIGTERM: exit code 143); KeyboardInterrupt says in its text how to go on.
    """
    refuse_in_worker("twofold.batch")
    began = time.monotonic()
    output = output_of(output_path)
    files = expand_inputs(input_path)
    refuse_overlap(output, files, input_path)
    allowed_bad_rows(options.max_bad_rows, 0)  # written as it should be?
    with (
        _stopping(output),
        closing(executor or LocalExecutor(ref, options.workers, options.call_timeout_s)) as executor,
        locked(output),
    ):
        import_pyarrow()
        run = _prepare(executor, input_path, output, options)
        if run.state.record.finished is None:
            _compute(run, executor, options, began, on_progress)
            run.model_calls = executor.model_calls
        else:
            run.resumed = len(run.tasks)
            run.state.clear()
        return _report(run, output_path, options, began)


@dataclass
class _Run:
    """What is known when the first row is computed."""

    work: Work
    tasks: Sequence[SplitTask]
    state: RunState
    output: Output
    resumed: int = 0
    model_calls: int = 0


def _prepare(executor: Executor, given: str, output: Output, options: BatchOptions) -> _Run:
    files = expand_inputs(given)
    inputs = identities(files)
    scan = scan_inputs(files)
    model = executor.facts()
    work = make_work(scan, given, model, options, output)
    known = fingerprint(model, inputs, options, output, work)
    found = read_record(output)
    if found is not None and found.fingerprint == known:
        split_rows = found.split_rows
    else:
        split_rows = options.split_rows or _fitting_split_rows(executor, scan, work, options)
    state = RunState.begin(output, known, split_rows, overwrite=options.overwrite)
    return _Run(work, plan_splits(scan, split_rows, options, digest(known), inputs, output.format), state, output)


def _fitting_split_rows(executor: Executor, scan: InputScan, work: Work, options: BatchOptions) -> int:
    first = plan_splits(scan, 4096, options, "", {file.path: (0, 0) for file in scan.files}, work.format)
    row_s = executor.probe(work, first[0]) if first and first[0].n_rows > 1 else None
    return split_rows_for(scan, row_s)


def _compute(run: _Run, executor: Executor, options: BatchOptions, began: float, told: OnProgress | None) -> None:
    """Everything from the first row to the output's appearance; what an earlier start did is not done again."""
    state, output = run.state, run.output
    if state.is_published:  # an earlier start was stopped between the last rename and its report
        run.resumed = len(run.tasks)
        state.finish(total([split_report(run.work, task) for task in run.tasks]))
        return
    committed = state.sweep({task.name for task in run.tasks})
    try:
        with Joining(run.work, output, run.tasks) as joining:
            rows_total = sum(task.n_rows for task in run.tasks)
            tracker = RunTracker(rows_total, options.max_bad_rows, began, joining.committed, told)
            waiting = [task for task in run.tasks if task.name not in committed]
            run.resumed = len(run.tasks) - len(waiting)
            for task in run.tasks:
                if task.name in committed:
                    tracker.resumed(split_report(run.work, task))
            if waiting:
                executor.run(run.work, waiting, tracker)
            tracker.show("joining")
            reports = [tracker.reports[task.index] for task in run.tasks]
            whole = joining.finish(reports)
        executor.close()
        state.publish(whole)
        state.finish(total(reports))
    except BaseException:
        executor.close()  # so that nothing is written any more
        shutil.rmtree(output.tmp, ignore_errors=True)
        raise
    tracker.show("done")


def _report(run: _Run, given: str, options: BatchOptions, began: float) -> BatchReport:
    finished = run.state.record.finished
    assert finished is not None
    bad, rows_in = finished["rows_quarantined"], finished["rows_in"]
    if rows_in != finished["rows_out"] + bad or rows_in != sum(task.n_rows for task in run.tasks):
        raise RunStopped(
            f"{rows_in} rows went in, {finished['rows_out']} came out and {bad} are in quarantine: these do not add "
            "up. This is a fault in twofold; please report it."
        )
    allowed = allowed_bad_rows(options.max_bad_rows, rows_in)
    if allowed is not None and bad > allowed:
        refuse_too_many(bad, options.max_bad_rows, finished["reasons"], finished["first_errors"])
    seconds = time.monotonic() - began
    computed = sum(task.n_rows for task in run.tasks) if run.resumed < len(run.tasks) else 0
    return BatchReport(
        rows_in=rows_in,
        rows_out=finished["rows_out"],
        rows_quarantined=bad,
        seconds=seconds,
        rows_per_second=computed / seconds,
        splits=finished["splits"],
        splits_resumed=run.resumed,
        output=given,
        quarantine=str(run.output.quarantine) if bad else None,
        reasons=finished["reasons"],
        first_errors=tuple(finished["first_errors"]),
        model_calls=run.model_calls,
        exit_code=exit_code_of(bad, options.max_bad_rows),
    )


@contextmanager
def _stopping(output: Output) -> Iterator[None]:
    """SIGTERM ends the run like Ctrl-C does, with exit code 143; both say how to go on."""
    go_on = f"{output.shown()!r} is not there yet. What is committed stays: start the same command again to go on."

    def stop(signum: int, _: FrameType | None) -> None:
        error = RunStopped(f"the run was stopped by SIGTERM; {go_on}")
        error.exit_code = 128 + signum
        raise error

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"the run was stopped by Ctrl-C; {go_on}") from None
    finally:
        signal.signal(signal.SIGTERM, before)
