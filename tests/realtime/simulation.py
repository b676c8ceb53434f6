"""The real Batcher in a simulated world: the clock jumps to the next timer, and models only take time."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pytest

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._profile import Profile
from twofold._realtime.batcher import Batcher
from twofold._realtime.counters import Counters
from twofold._realtime.limits import Limits, Refused
from twofold._runner import Result

ROWS = pa.schema([pa.field("n", pa.int64(), nullable=False)])
Seconds = Callable[[int], float]


class _Jumping:
    """A selector that does not wait: the clock goes on by what it should have waited."""

    def __init__(self, selector: Any, loop: VirtualLoop) -> None:
        self._selector = selector
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        assert timeout is not None, "everything waits for something that never comes"
        self._loop.now += max(timeout, 0.0)
        return self._selector.select(0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._selector, name)


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0
        self._selector = _Jumping(self._selector, self)  # type: ignore[has-type]

    def time(self) -> float:
        return self.now


class SimulatedBackend:
    """Model processes whose calls take `seconds(n_rows)`."""

    inline = False
    call_rows: int | None = None
    longest_s = 0.0

    def __init__(self, places: int, seconds: Seconds) -> None:
        self.places = self.free = places
        self.seconds = seconds
        self.on_free: Callable[[], None] = lambda: None
        self.on_held: Callable[[int, float], None] = lambda _rows, _seconds: None
        self.sizes: list[int] = []
        self.busy_s = 0.0

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        self.free -= 1
        took_s = self.seconds(batch.n_rows)
        self.sizes.append(batch.n_rows)
        self.busy_s += took_s

        def end() -> None:
            self.free += 1
            done(Result(Batch.from_rows(ROWS, batch.rows())))

        asyncio.get_running_loop().call_later(took_s, end)


@dataclass
class Seen:
    """What became of the requests that came after the warm-up, in seconds."""

    answered_s: list[float] = field(default_factory=list)
    late: int = 0
    refused: int = 0
    most_rows_waiting: int = 0
    seconds: float = 0.0

    def percentile(self, share: float) -> float:
        found = sorted(self.answered_s)
        return found[min(len(found) - 1, int(share * len(found)))]


class World:
    """A Batcher in front of simulated model processes. `run` it with what happens in it."""

    def __init__(self, seconds: Seconds, *, places: int = 1, deadline_s: float = 30.0, batch_rows: int = 1024) -> None:
        self.backend = SimulatedBackend(places, seconds)
        self.profile = Profile()
        self.batcher = Batcher(
            self.backend,
            ROWS,
            ROWS,
            limits=Limits(deadline_s=deadline_s, batch_rows=batch_rows),
            profile=self.profile,
            counters=Counters(),
        )

    def ask(self, seen: Seen, *, rows: int = 1, deadline_s: float | None = None) -> asyncio.Future[bool]:
        """One request; the future tells whether it was answered."""
        loop = asyncio.get_running_loop()
        came, over = loop.time(), loop.create_future()

        def done(answers: Any) -> None:
            if any(isinstance(answer, RowFailure) for answer in answers):
                seen.late += 1
                over.set_result(False)
            else:
                seen.answered_s.append(loop.time() - came)
                over.set_result(True)

        try:
            self.batcher.submit([(at,) for at in range(rows)], Batch.rows, done, deadline_s=deadline_s)
        except Refused:
            seen.refused += 1
            over.set_result(False)
        seen.most_rows_waiting = max(seen.most_rows_waiting, self.batcher.rows_waiting)
        return over

    async def open_loop(self, rate: float, seconds: float, *, deadline_s: float | None = None, seed: int = 1) -> Seen:
        """Requests at random moments, whatever becomes of them."""
        chance, loop, seen = random.Random(seed), asyncio.get_running_loop(), Seen()
        began = due = loop.time()
        waiting = []
        while (due := due + chance.expovariate(rate)) < began + seconds:
            await asyncio.sleep(due - loop.time())
            waiting.append(self.ask(seen, deadline_s=deadline_s))
        seen.seconds = loop.time() - began
        await asyncio.gather(*waiting)
        return seen

    async def closed_loop(self, clients: int, seconds: float) -> Seen:
        """Clients that ask again as soon as they have their answer."""
        loop, seen = asyncio.get_running_loop(), Seen()
        began = loop.time()

        async def client() -> None:
            while loop.time() < began + seconds:
                await self.ask(seen)

        await asyncio.gather(*[client() for _ in range(clients)])
        seen.seconds = loop.time() - began
        return seen


def run(patch: pytest.MonkeyPatch, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Let it happen, by a clock that jumps."""
    loop = VirtualLoop()
    patch.setattr("twofold._realtime.batcher.time.monotonic", loop.time)
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main())
