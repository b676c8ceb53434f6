"""`python -m twofold._batch.worker`: loads the model, then computes the splits that the parent names.

parent                                 worker
{"model": …} (arguments)         --->  loads
                                 <---  {"ready": facts} or {"error": …}
{"probe": {work, split}}         --->  times a few rows
                                 <---  {"row_s": seconds or null}
{"work": …, "lanes": n}          --->  n lanes, each computing one split after the other
{"split": …}, {"split": …}       --->
                                 <---  {"calling": [split, row, end row]}
                                 <---  {"called": [split, rows, failed, reasons, first five errors]}
                                 <---  {"done": report}, or {"error": …}: then nothing more is computed
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from twofold._batch.light import import_pyarrow
from twofold._supervisor import Channel, Message, error_to_message, worker_channel

if TYPE_CHECKING:
    from twofold._batch.work import SplitTask, Work
    from twofold._model import Model

PROBE_ROWS = (1, 1, 16, 256, 2048)
PROBE_S = 0.05
PROBE_MOST_S = 1.0


def main() -> None:
    channel = worker_channel()
    try:
        import_pyarrow()
        model = _load(channel.args["model"])
        channel.send({"ready": _facts(model)})
        _serve(channel, model)
    except BaseException as error:
        channel.send({"error": error_to_message(error)})
        while True:  # the parent reads the message and ends this process
            channel.receive()


def _load(ref: Message) -> Model:
    from twofold._model import ModelRef, load

    return load(ModelRef.from_json(ref))


def _facts(model: Model) -> dict[str, Any]:
    return {
        "name": model.name,
        "version": model.version,
        "signature": model.signature.to_json(),
        "drops_gil": model.drops_gil,
        "by_row": model.form == "rows",
        "waits": model.is_async or bool(model.threads),
    }


def _serve(channel: Channel, model: Model) -> None:
    message = channel.receive()
    while "work" not in message:
        channel.send({"row_s": _probe(model, message["probe"])})
        message = channel.receive()
    from twofold._batch.work import Work

    lanes = _Lanes(channel, model, Work.from_json(message["work"]), message["lanes"])
    while True:
        lanes.take(channel.receive())


def _probe(model: Model, message: Message) -> float | None:
    """Seconds of one row, from the first rows of a split that fit; None where none does."""
    from twofold._batch.sources import read_split
    from twofold._batch.work import SplitTask, Work
    from twofold._runner import Runner

    work, task = Work.from_json(message["work"]), SplitTask.from_json(message["split"])
    pieces = read_split(task.file, work.input_schema, work.read_columns, sum(PROBE_ROWS))
    piece = next(pieces, None)
    if piece is None:
        return None
    batch = work.reading.read(piece).batch
    runner = Runner(model)
    together = max(model.concurrency or 1, model.threads or 1) if model.form == "rows" else 1
    row_s: float | None = None
    start = 0
    for n_rows in PROBE_ROWS:
        stop = min(start + n_rows, batch.n_rows)
        if stop == start or (row_s is not None and row_s * (stop - start) > PROBE_MOST_S):
            break
        began = time.perf_counter()
        runner.run(batch.slice(start, stop))
        took_s = time.perf_counter() - began
        if start:  # the very first call warms up
            row_s = took_s / max(stop - start, together)
            if took_s > PROBE_S:
                break
        start = stop
    return row_s


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
            lane.run(self._coming(), lambda report: self._channel.send({"done": report}))
        except BaseException as error:
            self._channel.send({"error": error_to_message(error)})

    def _coming(self) -> Iterator[SplitTask]:
        while True:
            yield self._tasks.get()

    def calling(self, index: int, first_row: int, end_row: int) -> None:
        self._channel.send({"calling": [index, first_row, end_row]})

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None:
        self._channel.send({"called": [index, n_rows, n_failed, reasons, first]})


if __name__ == "__main__":
    main()
