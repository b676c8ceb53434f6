"""`python -m twofold._batch.worker`: loads the model, then computes the splits that the parent names.

parent                                 worker
{"model": …} (arguments)         --->  loads
                                 <---  {"ready": facts} or {"error": …}
{"probe": {work, split, n_rows}} --->  times a few rows
                                 <---  {"measured": what they cost, or null}
{"work": …, "lanes": n}          --->  n lanes, each computing one split after the other
{"split": …}, {"split": …}       --->
                                 <---  {"calling": [split, [[row, end row], …], t(n)]}
                                 <---  {"called": [split, rows, failed, reasons, first five errors]}
                                 <---  {"done": report}, or {"error": …}: then nothing more is computed
"""

from __future__ import annotations

import gc
import queue
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from twofold._light import import_pyarrow
from twofold._reference import moved_artifacts
from twofold._supervisor import EARLY, Channel, Message, error_to_message, spare_collector, worker_channel

if TYPE_CHECKING:
    from twofold._batch.answer import Runs
    from twofold._batch.work import SplitTask, Work
    from twofold._model import Model


def main() -> None:
    if EARLY in sys.argv:
        with suppress(ImportError):  # what cannot be imported is told below
            import_pyarrow()
    channel = worker_channel()
    try:
        if channel.args.get("priority") == "idle":
            from twofold._batch.priority import be_idle

            be_idle()
        import_pyarrow()
        from twofold._batch.executors.base import facts_of

        if channel.args["moved"] is not None:
            moved_artifacts(*channel.args["moved"])
        model = _load(channel.args["model"])
        channel.send({"ready": facts_of(model)})
        _serve(channel, model)
    except BaseException as error:
        channel.send({"error": error_to_message(error)})
        while True:  # the parent reads the message and ends this process
            channel.receive()


def _load(ref: Message) -> Model:
    from twofold._model import ModelRef, load

    gc.freeze()  # so that the collector looks at what the model brings, not at all that was imported
    model = load(ModelRef.from_json(ref))
    spare_collector()
    return model


def _serve(channel: Channel, model: Model) -> None:
    from twofold._batch.probe import measure
    from twofold._batch.work import SplitTask, Work

    message = channel.receive()
    while "probe" in message:
        work, task = Work.from_json(message["probe"]["work"]), SplitTask.from_json(message["probe"]["split"])
        found = measure(model, work, task, message["probe"]["n_rows"])
        channel.send({"measured": None if found is None else asdict(found)})
        message = channel.receive()
    work = Work.from_json(message["work"])
    work.store.scratch.mkdir(parents=True, exist_ok=True)  # of a machine that has nothing else of the run
    lanes = _Lanes(channel, model, work, message["lanes"])
    while True:
        lanes.take(channel.receive())


class _Lanes:
    """The lanes of this process, fed from one queue."""

    def __init__(self, channel: Channel, model: Model, work: Work, n_lanes: int) -> None:
        self._channel = channel
        self._work = work
        self._tasks: queue.SimpleQueue[SplitTask] = queue.SimpleQueue()
        for number in range(n_lanes):
            threading.Thread(target=self._run, args=(model,), name=f"lane {number}", daemon=True).start()

    def take(self, message: Message) -> None:
        from twofold._batch.work import SplitTask

        self._tasks.put(SplitTask.from_json(message["split"]))

    def _run(self, model: Model) -> None:
        from twofold._batch.split import Lane
        from twofold._runner import Runner

        try:
            lane = Lane(self._work, Runner(model), self)
            lane.run(self._coming(), lambda report: self._channel.send({"done": report}), self._failed)
        except BaseException as error:
            self._failed(error)

    def _failed(self, error: BaseException) -> None:
        self._channel.send({"error": error_to_message(error)})

    def _coming(self) -> Iterator[SplitTask]:
        while True:
            yield self._tasks.get()

    def calling(self, index: int, rows: Runs, expected_s: float) -> None:
        self._channel.send({"calling": [index, rows, expected_s]})

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None:
        self._channel.send({"called": [index, n_rows, n_failed, reasons, first]})


if __name__ == "__main__":
    main()
