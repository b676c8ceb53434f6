"""Where a call is computed: in this event loop (cheap models), or on it in tasks (models that wait).

Model processes stand behind the same `Backend` interface, in `model_process`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._runner import Result, Runner

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Backend", "InlineBackend", "WaitingBackend", "all_failed"]


class Backend(Protocol):
    """Computes calls. Everything happens in the event loop's thread.

    `free` is how many calls may start now; `call_rows` the most rows one call should hold (None: no limit of its
    own); `inline` says that `start_call` answers before it returns. `on_free` is set by the batcher: the backend
    calls it whenever `free` has risen for another reason than a finished call (a process joined).
    """

    inline: bool
    call_rows: int | None
    on_free: Callable[[], None]

    @property
    def free(self) -> int: ...

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        """Compute the batch; `done` is called once, with every row either answered or failed.

        `deadline` is a time of the loop's clock (seconds). A call that is not over by then is given up, its rows
        failing with `deadline_exceeded`. `free` has risen again when `done` is called.
        """
        ...


def _nobody() -> None:
    pass


def all_failed(n_rows: int, outputs: pa.Schema, failure: RowFailure) -> Result:
    """The result of a call that was lost as a whole."""
    return Result(Batch.from_rows(outputs, []), dict.fromkeys(range(n_rows), failure))


class InlineBackend:
    """Runs the model right in the event loop: for models whose call takes less than about half a millisecond."""

    inline = True
    call_rows: int | None = None
    free = 1

    def __init__(self, runner: Runner) -> None:
        self.on_free: Callable[[], None] = _nobody
        self._run = runner.run

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:  # noqa: ARG002
        done(self._run(batch))


class WaitingBackend:
    """Runs models that wait (`async def`, `threads=`) as tasks: many calls at once, none of them holding the loop.

    A model of one row gets one row a call, so that each row starts as soon as there is room for it.
    """

    inline = False

    def __init__(self, runner: Runner) -> None:
        model = runner.model
        self.on_free: Callable[[], None] = _nobody
        self.call_rows: int | None = 1 if model.form == "rows" else None
        self._limit = model.concurrency or model.threads or 1
        self._runner = runner
        self._running: set[asyncio.Task[Result]] = set()

    @property
    def free(self) -> int:
        return self._limit - len(self._running)

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        loop = asyncio.get_running_loop()
        task = loop.create_task(self._runner.run_async(batch))
        self._running.add(task)
        timer = loop.call_at(deadline, task.cancel)
        task.add_done_callback(partial(self._finish, batch, done, timer))

    def _finish(
        self, batch: Batch, done: Callable[[Result], None], timer: asyncio.TimerHandle, task: asyncio.Task[Result]
    ) -> None:
        timer.cancel()
        self._running.discard(task)
        if task.cancelled():
            failure = RowFailure("deadline_exceeded", "the model did not answer before the deadline")
        elif (error := task.exception()) is not None:
            failure = RowFailure("model_failed", str(error), type(error).__name__)
        else:
            done(task.result())
            return
        done(all_failed(batch.n_rows, self._runner.signature.output_schema, failure))
