"""Streams computed in the server process: as a task of its event loop, or in a thread.

In model processes they run in `model_process`. Each is a `Running` (see `streams`).
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Executor
from contextlib import aclosing, closing
from typing import TYPE_CHECKING, Any

from twofold._errors import RowFailure
from twofold._realtime.streams import OnEnd, OnPiece, Running
from twofold._runner import Runner, StreamBroke, failure_of

if TYPE_CHECKING:
    from twofold._usage import Piece

__all__ = ["stream_as_task", "stream_in_thread"]

Row = tuple[Any, ...]

PIECES_ON_THE_WAY = 64  # from a thread to the loop
LOOK_S = 1.0  # how often a thread that waits for its reader looks whether there is still a loop


def stream_as_task(runner: Runner, row: Row, on_piece: OnPiece, on_end: OnEnd) -> Running:
    """A model that waits, as a task of the event loop."""
    return _Task(runner, row, on_piece, on_end)


def stream_in_thread(runner: Runner, row: Row, on_piece: OnPiece, on_end: OnEnd, pool: Executor) -> Running:
    """A model that blocks, in a thread of the pool, which has one for it. Cancelled, it ends at its next piece."""
    return _Thread(runner, row, on_piece, on_end, pool)


class _Task:
    def __init__(self, runner: Runner, row: Row, on_piece: OnPiece, on_end: OnEnd) -> None:
        self._on_end = on_end
        self._go = asyncio.Event()
        self._go.set()
        self._task = asyncio.get_running_loop().create_task(self._run(runner, row, on_piece))
        self._task.add_done_callback(self._ended)

    async def _run(self, runner: Runner, row: Row, on_piece: OnPiece) -> None:
        async with aclosing(runner.stream_async(row)) as pieces:
            async for piece in pieces:
                on_piece(piece)
                if not self._go.is_set():
                    await self._go.wait()

    def _ended(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._on_end(None if error is None else _failure(error))

    def cancel(self, *, hung: bool) -> None:  # noqa: ARG002
        self._task.cancel()

    def pause(self) -> None:
        self._go.clear()

    def resume(self) -> None:
        self._go.set()


class _Thread:
    def __init__(self, runner: Runner, row: Row, on_piece: OnPiece, on_end: OnEnd, pool: Executor) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_piece = on_piece
        self._room = threading.Semaphore(PIECES_ON_THE_WAY)
        self._go = threading.Event()
        self._go.set()
        self._cancelled = False
        ended = self._loop.run_in_executor(pool, self._run, runner, row)
        ended.add_done_callback(lambda done: on_end(done.result()))

    def _run(self, runner: Runner, row: Row) -> RowFailure | None:
        try:
            with closing(runner.stream(row)) as pieces:
                for piece in pieces:
                    if self._is_over():
                        break
                    self._loop.call_soon_threadsafe(self._take, piece)
        except BaseException as error:
            return _failure(error)
        return None

    def _is_over(self) -> bool:
        """Wait until the reader has room for a piece; True when nobody reads any more."""
        while not (self._go.wait(LOOK_S) and self._room.acquire(timeout=LOOK_S)):
            if self._loop.is_closed():
                return True
        return self._cancelled

    def _take(self, piece: Piece) -> None:
        self._room.release()
        self._on_piece(piece)

    def cancel(self, *, hung: bool) -> None:  # noqa: ARG002
        self._cancelled = True
        self._go.set()

    def pause(self) -> None:
        self._go.clear()

    def resume(self) -> None:
        self._go.set()


def _failure(error: BaseException) -> RowFailure:
    return error.failure if isinstance(error, StreamBroke) else failure_of(error)
