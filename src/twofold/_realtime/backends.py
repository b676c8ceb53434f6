"""Where a call is computed: in this event loop (cheap models), or on it in tasks (models that wait).

Model processes stand behind the same `Backend` interface, in `model_process`.
"""

from __future__ import annotations

import asyncio
import time
import types
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Protocol

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._realtime.generators import stream_as_task, stream_in_thread
from twofold._realtime.streams import OnEnd, OnPiece, Running
from twofold._runner import Result, Runner

__all__ = ["Backend", "InlineBackend", "WaitingBackend"]

LATE = RowFailure("deadline_exceeded", "the model did not answer before the deadline")


class Backend(Protocol):
    """Computes calls. Everything happens in the event loop's thread.

    `free` is how many calls may start now, `places` how many may run at once; `call_rows` the most rows one call
    should hold (None: no limit of its own); `inline` says that `start_call` answers before it returns. The batcher
    sets the others: `longest_s`, after which a call counts as hung, and what the backend calls: `on_free` whenever
    `free` or `places` has changed for another reason than a call (a process joined), `on_held` with the rows of a
    call and the seconds it has held the event loop, where that is not all of the call.
    """

    inline: bool
    call_rows: int | None
    longest_s: float
    on_free: Callable[[], None]
    on_held: Callable[[int, float], None]

    @property
    def places(self) -> int: ...

    @property
    def free(self) -> int: ...

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        """Compute the batch; `done` is called once, with every row either answered or failed.

        `deadline`, a time of `time.monotonic`, is when nobody waits for the call any more. One that is not over by
        then may be given up, its rows failing with `deadline_exceeded`. `free` has risen again when `done` is called.
        """
        ...


def _nobody(*_: object) -> None:
    pass


class InlineBackend:
    """Runs the model right in the event loop: for models whose call takes less than about half a millisecond."""

    inline = True
    call_rows: int | None = None
    longest_s = 0.0
    free = places = 1

    def __init__(self, runner: Runner) -> None:
        self.on_free: Callable[[], None] = _nobody
        self.on_held: Callable[[int, float], None] = _nobody
        self._run = runner.run

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:  # noqa: ARG002
        done(self._run(batch))


class WaitingBackend:
    """Runs models that wait (`async def`, `threads=`): many calls at once, none of them holding the loop.

    A model of one row gets one row a call, so that each row starts as soon as there is room for it. A call that is
    given up at its deadline keeps its room until it has really ended.
    """

    inline = False
    longest_s = 0.0

    def __init__(self, runner: Runner) -> None:
        model = runner.model
        self.on_free: Callable[[], None] = _nobody
        self.on_held: Callable[[int, float], None] = _nobody
        self.call_rows: int | None = 1 if model.form == "rows" else None
        self.places = (model.concurrency if model.is_async else model.threads) or 1
        self._pool = None if model.is_async else ThreadPoolExecutor(self.places, thread_name_prefix="twofold-call")
        self._runner = runner
        self._running: set[asyncio.Future[Result]] = set()
        self._streaming = 0

    @property
    def free(self) -> int:
        return self.places - len(self._running) - self._streaming

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        loop = asyncio.get_running_loop()
        call: asyncio.Future[Result]
        spent = _Spent()
        if self._pool is None:
            call = loop.create_task(self._run(batch))
        else:
            call = loop.run_in_executor(self._pool, self._run_in_thread, batch, spent)
        self._running.add(call)
        answer_once = _Once(done)
        late = loop.call_later(deadline - time.monotonic(), self._give_up, call, batch.n_rows, answer_once)
        call.add_done_callback(partial(self._ended, batch.n_rows, answer_once, late, spent))

    def _run_in_thread(self, batch: Batch, spent: _Spent) -> Result:
        began = time.thread_time()
        result = self._runner.run(batch)
        spent.cpu_s, spent.over = time.thread_time() - began, time.monotonic()
        return result

    @types.coroutine
    def _run(self, batch: Batch) -> Generator[Any, Any, Result]:
        """`run_async`, driven by hand to see how long its steps hold the event loop."""
        steps = self._runner.run_async(batch)
        held_s, began = 0.0, time.perf_counter()
        step: Callable[[], Any] = partial(steps.send, None)
        try:
            while True:
                waits_for = step()
                held_s += time.perf_counter() - began
                try:
                    sent = yield waits_for
                    step = partial(steps.send, sent)
                except BaseException as error:  # a cancellation: it is the coroutine's to take
                    step = partial(steps.throw, error)
                began = time.perf_counter()
        except StopIteration as end:
            self.on_held(batch.n_rows, held_s + time.perf_counter() - began)
            result: Result = end.value
            return result
        finally:
            steps.close()

    def start_stream(self, batch: Batch, on_piece: OnPiece, on_end: OnEnd) -> Running:
        """See `Streaming`."""
        self._streaming += 1

        def end(failure: RowFailure | None) -> None:
            self._streaming -= 1
            on_end(failure)

        if self._pool is None:
            return stream_as_task(self._runner, batch.rows()[0], on_piece, end)
        return stream_in_thread(self._runner, batch.rows()[0], on_piece, end, self._pool)

    def _give_up(self, call: asyncio.Future[Result], n_rows: int, done: _Once) -> None:
        done(self._all_failed(n_rows, LATE))
        if isinstance(call, asyncio.Task):  # a thread cannot be stopped
            call.cancel()

    def _ended(
        self, n_rows: int, done: _Once, late: asyncio.TimerHandle, spent: _Spent, call: asyncio.Future[Result]
    ) -> None:
        self._running.discard(call)
        late.cancel()
        if spent.over:
            # Threads that compute in Python keep the loop from running. It is late for other reasons, too: a call that
            # has only waited has held nothing up.
            self.on_held(n_rows, min(spent.cpu_s, time.monotonic() - spent.over))
        if done.over:  # it was given up at its deadline: only now is its place free
            if not call.cancelled():
                call.exception()  # which nobody wants any more
            self.on_free()
        elif call.cancelled():
            done(self._all_failed(n_rows, LATE))
        elif (error := call.exception()) is not None:
            done(self._all_failed(n_rows, RowFailure("model_failed", str(error), type(error).__name__)))
        else:
            done(call.result())

    def _all_failed(self, n_rows: int, failure: RowFailure) -> Result:
        return Result(Batch.from_rows(self._runner.signature.output_schema, []), dict.fromkeys(range(n_rows), failure))


class _Spent:
    """Of a call in a thread: the CPU time it took, and when it was over (`time.monotonic`; 0.0: it is not)."""

    __slots__ = ("cpu_s", "over")

    def __init__(self) -> None:
        self.cpu_s = self.over = 0.0


class _Once:
    """Passes on the result of a call, and knows that it has: a call that was given up still comes to an end."""

    def __init__(self, done: Callable[[Result], None]) -> None:
        self.over = False
        self._done = done

    def __call__(self, result: Result) -> None:
        self.over = True
        self._done(result)
