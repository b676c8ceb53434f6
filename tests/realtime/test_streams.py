"""Answers in pieces behind the Service: in a model process, in a task, in a thread; bounded, in time, closed."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import twofold
from twofold._errors import RowFailure
from twofold._model import Model, load
from twofold._realtime.backends import WaitingBackend
from twofold._realtime.counters import FAILED_ROWS, IN_FLIGHT, MODEL_S, ROWS, TOTAL_S, Counters
from twofold._realtime.limits import Limits, Refused
from twofold._realtime.model_process import ProcessBackend, answer_calls
from twofold._realtime.service import Service
from twofold._realtime.streams import OnePiece, StreamTicket
from twofold._runner import Runner

TOKEN = "a token of 32 characters or so"
CLOSED: list[str] = []
HOLD = threading.Event()  # a model that was told to wait goes on when it is set


@twofold.model
def blocking(text: str) -> Iterator[str | twofold.Usage]:
    """ "a b" is two pieces; some words have a meaning."""
    made = 0
    try:
        for word in text.split():
            if word == "bad":
                raise twofold.BadRow("a bad word")
            if word == "hang":
                HOLD.wait(20)
            if word == "forever":
                while True:
                    time.sleep(0.002)
                    yield "again "
            if word == "flood":
                for _ in range(20_000):
                    made += 1
                    yield "x" * 1000
            yield f"{word} "
        yield twofold.Usage(1, 2, "length")
    finally:
        CLOSED.append(f"{text} {made}" if made else text)


@twofold.model(threads=2)
def in_threads(text: str) -> Iterator[str | twofold.Usage]:
    return blocking(text)


@twofold.model(concurrency=2)
async def waiting(text: str) -> AsyncIterator[str | twofold.Usage]:
    pieces = blocking(text)
    try:
        for word in text.split():
            if word == "hang":
                while not HOLD.is_set():
                    await asyncio.sleep(0.01)
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)
    finally:
        pieces.close()  # type: ignore[attr-defined]


MODELS = {"process": blocking, "thread": in_threads, "task": waiting}


class Reader:
    """Who asked for a stream."""

    def __init__(self, service: Service, text: str, deadline_s: float | None = None) -> None:
        self.pieces: list[Any] = []
        self.times: list[float] = []
        self.ended: asyncio.Future[RowFailure | None] = asyncio.get_running_loop().create_future()
        self.came = asyncio.Event()
        self.ticket: StreamTicket | OnePiece = service.stream(
            (text,), self.take, self.ended.set_result, deadline_s=deadline_s
        )

    def take(self, piece: Any) -> None:
        self.pieces.append(piece)
        self.times.append(time.monotonic())
        self.came.set()

    async def end(self) -> RowFailure | None:
        async with asyncio.timeout(20):
            return await self.ended

    async def first(self) -> None:
        async with asyncio.timeout(20):
            await self.came.wait()


class Streamed:
    """A service that streams, on a backend of one kind."""

    def __init__(self, kind: str, run: Callable[[Awaitable[None]], None], folder: Path) -> None:
        self.kind = kind
        self.model: Model = load(MODELS[kind])
        self.killed: list[int] = []
        self._run = run
        self._counters: Counters | None = None
        self._folder = folder

    def run(
        self,
        work: Callable[[Service], Awaitable[None]],
        *,
        places: int = 2,
        counters: Counters | None = None,
        **limits: Any,
    ) -> None:
        self._counters = counters

        async def main() -> None:
            async with self._service(places, Limits(**limits)) as service:
                await work(service)

        self._run(main())

    @asynccontextmanager
    async def _service(self, places: int, limits: Limits) -> AsyncIterator[Service]:
        if self.kind != "process":
            yield self._of(WaitingBackend(Runner(self.model)), limits)
            return
        joined = asyncio.Event()
        backend = ProcessBackend(
            self.model.signature.output_schema,
            TOKEN,
            on_count=lambda count: joined.set() if count == places else None,
            on_hung=self.killed.append,
        )
        address = await backend.listen(str(self._folder / "s"))
        threads = [
            threading.Thread(target=answer_calls, args=(Runner(self.model), address, lambda: None), daemon=True)
            for _ in range(places)
        ]
        for thread in threads:  # model processes, but for being threads
            thread.start()
        async with asyncio.timeout(10):
            await joined.wait()
        try:
            yield self._of(backend, limits)
        finally:
            HOLD.set()
            await backend.close()
            for thread in threads:
                thread.join(10)
                assert not thread.is_alive()

    def _of(self, backend: Any, limits: Limits) -> Service:
        return Service(
            self.model.signature, "0" * 12, "streamed", backend, limits=limits, streams=True, counters=self._counters
        )


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request) -> Callable[[Awaitable[None]], None]:
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def run(work) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(work)

    return run


@pytest.fixture(params=list(MODELS))
def streamed(request, run, tmp_path) -> Streamed:
    CLOSED.clear()
    HOLD.clear()
    return Streamed(request.param, run, tmp_path)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not true():
            await asyncio.sleep(0.002)


async def closed(count: int) -> None:
    await until(lambda: len(CLOSED) == count)


def test_pieces_come_in_order_and_the_end_last(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        readers = [Reader(service, f"{n} zwölf b") for n in range(8)]
        for n, reader in enumerate(readers):
            assert await reader.end() is None
            assert reader.pieces == [f"{n} ", "zwölf ", "b ", twofold.Usage(1, 2, "length")]
        answers: list[Any] = []
        service.submit([("a b",)], answers.extend)  # the places are free for calls again
        await until(lambda: answers)
        assert answers == [("a b ",)]

    streamed.run(work)


def test_what_breaks_off_says_why(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        for _ in range(3):
            reader = Reader(service, "a bad b")
            failure = await reader.end()
            assert reader.pieces == ["a "]
            assert failure is not None
            assert (failure.code, failure.message) == ("bad_row", "a bad word")

    streamed.run(work)


def test_a_stream_that_is_cancelled_is_closed_and_its_place_free(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        for turn in range(4):
            reader = Reader(service, "forever")
            await reader.first()
            reader.ticket.cancel()
            seen = len(reader.pieces)
            await closed(turn + 1)
            assert len(reader.pieces) == seen
            assert not reader.ended.done()
        assert await Reader(service, "a").end() is None

    streamed.run(work)


def test_streams_wait_for_a_place_in_order(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        running = [Reader(service, "forever") for _ in range(2)]
        for reader in running:
            await reader.first()
        third, fourth = Reader(service, "third"), Reader(service, "fourth")
        await asyncio.sleep(0.05)
        assert third.ticket.waiting
        fourth.ticket.cancel()
        running[0].ticket.cancel()
        assert await third.end() is None
        running[1].ticket.cancel()
        await closed(3)
        assert not fourth.pieces

    streamed.run(work)


def test_calls_and_streams_share_the_places(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        running = [Reader(service, "forever") for _ in range(2)]
        for reader in running:
            await reader.first()
        answers: list[Any] = []
        service.submit([("a",)], answers.extend)
        late = Reader(service, "b")
        await asyncio.sleep(0.02)
        assert not answers
        running[0].ticket.cancel()
        await until(lambda: answers)
        assert await late.end() is None
        running[1].ticket.cancel()

    streamed.run(work)


def test_too_many_streams_are_refused(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        running = [Reader(service, "forever") for _ in range(3)]
        with pytest.raises(Refused, match="--max-streams") as caught:
            Reader(service, "a")
        assert caught.value.reason == "streams"
        for reader in running[:2]:
            await reader.first()
        running.reverse()  # else the one that waits begins
        for reader in running:
            reader.ticket.cancel()
        await closed(2)
        assert await Reader(service, "a").end() is None

    streamed.run(work, max_streams=3)


def test_a_stream_that_would_begin_too_late_is_refused(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        slow = Reader(service, "forever")
        await asyncio.sleep(0.3)
        slow.ticket.cancel()
        streams: Any = service._batcher.streams
        await until(lambda: not streams.open)
        running = [Reader(service, "forever") for _ in range(2)]
        for reader in running:
            await reader.first()
        with pytest.raises(Refused, match="longer than the deadline") as caught:
            Reader(service, "a", deadline_s=0.1)
        assert caught.value.reason == "deadline"
        for reader in running:
            reader.ticket.cancel()

    streamed.run(work)


def test_the_deadline_is_of_the_first_piece_and_of_each_that_follows(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        failure = await Reader(service, "hang", deadline_s=0.2).end()
        assert failure is not None
        assert failure.code == "deadline_exceeded"
        assert "first piece" in failure.message
        HOLD.set()
        longer = Reader(service, "forever", deadline_s=0.2)  # more pieces than 0.2 s hold
        await until(lambda: len(longer.times) > 1 and longer.times[-1] - longer.times[0] > 0.5)
        longer.ticket.cancel()
        HOLD.clear()
        if streamed.kind != "task":
            stuck = Reader(service, "a hang", deadline_s=0.2)
            failure = await stuck.end()
            assert stuck.pieces == ["a "]
            assert failure is not None
            assert "next piece" in failure.message

    streamed.run(work, places=3, deadline_s=0.2)
    if streamed.kind == "process":
        assert len(streamed.killed) == 2


def test_who_is_in_a_hurry_has_no_process_killed(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        late = Reader(service, "hang forever", deadline_s=0.05)
        failure = await late.end()
        assert failure is not None
        assert failure.code == "deadline_exceeded"
        gone = Reader(service, "hang forever", deadline_s=0.05)
        await asyncio.sleep(0.01)
        gone.ticket.cancel()
        await asyncio.sleep(0.1)
        HOLD.set()
        if streamed.kind != "task":  # where that was not begun
            await closed(2)
        streams: Any = service._batcher.streams
        await until(lambda: not streams.open)
        assert await Reader(service, "a").end() is None

    streamed.run(work)
    assert not streamed.killed


def test_a_slow_reader_slows_the_model_down(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        reader = Reader(service, "flood", deadline_s=0.3)
        await reader.first()
        reader.ticket.pause()
        await asyncio.sleep(0.5)  # longer than the deadline: that stands still
        assert not reader.ended.done()
        seen = len(reader.pieces)
        await asyncio.sleep(0.1)
        assert len(reader.pieces) == seen < 20_000
        reader.ticket.resume()
        assert await reader.end() is None
        assert len(reader.pieces) == 20_002
        again = Reader(service, "flood")
        await again.first()
        again.ticket.pause()
        await asyncio.sleep(0.1)
        again.ticket.cancel()
        await closed(2)
        assert CLOSED[1] != "flood 20000"

    streamed.run(work)


def test_a_model_process_that_ends_breaks_its_stream_off(run, tmp_path: Path) -> None:
    streamed = Streamed("process", run, tmp_path)

    async def work(service: Service) -> None:
        reader = Reader(service, "forever")
        await reader.first()
        backend: Any = service._batcher._backend
        for process in list(backend._connected):
            process.close()
        failure = await reader.end()
        assert failure is not None
        assert failure.code == "worker_lost"

    streamed.run(work, places=1)


def test_streams_are_counted(streamed: Streamed) -> None:
    counters = Counters()

    async def work(service: Service) -> None:
        await Reader(service, "a").end()
        await Reader(service, "bad").end()
        left = Reader(service, "forever")
        await left.first()
        with pytest.raises(Refused):
            Reader(service, "a")
        assert counters.cells[IN_FLIGHT] == 1
        left.ticket.cancel()
        await closed(3)
        await until(lambda: counters.cells[ROWS] == 3)

    streamed.run(work, counters=counters, max_streams=1)
    shown = {name: counters.cells[at] for name, at in (("flying", IN_FLIGHT), ("failed", FAILED_ROWS))}
    assert shown == {"flying": 0, "failed": 1}
    assert sum(counters.cells[TOTAL_S.first : TOTAL_S.sum]) == 3
    assert sum(counters.cells[MODEL_S.first : MODEL_S.sum]) == 3


def test_a_reader_that_fails_harms_nobody(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        reported: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context["message"]))
        ended = asyncio.Event()

        def fail(_: object) -> None:
            raise ValueError("not this one")

        service.stream(("a",), fail, lambda _: ended.set())
        await ended.wait()
        assert reported == ["a piece could not be delivered"] * 2
        assert await Reader(service, "a").end() is None

    streamed.run(work)


def test_a_stream_that_cannot_be_started_fails_and_frees_its_place(streamed: Streamed) -> None:
    async def work(service: Service) -> None:
        backend: Any = service._batcher.streams._backend  # type: ignore[union-attr]
        start = backend.start_stream

        def refuse(*_: object) -> None:
            raise OSError("no more descriptors")

        backend.start_stream = refuse
        failure = await Reader(service, "a", deadline_s=5).end()
        assert failure is not None
        assert "no more descriptors" in failure.message
        backend.start_stream = start
        reader = Reader(service, "a")
        assert await reader.end() is None
        assert service._batcher.streams.open == 0  # type: ignore[union-attr]

    streamed.run(work, places=1, max_streams=1)
