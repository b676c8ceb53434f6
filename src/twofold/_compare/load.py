"""A closed-loop HTTP load generator: N connections, each sending its next request as soon as its answer is complete.

It runs in a process of its own, so that it shares no interpreter with what it measures, and reports how busy it was:
a generator near 100 % of a core measured itself. Latency is counted from the write of a request to the last byte of
its answer. A closed loop slows down with the server, so its latencies at many connections say how the server queues
at full load, not what an open stream of arrivals would see.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from twofold._errors import RunStopped

__all__ = ["Answer", "LoadPlan", "LoadResult", "post", "run_load"]


class Answer(NamedTuple):
    """The status and the body of an answer; status 0: the connection ended before the answer did."""

    status: int
    body: bytes


class LoadPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What to send. Bodies are sent in order, again from the first after the last.

    The measured part ends when `min_seconds` are over and `min_requests` are answered, or after `max_seconds`.
    `stall_s` is how long one answer may take before its connection is given up, `connect_s` how long to try to connect.
    """

    host: str
    port: int
    path: str = "/predict"
    connections: int = 64
    min_seconds: float = 3.0
    min_requests: int = 0
    max_seconds: float = 120.0
    warmup_seconds: float = 0.0
    stall_s: float = 90.0
    connect_s: float = 10.0


class LoadResult(msgspec.Struct, kw_only=True):
    """What came back. `answers[i]` is the first measured answer to body i, or None where it was never asked.

    `statuses` counts all measured answers; `seconds` is the measured time; `requests_with_warmup` includes those
    before it; `generator_cpu_s` is the generator's own CPU time over `generator_wall_s`.
    """

    seconds: float
    statuses: dict[int, int]
    answers: list[Answer | None]
    latency_bytes: bytes
    requests_with_warmup: int
    generator_cpu_s: float
    generator_wall_s: float

    @property
    def requests(self) -> int:
        return sum(count for status, count in self.statuses.items() if status)

    @property
    def latencies_s(self) -> array[float]:
        """Seconds of each measured answer, in the order in which they came."""
        latencies = array("d")
        latencies.frombytes(self.latency_bytes)
        return latencies

    @property
    def generator_busy(self) -> float:
        """The generator's share of one core; above about 0.9 it was the bottleneck."""
        return self.generator_cpu_s / self.generator_wall_s if self.generator_wall_s else 0.0


