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
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

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
    """Nothing to do: something for the caller of a stream."""

    value: Any

    def now(self) -> None: ...

    async def later(self) -> None: ...


class _Driven(Generic[T]):
    """Steps on their way: `step` is the next one, None when there is the `result`."""

    __slots__ = ("_steps", "result", "step")

    step: Step | None
    result: T

    def __init__(self, steps: Steps[T]) -> None:
        self._steps = steps
        self._go_on(steps.send, None)

    def now(self, step: Step) -> None:
        try:
            done = step.now()
        except BaseException as error:
            self._go_on(self._steps.throw, error)
        else:
            self._go_on(self._steps.send, done)

    async def later(self, step: Step) -> None:
        try:
            done = await step.later()
        except BaseException as error:
            self._go_on(self._steps.throw, error)
        else:
            self._go_on(self._steps.send, done)

    def _go_on(self, how: Callable[[Any], Step], what: Any) -> None:
        try:
            self.step = how(what)
        except StopIteration as end:
            self.step, self.result = None, end.value


def run(steps: Steps[T]) -> T:
    """Do the steps in this thread."""
    driven = _Driven(steps)
    while (step := driven.step) is not None:
        driven.now(step)
    return driven.result


async def run_later(steps: Steps[T]) -> T:
    """Do the steps in the running event loop."""
    driven = _Driven(steps)
    while (step := driven.step) is not None:
        await driven.later(step)
    return driven.result


def stream(steps: Steps[None]) -> Iterator[Any]:
    """Do the steps in this thread; gives the pieces."""
    try:
        driven = _Driven(steps)
        while (step := driven.step) is not None:
            if isinstance(step, Piece):
                yield step.value
            driven.now(step)
    finally:
        steps.close()


async def stream_later(steps: Steps[None]) -> AsyncIterator[Any]:
    """Do the steps in the running event loop; gives the pieces."""
    try:
        driven = _Driven(steps)
        while (step := driven.step) is not None:
            if isinstance(step, Piece):
                yield step.value
            await driven.later(step)
    finally:
        steps.close()
