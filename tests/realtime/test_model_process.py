"""ProcessBackend and answer_calls: the two sides of a call, with the Runner of a real model, on both event loops."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from twofold._columns import Batch
from twofold._model import Model, load
from twofold._realtime import model_process
from twofold._realtime.frames import hello_frame
from twofold._realtime.memory_kills import memory_kills
from twofold._realtime.model_process import ProcessBackend, answer_calls, warm_up_answers, warm_up_calls
from twofold._runner import Result, Runner

TOKEN = "a token of 32 characters or so"


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "half.py").write_text(
        "import twofold\n"
        "@twofold.model\n"
        "def half(n: int, name: str | None = None) -> float:\n"
        "    if n == 13: raise twofold.BadRow('unlucky')\n"
        "    return n / 2 if name is None else float(len(name))\n"
    )
    return load(tmp_path / "half.py")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request) -> Callable[[Awaitable[None]], None]:
    factory = None
    if request.param == "uvloop":
        factory = pytest.importorskip("uvloop").new_event_loop

    def run(work) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(work)

    return run


class Front:
    """A ProcessBackend that listens, and what it reported."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.counts: list[int] = []
        self.hung: list[int] = []
        self.changed = asyncio.Event()
        self.threads: list[threading.Thread] = []
        self.backend = ProcessBackend(
            model.signature.output_schema, TOKEN, on_count=self.count, on_hung=self.hung.append
        )

    def count(self, n: int) -> None:
        self.counts.append(n)
        self.changed.set()

    async def listen(self, path: Path | None) -> dict[str, Any]:
        return await self.backend.listen(str(path) if path else None)

    async def __aenter__(self) -> Front:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.backend.close()
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()

    async def wait_for_count(self, n: int) -> None:
        async with asyncio.timeout(10):
            while not self.counts or self.counts[-1] != n:
                self.changed.clear()
                await self.changed.wait()

    async def call(self, rows: list[tuple[Any, ...]], deadline_s: float = 10.0) -> Result:
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()
        batch = Batch.from_rows(self.model.signature.input_schema, rows)
        self.backend.start_call(batch, answer.set_result, loop.time() + deadline_s)
        return await answer

    def process(self, address: dict[str, Any]) -> None:
        """A model process, but for being a thread."""
        thread = threading.Thread(target=answer_calls, args=(Runner(self.model), address, lambda: None), daemon=True)
        thread.start()
        self.threads.append(thread)

    async def silent_peer(self, address: dict[str, Any]) -> socket.socket:
        """Joins as a model process, and then does nothing."""
        peer = socket.socket(socket.AF_UNIX)
        peer.connect(address["path"])
        peer.sendall(hello_frame(TOKEN, 4711))
        await self.wait_for_count(1)
        return peer


@pytest.mark.parametrize("where", ["unix", "tcp"])
def test_rows_are_answered_and_failures_told(run, model: Model, tmp_path: Path, where: str) -> None:
    async def work() -> None:
        async with Front(model) as front:
            warm_up_calls(model.signature.input_schema)
            warm_up_answers(model.signature.output_schema)
            address = await front.listen(tmp_path / "s" if where == "unix" else None)
            front.process(address)
            await front.wait_for_count(1)
            assert front.backend.free == 1
            for _ in range(3):
                result = await front.call([(7, None), (13, None), (0, "Zoë")])
                assert result.outputs.rows() == [(3.5,), (3.0,)]
                assert {at: (f.code, f.message) for at, f in result.failures.items()} == {1: ("bad_row", "unlucky")}
            many = [(n, None) for n in range(100, 50_000)]
            result = await front.call(many)  # far more than one read
            assert result.outputs.rows() == [(n / 2,) for n, _ in many]

    run(work())


def test_two_processes_take_two_calls(run, model: Model, tmp_path: Path) -> None:
    async def work() -> None:
        async with Front(model) as front:
            freed = []
            front.backend.on_free = lambda: freed.append(front.backend.free)
            address = await front.listen(tmp_path / "s")
            front.process(address)
            front.process(address)
            await front.wait_for_count(2)
            assert freed[-1] == 2
            calls = [asyncio.ensure_future(front.call([(n, None)])) for n in (2, 4)]
            await asyncio.sleep(0)
            assert front.backend.free == 0
            assert [(await call).outputs.rows() for call in calls] == [[(1.0,)], [(2.0,)]]
            assert front.backend.free == 2

    run(work())


@pytest.mark.parametrize("killed", [False, True], ids=["", "for want of memory"])
def test_a_process_that_ends_costs_its_call(
    run, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: bool
) -> None:
    counts = tmp_path / "memory.events"
    counts.write_text("oom 1\noom_kill 1\n")
    monkeypatch.setattr(model_process, "memory_kills", lambda: memory_kills((counts, tmp_path / "none")))

    async def work() -> None:
        async with Front(model) as front:
            peer = await front.silent_peer(await front.listen(tmp_path / "s"))
            call = asyncio.ensure_future(front.call([(1, None), (2, None)]))
            await asyncio.sleep(0.05)
            if killed:
                counts.write_text("oom 2\noom_kill 2\n")
            peer.close()
            result = await call
            assert result.exhausted_rows == (2 if killed else 0)
            assert result.outputs.rows() == []
            assert {at: f.code for at, f in result.failures.items()} == {0: "worker_lost", 1: "worker_lost"}
            assert front.backend.free == 0
            assert front.counts == [1, 0]
            assert front.hung == []

    run(work())


def test_a_process_that_hangs_is_reported_at_the_deadline(run, model: Model, tmp_path: Path) -> None:
    async def work() -> None:
        async with Front(model) as front:
            peer = await front.silent_peer(await front.listen(tmp_path / "s"))
            result = await front.call([(1, None)], deadline_s=0.1)
            assert {at: f.code for at, f in result.failures.items()} == {0: "deadline_exceeded"}
            assert front.hung == [4711]
            assert front.backend.free == 0
            peer.close()

    run(work())


def test_whoever_has_no_token_is_no_model_process(run, model: Model, tmp_path: Path) -> None:
    async def work() -> None:
        async with Front(model) as front:
            address = await front.listen(tmp_path / "s")
            for sent in (
                hello_frame("another token", os.getpid()),
                b"GET / HTTP/1.1\r\n\r\n",
                struct.pack("<QQ", 0, 2) + b"{}",
                struct.pack("<QQ", 0, 3) + b"\xff\xfe{",
            ):
                reader, writer = await asyncio.open_unix_connection(address["path"])
                writer.write(sent)
                try:
                    async with asyncio.timeout(10):
                        assert await reader.read() == b""
                except ConnectionResetError:
                    pass
                writer.close()
            assert front.counts == []

    run(work())


@pytest.mark.parametrize("answer", [struct.pack("<QQ", 5, 0) + b"hello", struct.pack("<QQ", 0, 1) + b"?"])
def test_a_process_that_answers_nonsense_is_let_go(run, model: Model, tmp_path: Path, answer: bytes) -> None:
    async def work() -> None:
        async with Front(model) as front:
            peer = await front.silent_peer(await front.listen(tmp_path / "s"))
            call = asyncio.ensure_future(front.call([(1, None)]))
            await asyncio.sleep(0.05)
            peer.sendall(answer)
            assert (await call).failures[0].code == "worker_lost"
            assert front.counts == [1, 0]
            peer.close()

    run(work())


def test_nobody_there(model: Model, tmp_path: Path) -> None:
    answer_calls(Runner(model), {"path": str(tmp_path / "nothing"), "token": TOKEN}, lambda: pytest.fail("joined"))