def run_load(plan: LoadPlan, bodies: Sequence[bytes]) -> LoadResult:
    """Send `bodies` as the plan says, from a new process. Raises RunStopped when the server cannot be reached."""
    if not bodies:
        raise ValueError("a load needs at least one body")
    task = msgspec.msgpack.encode((plan, list(bodies)))
    process = subprocess.Popen(
        [sys.executable, "-m", "twofold._compare.load"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        output, complaint = process.communicate(task)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    if process.returncode:
        reason = complaint.decode(errors="replace").strip().rpartition("\n")[2]
        raise RunStopped(f"the load generator ended early: {reason}", returncode=process.returncode)
    return msgspec.msgpack.decode(output, type=LoadResult)


def post(plan: LoadPlan, body: bytes) -> bytes:
    """The bytes of a POST request with this JSON body."""
    head = (
        f"POST {plan.path} HTTP/1.1\r\n"
        f"Host: {plan.host}:{plan.port}\r\n"
        "Content-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


class _Connection(asyncio.Protocol):
    """One keep-alive connection with at most one request on its way."""

    __slots__ = ("_index", "_load", "_parser", "_parts", "_transport", "asked_at", "complete")

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._index = -1
        self._parts: list[bytes] = []
        self.asked_at = 0.0
        self.complete = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        import httptools

        self._transport: Any = transport
        self._parser = httptools.HttpResponseParser(self)
        self._load.opened(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self.complete = True
        self._load.answered(self._index, self._parser.get_status_code(), body, now - self.asked_at)
        if self._parser.should_keep_alive():
            self.ask()
        else:
            self._transport.close()

    def ask(self) -> None:
        """Send the next request; close when there is none."""
        index = self._load.take()
        if index < 0:
            self._transport.close()
            return
        self._index = index
        self.complete = False
        self.asked_at = time.perf_counter()
        self._transport.write(self._load.requests[index])

    def give_up(self) -> None:
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        if not self.complete:
            self._load.lost(self._index)
        self._load.closed(self)


class _Load:
    """The state of one run, in the generator's process."""

    def __init__(self, plan: LoadPlan, bodies: list[bytes]) -> None:
        self.plan = plan
        self.requests = [post(plan, body) for body in bodies]
        self._answers: list[Answer | None] = [None] * len(bodies)
        self._latencies: array[float] = array("d")
        self._statuses: dict[int, int] = {}
        self._next = 0
        self._asked_ever = 0
        self._measuring = False
        self._stopping = False
        self._began = self._ended = 0.0
        self._open: set[_Connection] = set()
        self._all_closed = asyncio.Event()
        self._lost = 0

    async def run(self) -> LoadResult:
        loop = asyncio.get_running_loop()
        cpu_began, wall_began = time.process_time(), time.perf_counter()
        for _ in range(self.plan.connections):
            await self._connect(loop)
        if self.plan.warmup_seconds <= 0:
            self._measure()
        else:
            loop.call_later(self.plan.warmup_seconds, self._measure)
        for connection in list(self._open):
            connection.ask()
        watch = asyncio.ensure_future(self._watch(loop))
        await self._all_closed.wait()
        watch.cancel()
        return LoadResult(
            seconds=max(self._ended - self._began, 1e-9),
            statuses=self._statuses,
            answers=self._answers,
            latency_bytes=self._latencies.tobytes(),
            requests_with_warmup=self._asked_ever,
            generator_cpu_s=time.process_time() - cpu_began,
            generator_wall_s=time.perf_counter() - wall_began,
        )

    def _measure(self) -> None:
        self._began = self._ended = time.perf_counter()
        self._next = 0
        self._measuring = True

    async def _connect(self, loop: asyncio.AbstractEventLoop) -> None:
        plan = self.plan
        deadline = time.perf_counter() + plan.connect_s
        while True:
            try:
                await loop.create_connection(lambda: _Connection(self), plan.host, plan.port)
                return
            except OSError as error:
                if time.perf_counter() > deadline:
                    raise SystemExit(f"cannot connect to {plan.host}:{plan.port}: {error}") from error
                await asyncio.sleep(0.05)

    async def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give up connections whose answer does not come, and open new ones for those that were lost."""
        while True:
            await asyncio.sleep(0.1)
            now = time.perf_counter()
            for connection in list(self._open):
                if not connection.complete and now - connection.asked_at > self.plan.stall_s:
                    connection.give_up()
            while self._lost and not self._stopping:
                self._lost -= 1
                before = set(self._open)
                await self._connect(loop)
                for connection in self._open - before:
                    connection.ask()
            if not self._open and (self._stopping or self._over(now)):
                self._all_closed.set()

    def _over(self, now: float) -> bool:
        plan, elapsed = self.plan, now - self._began
        enough = elapsed >= plan.min_seconds and len(self._latencies) >= plan.min_requests
        return self._measuring and (enough or elapsed >= plan.max_seconds)

    def take(self) -> int:
        """The index of the next body to send, or -1 when the run is over."""
        if self._stopping or self._over(time.perf_counter()):
            self._stopping = True
            return -1
        index = self._next
        self._next = index + 1 if index + 1 < len(self.requests) else 0
        self._asked_ever += 1
        return index

    def answered(self, index: int, status: int, body: bytes, latency_s: float) -> None:
        if not self._measuring:
            return
        self._ended = time.perf_counter()
        self._latencies.append(latency_s)
        self._statuses[status] = self._statuses.get(status, 0) + 1
        if self._answers[index] is None:
            self._answers[index] = Answer(status, body)

    def lost(self, index: int) -> None:
        if self._measuring:
            self._statuses[0] = self._statuses.get(0, 0) + 1
            if self._answers[index] is None:
                self._answers[index] = Answer(0, b"")

    def opened(self, connection: _Connection) -> None:
        self._open.add(connection)

    def closed(self, connection: _Connection) -> None:
        self._open.discard(connection)
        if self._stopping:
            if not self._open:
                self._all_closed.set()
        else:
            self._lost += 1


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _main() -> None:
    plan, bodies = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=tuple[LoadPlan, list[bytes]])
    with asyncio.Runner(loop_factory=_new_loop()) as runner:
        result = runner.run(_start(plan, bodies))
    with os.fdopen(os.dup(1), "wb") as output:
        output.write(msgspec.msgpack.encode(result))


async def _start(plan: LoadPlan, bodies: list[bytes]) -> LoadResult:
    return await _Load(plan, bodies).run()


if __name__ == "__main__":
    _main()
