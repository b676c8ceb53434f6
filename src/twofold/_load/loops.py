"""The two kinds of load.

Closed: N connections, each sending its next request as soon as its answer is complete. It slows down with the server,
so its latencies at many connections say how the server queues at full load, not what a stream of arrivals would see.

Open: requests fall due at moments that do not depend on the answers, as those of many independent clients do. A
latency counts from that moment, also where the generator was late or no connection was free: a server that stalls
is charged with all that fell due meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import time
from abc import ABC, abstractmethod
from collections import deque

from twofold._load.connection import Connection, requests_of
from twofold._load.plan import LoadPlan, LoadResult, Progress
from twofold._load.record import Record
from twofold._load.timer import Timer

__all__ = ["ClosedLoop", "OpenLoop", "loop_of"]

WATCH_S = 0.1
INTERRUPTED_SETTLE_S = 0.5
OPEN_FIRST = 64  # an open loop has so many connections from the start
OPENING = 32  # and makes so many at once when it needs more
AGAIN_S = 1.0  # so long a closed loop waits for a connection that it makes again


def loop_of(plan: LoadPlan, bodies: list[bytes]) -> ClosedLoop | OpenLoop:
    return OpenLoop(plan, bodies) if plan.rate > 0 else ClosedLoop(plan, bodies)


class _Loop(ABC):
    """What both have: the connections, and the record of the run."""

    def __init__(self, plan: LoadPlan, bodies: list[bytes]) -> None:
        self.plan = plan
        self.requests = requests_of(plan, bodies)
        self._record = Record(len(bodies))
        self._open: set[Connection] = set()
        self._most = 0
        self._next = 0
        self._stopping = False
        self._interrupted = False
        self._done = asyncio.Event()
        self._unreachable_s = float("inf")  # since when no connection can be made, and none is open
        self._start_s = 0.0  # time.perf_counter() when the measured part begins
        self._tls = ssl.create_default_context(cafile=plan.ca or None) if plan.tls else None

    async def run(self) -> LoadResult:
        loop = self._loop = asyncio.get_running_loop()
        cpu_s, wall_s = time.process_time(), time.perf_counter()
        for _ in range(self._first_connections()):
            await self._connect(loop)
        self._start_s = time.perf_counter() + self.plan.warmup_seconds
        if self.plan.warmup_seconds <= 0:
            self._measure()
        else:
            loop.call_later(self.plan.warmup_seconds, self._measure)
        self._begin()
        watch = asyncio.ensure_future(self._watch(loop))
        waiting = asyncio.ensure_future(self._done.wait())
        await asyncio.wait((watch, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        watch.cancel()
        if not waiting.done() and watch.done() and not watch.cancelled():
            watch.result()
        self._end()
        return self._record.result(
            most_connections=self._most,
            interrupted=self._interrupted,
            gone_s=max(0.0, time.perf_counter() - self._unreachable_s),
            cpu_s=cpu_s,
            wall_s=wall_s,
        )

    def interrupt(self) -> None:
        """End soon, with what has been measured."""
        self._interrupted = True
        self._stop(time.perf_counter())

    def progress(self) -> Progress:
        return self._record.progress(time.perf_counter(), self._start_s)

    # What the two differ in

    @abstractmethod
    def _first_connections(self) -> int: ...

    @abstractmethod
    def _begin(self) -> None: ...

    @abstractmethod
    def _look(self, now_s: float) -> None:
        """Every tenth of a second."""

    @abstractmethod
    async def _mend(self, loop: asyncio.AbstractEventLoop) -> None:
        """Open anew what was lost."""

    @abstractmethod
    def _stop(self, now_s: float) -> None:
        """Send nothing that has not fallen due yet."""

    @abstractmethod
    def _end(self) -> None:
        """Nothing more comes."""

    @abstractmethod
    def free(self, connection: Connection) -> None: ...

    @abstractmethod
    def answered(self, connection: Connection, status: int, body: bytes) -> None: ...

    @abstractmethod
    def closed(self, connection: Connection, why: str) -> None: ...

    # What they share

    def _measure(self) -> None:
        self._record.begin(time.perf_counter())

    def _counts(self, since_s: float) -> bool:
        """Whether a request of this moment belongs to the measured part."""
        return self._record.measuring and since_s >= self._record.began_s

    def _lose(self, index: int, since_s: float, why: str, waited_s: float | None = None) -> None:
        if self._counts(since_s):
            self._record.lost(index, why, waited_s)

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        plan = self.plan
        deadline = time.perf_counter() + plan.connect_s
        while True:
            try:
                await self._try_to_connect(loop)
                return
            except OSError as error:
                if isinstance(error, ssl.SSLError) or time.perf_counter() > deadline:
                    raise SystemExit(f"cannot connect to {plan.host}:{plan.port}: {error}") from error
                await asyncio.sleep(0.05)

    async def _try_to_connect(self, loop: asyncio.AbstractEventLoop) -> None:
        plan, now_s = self.plan, time.perf_counter()
        try:
            await loop.create_connection(lambda: Connection(self), plan.host, plan.port, ssl=self._tls)
        except (OSError, asyncio.CancelledError):
            if not self._open:
                self._unreachable_s = min(self._unreachable_s, now_s)
            raise
        self._unreachable_s = float("inf")

    async def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up connections whose answer does not come."""
        while True:
            await asyncio.sleep(WATCH_S)
            now_s = time.perf_counter()
            for connection in list(self._open):
                waited_s = now_s - connection.since_s
                if connection.busy and waited_s > self.plan.stall_s:
                    self._lose(connection.index, connection.since_s, "no answer", waited_s)
                    connection.busy = False
                    connection.give_up("no answer")
            self._look(now_s)
            await self._mend(loop)

    def _take(self) -> int:
        """The index of the next body to send."""
        index = self._next
        self._next = index + 1 if index + 1 < len(self.requests) else 0
        self._record.asked_ever += 1
        return index

    def opened(self, connection: Connection) -> None:
        self._open.add(connection)
        self._most = max(self._most, len(self._open))


