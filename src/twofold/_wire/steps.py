"""What a client does, as a generator of steps: each can be done now, by a thread, or later, by an event loop.

    def asking(...) -> Steps[Reply]:             written once
        link = yield Open(address, 10.0)
        yield Send(link, b"...", 5.0)

    reply = run(asking(...))                     in a thread
    reply = await run_later(asking(...))         in an event loop

A stream yields a `Piece` wherever there is one for the caller.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

__all__ = ["Piece", "Sleep", "Step", "Steps", "run", "run_later", "stream", "stream_later"]

T = TypeVar("T")


class Step(Protocol):
    def now(self) -> Any: ...

    async def later(self) -> Any: ...


Steps = Generator[Step, Any, T]


@dataclass(frozen=True, slots=True)
class Sleep:
    seconds: float

    def now(self) -> None:
        time.sleep(self.seconds)

    async def later(self) -> None:
        import asyncio

        await asyncio.sleep(self.seconds)


@dataclass(frozen=True, slots=True)
class Piece:
    """No step: something for the caller of a stream."""

    value: Any

    def now(self) -> None:
        raise AssertionError("a piece outside of a stream")

    async def later(self) -> None:
        raise AssertionError("a piece outside of a stream")


def run(steps: Steps[T]) -> T:
    """Do the steps in this thread."""
    try:
        step = next(steps)
        while True:
            try:
                done = step.now()
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(done)
    except StopIteration as end:
        result: T = end.value
        return result


async def run_later(steps: Steps[T]) -> T:
    """Do the steps in the running event loop."""
    try:
        step = next(steps)
        while True:
            try:
                done = await step.later()
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(done)
    except StopIteration as end:
        result: T = end.value
        return result


def stream(steps: Steps[None]) -> Iterator[Any]:
    """Do the steps in this thread; gives the pieces."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Piece):
                yield step.value
                step = next(steps)
                continue
            try:
                done = step.now()
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(done)
    except StopIteration:
        return
    finally:
        steps.close()


async def stream_later(steps: Steps[None]) -> AsyncIterator[Any]:
    """Do the steps in the running event loop; gives the pieces."""
    try:
        step = next(steps)
        while True:
            if isinstance(step, Piece):
                yield step.value
                step = next(steps)
                continue
            try:
                done = await step.later()
            except BaseException as error:
                step = steps.throw(error)
            else:
                step = steps.send(done)
    except StopIteration:
        return
    finally:
        steps.close()
