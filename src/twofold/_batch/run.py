"""A run over stored data: plan, compute what is not committed, join, let the output appear.

worker 0 loads the model     while the input is looked through
Work, splits, fingerprint    what this run is; `record` says whether it may begin, goes on or is done
plan - committed             through the executor; each split commits its own part
join, publish, finish        the output appears by one rename
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from twofold._batch.events import both, telling
from twofold._batch.executors.workers import Workers
from twofold._batch.places import shown
from twofold._batch.report import BatchReport, OnProgress, allowed_bad_rows
from twofold._batch.sources.given import local_files, shown_input
from twofold._batch.stores import LocalStore, Store, open_store, refuse_one_machine, refuse_overlap
from twofold._errors import RunStopped
from twofold._light import import_pyarrow
from twofold._options import BatchOptions
from twofold._reference import ModelRef
from twofold._supervisor import refuse_in_worker

if TYPE_CHECKING:
    from twofold._batch.executors.base import Executor

__all__ = ["opened_store", "run_batch", "started_executor"]


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
    store = opened_store(input_path, output_path, options)
    with ExitStack() as open_:
        events = open_.enter_context(telling(options.events, shown_input(input_path), shown(output_path)))
        open_.enter_context(_stopping(store))
        inherited = open_.enter_context(store.hold())
        if executor is None:
            executor = started_executor(ref, options, open_, store, inherited)
        open_.enter_context(closing(executor))
        from twofold._batch.flow import compute, prepare, report

        run = prepare(executor, input_path, store, options)
        if run.state.record.finished is None:
            events.keep(store.log, anew=run.state.begins)
            compute(run, executor, options, began, both(on_progress, events.progress), events)
            run.model_calls = executor.model_calls
        else:
            run.done_before({task.name for task in run.tasks}, events)
            store.clear()
        found = report(run, shown(output_path), options, began)
        events.tell("done", **found.to_json())
        return found


def opened_store(input_path: str, output_path: str, options: BatchOptions) -> Store:
    """The output's store. UsageError for options that contradict each other, or an output that is the input."""
    files = local_files(input_path)
    store = open_store(output_path, options, files)
    if isinstance(store, LocalStore):
        refuse_overlap(store, [Path(file) for file in files], input_path)
    allowed_bad_rows(options.max_bad_rows, 0)  # written as it should be?
    return store


def started_executor(
    ref: ModelRef, options: BatchOptions, open_: ExitStack, store: Store, inherited: Sequence[int] = ()
) -> Executor:
    """What the options name; it ends with `open_`."""
    if options.in_process:
        return _inline(ref)
    if options.executor == "ray":
        return _ray(ref, options, open_, store)
    return _local(ref, options, open_, inherited)


def _local(ref: ModelRef, options: BatchOptions, open_: ExitStack, inherited: Sequence[int]) -> Executor:
    """Worker processes. The first one starts before anything slow is imported here: it has its own imports to do."""
    workers = Workers(ref, inherited, priority=options.priority)
    open_.callback(workers.end)
    import_pyarrow()
    from twofold._batch.executors.local import LocalExecutor

    return LocalExecutor(workers, options.workers, options.row_timeout_s, options.memory_bytes)


def _inline(ref: ModelRef) -> Executor:
    """This process, so that a debugger reaches the row."""
    import_pyarrow()
    from twofold._batch.executors.inline import InlineExecutor
    from twofold._model import load

    return InlineExecutor(load(ref), probes=False)


def _ray(ref: ModelRef, options: BatchOptions, open_: ExitStack, store: Store) -> Executor:
    """Actors on a Ray cluster. They end with this process, which alone holds the run."""
    refuse_one_machine(store)
    import_pyarrow()
    from twofold._batch.executors.ray import RayExecutor
    from twofold._batch.packing import packed

    with packed(ref) as model:
        executor = RayExecutor(ref, model, options)
    open_.callback(executor.close)
    return executor


@contextmanager
def _stopping(store: Store) -> Iterator[None]:
    """SIGTERM ends the run like Ctrl-C does, with exit code 143; both say how to go on."""
    go_on = f"{store.shown()!r} is not there yet. What is committed stays: start the same command again to go on."
    if not store.keeps:
        go_on = f"{store.shown()} has the first rows only, and nothing is kept: start again from the beginning."

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