class ClosedLoop(_Loop):
    def __init__(self, plan: LoadPlan, bodies: list[bytes]) -> None:
        super().__init__(plan, bodies)
        self._lost = 0

    def _first_connections(self) -> int:
        return self.plan.connections

    def _begin(self) -> None:
        for connection in list(self._open):
            self.free(connection)

    def _measure(self) -> None:
        super()._measure()
        self._next = 0  # so that every body is asked in the measured part, if it is long enough

    def _over(self, now_s: float) -> bool:
        plan, elapsed = self.plan, now_s - self._record.began_s
        enough = elapsed >= plan.min_seconds and self._record.answered >= plan.min_requests
        return self._record.measuring and (enough or elapsed >= plan.max_seconds)

    def free(self, connection: Connection) -> None:
        now_s = time.perf_counter()
        if self._stopping or self._over(now_s):
            self._stopping = True
            connection.close()
            return
        self._record.offered += self._record.measuring
        connection.send(self._take(), now_s)

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        record, since_s = self._record, connection.since_s
        if self._counts(since_s):
            now_s = record.ended_s = time.perf_counter()
            record.answer(connection.index, status, body, now_s - since_s)
            record.achieved += status == 200

    def _stop(self, now_s: float) -> None:  # noqa: ARG002
        self._stopping = True
        self._loop.call_later(INTERRUPTED_SETTLE_S, self._done.set)

    def _end(self) -> None:
        now_s = time.perf_counter()
        waiting = [connection for connection in self._open if connection.busy]
        for connection in waiting:
            self._lose(connection.index, connection.since_s, "no answer", now_s - connection.since_s)
        if self._record.measuring and (waiting or self._lost):
            self._record.ended_s = now_s

    def closed(self, connection: Connection, why: str) -> None:
        self._open.discard(connection)
        if connection.busy:
            self._lose(connection.index, connection.since_s, why)
        if not self._stopping:
            self._lost += 1
        elif not self._open:
            self._done.set()

    def _look(self, now_s: float) -> None:
        if not self._open and (self._stopping or self._over(now_s)):
            self._done.set()

    async def _mend(self, loop: asyncio.AbstractEventLoop) -> None:
        """What cannot be made is a request lost, and tried again at the next look; no server for `connect_s` is the
        end of the run."""
        for _ in range(self._lost):
            if self._stopping:
                return
            before, now_s = set(self._open), time.perf_counter()
            try:
                async with asyncio.timeout(AGAIN_S):
                    await self._try_to_connect(loop)
            except OSError:  # TimeoutError is one
                self._record.offered += self._record.measuring
                self._lose(self._take(), now_s, "cannot connect")
                if now_s - self._unreachable_s > self.plan.connect_s:
                    self._done.set()
                return
            self._lost -= 1
            for connection in self._open - before:
                self.free(connection)


class OpenLoop(_Loop):
    def __init__(self, plan: LoadPlan, bodies: list[bytes]) -> None:
        super().__init__(plan, bodies)
        self._random = random.Random(plan.seed)
        self._idle: deque[Connection] = deque()  # the longest idle first, so that all of them are used
        self._due: deque[tuple[int, float]] = deque()  # for which no connection was free: body, when it fell due
        self._opening: set[asyncio.Task[None]] = set()
        self._next_s = float("inf")
        self._over_s = float("inf")

    def _first_connections(self) -> int:
        return min(self.plan.connections, OPEN_FIRST)

    def _begin(self) -> None:
        self._over_s = self._start_s + self.plan.min_seconds
        self._next_s = time.perf_counter() + self._random.expovariate(self.plan.rate)
        self._timer = Timer(self._loop, self._fall_due)
        self._timer.set(self._next_s)

    def _fall_due(self) -> None:
        """Send what has fallen due by now, and set the timer for what comes next."""
        if self._stopping:
            return
        now_s = time.perf_counter()
        record, between_s, rate, idle = self._record, self._random.expovariate, self.plan.rate, self._idle
        next_s = self._next_s
        while next_s <= now_s and next_s < self._over_s:
            measured = next_s >= self._start_s
            if measured and not record.measuring:
                record.begin(self._start_s)
            index = self._take()
            record.offered += measured
            if idle:
                if measured:
                    record.late_s.append(now_s - next_s)
                idle.popleft().send(index, next_s)
            else:
                self._due.append((index, next_s))
                self._grow()
            next_s += between_s(rate)
        self._next_s = next_s
        if next_s < self._over_s:
            self._timer.set(next_s)

    def _measure(self) -> None:
        """At its moment, whenever that is noticed."""
        if not self._record.measuring:
            self._record.begin(self._start_s)

    def free(self, connection: Connection) -> None:
        if self._due:
            connection.send(*self._due.popleft())
        else:
            self._idle.append(connection)
            if self._stopping:
                self._finish_if_quiet()

    def opened(self, connection: Connection) -> None:
        super().opened(connection)
        self.free(connection)

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        record, since_s = self._record, connection.since_s
        if self._counts(since_s):
            now_s = time.perf_counter()
            record.answer(connection.index, status, body, now_s - since_s)
            record.achieved += status == 200 and now_s <= self._over_s

    def closed(self, connection: Connection, why: str) -> None:
        self._open.discard(connection)
        if connection.busy:
            self._lose(connection.index, connection.since_s, why)
        elif connection in self._idle:
            self._idle.remove(connection)
        if self._due:
            self._grow()
        if self._stopping:
            self._finish_if_quiet()

    def _grow(self) -> None:
        """One more connection, if there is need and room."""
        n = len(self._opening)
        if n < min(len(self._due), OPENING) and len(self._open) + n < self.plan.connections:
            task = self._loop.create_task(self._open_one())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open_one(self) -> None:
        try:
            async with asyncio.timeout(self.plan.connect_s):
                await self._try_to_connect(self._loop)
        except OSError:  # TimeoutError is one
            if self._due:
                self._lose(*self._due.popleft(), "cannot connect")
            await asyncio.sleep(0.01)

    def _look(self, now_s: float) -> None:
        if not self._stopping and now_s >= self._over_s:
            self._stop(now_s)

    async def _mend(self, loop: asyncio.AbstractEventLoop) -> None:  # noqa: ARG002
        for _ in range(min(len(self._due), OPENING)):
            self._grow()
        if self._stopping:
            self._finish_if_quiet()

    def _stop(self, now_s: float) -> None:
        if self._stopping:
            return
        self._stopping = True
        self._over_s = min(self._over_s, now_s)
        settle_s = INTERRUPTED_SETTLE_S if self._interrupted else self.plan.settle_s
        self._loop.call_later(settle_s, self._done.set)
        self._finish_if_quiet()

    def _finish_if_quiet(self) -> None:
        if not self._due and len(self._idle) == len(self._open):
            self._done.set()

    def _end(self) -> None:
        self._timer.close()
        for task in self._opening:
            task.cancel()
        now_s = time.perf_counter()
        for index, since_s in self._due:
            self._lose(index, since_s, "not sent", now_s - since_s)
        for connection in self._open:
            if connection.busy:
                self._lose(connection.index, connection.since_s, "no answer", now_s - connection.since_s)
        if self._record.measuring:
            self._record.ended_s = max(self._record.began_s, min(self._over_s, now_s))
