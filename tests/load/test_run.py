"""The load generator, against servers that do what it must notice."""

from __future__ import annotations

import asyncio
import math
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.compare.servers import Served, answer, serving
from twofold._client.replies import Described
from twofold._errors import RunStopped
from twofold._load.bench import BenchOptions, _report
from twofold._load.loops import loop_of
from twofold._load.plan import Answer, LoadPlan, LoadResult
from twofold._load.run import run_load
from twofold._load.target import Rows, Target
from twofold._signature import Signature

TARGET = Target("http://127.0.0.1:1", Described("parity", "1", Signature((), ()), None), {})


async def echo(body: bytes, served: Served) -> bytes:
    return answer(body)


def bodies(count: int) -> list[bytes]:
    return [b'{"number": %d}' % n for n in range(count)]


def test_every_body_is_answered_and_kept_in_order() -> None:
    with serving(echo) as (port, served):
        plan = LoadPlan(host="127.0.0.1", port=port, connections=4, min_seconds=0.0, min_requests=100)
        result = run_load(plan, bodies(100))
    assert result.answers == [Answer(200, body) for body in bodies(100)]
    assert result.statuses == {200: result.requests}
    assert 100 <= result.requests <= 104
    assert len(result.latencies_s) == result.requests == result.requests_with_warmup == len(served.bodies)
    assert served.connections == 4


def test_one_connection_asks_one_at_a_time() -> None:
    async def slow(body: bytes, served: Served) -> bytes:
        await asyncio.sleep(0.01)
        return answer(body)

    with serving(slow) as (port, served):
        plan = LoadPlan(host="127.0.0.1", port=port, connections=1, min_seconds=0.0, min_requests=20)
        result = run_load(plan, bodies(3))
    assert served.most_at_once == 1
    assert served.bodies[:4] == [*bodies(3), bodies(1)[0]]
    assert min(result.latencies_s) >= 0.01
    assert result.seconds >= 0.2


def test_all_connections_are_busy_at_once() -> None:
    async def slow(body: bytes, served: Served) -> bytes:
        await asyncio.sleep(0.05)
        return answer(body)

    with serving(slow) as (port, served):
        run_load(LoadPlan(host="127.0.0.1", port=port, connections=16, min_seconds=0.2), bodies(1))
    assert served.most_at_once == 16


def test_runs_for_the_time_it_was_told_and_warms_up_before() -> None:
    with serving(echo) as (port, _):
        plan = LoadPlan(host="127.0.0.1", port=port, connections=2, min_seconds=0.3, warmup_seconds=0.2)
        result = run_load(plan, bodies(5))
    assert 0.3 <= result.seconds < 2.0
    assert result.requests_with_warmup > result.requests
    assert 0.0 < result.generator_busy <= 1.5


def test_ends_when_a_slow_server_will_not_get_through() -> None:
    async def slow(body: bytes, served: Served) -> bytes:
        await asyncio.sleep(0.1)
        return answer(body)

    with serving(slow) as (port, _):
        plan = LoadPlan(host="127.0.0.1", port=port, connections=1, min_requests=1000, max_seconds=0.35)
        result = run_load(plan, bodies(1000))
    assert result.requests == 4
    assert result.answers[3] is not None
    assert result.answers[4:] == [None] * 996


def test_refusals_are_counted_by_status() -> None:
    async def some(body: bytes, served: Served) -> bytes:
        return answer(b"no", "422 Unprocessable Content") if b"1" in body else answer(body)

    with serving(some) as (port, _):
        result = run_load(
            LoadPlan(host="127.0.0.1", port=port, connections=1, min_seconds=0.0, min_requests=2), bodies(2)
        )
    assert result.statuses == {200: 1, 422: 1}
    assert result.answers == [Answer(200, bodies(1)[0]), Answer(422, b"no")]


def test_lost_connections_are_counted_and_replaced() -> None:
    async def dropping(body: bytes, served: Served) -> bytes:
        return b"" if b"1" in body else answer(body)

    with serving(dropping) as (port, served):
        plan = LoadPlan(host="127.0.0.1", port=port, connections=1, min_seconds=0.0, min_requests=2)
        result = run_load(plan, bodies(3))
    assert result.answers == [Answer(200, bodies(1)[0]), Answer(0, b""), Answer(200, bodies(3)[2])]
    assert result.statuses[0] == 1
    assert result.requests == 2
    assert served.connections == 2


@pytest.mark.parametrize("rate", [0.0, 300.0])
def test_a_connection_that_is_cut_is_no_short_latency(rate: float) -> None:
    async def dropping(body: bytes, served: Served) -> bytes:
        return b""

    with serving(dropping) as (port, _):
        result = run_load(LoadPlan(host="127.0.0.1", port=port, connections=2, rate=rate, min_seconds=0.3), bodies(1))
    assert result.codes["connection lost"] > 2
    assert len(result.waited_s) <= result.codes.get("no answer", 0) + result.codes.get("not sent", 0)


def test_the_warm_up_is_not_counted() -> None:
    """Neither what is asked in it, nor what is asked in it and answered later."""

    async def slow(body: bytes, served: Served) -> bytes:
        await asyncio.sleep(0.15)
        return answer(body)

    with serving(slow) as (port, _):
        plan = LoadPlan(host="127.0.0.1", port=port, connections=8, min_seconds=0.5, warmup_seconds=0.2)
        result = run_load(plan, bodies(1))
    assert result.offered == result.requests == result.achieved
    assert result.requests_with_warmup > result.offered


@pytest.mark.parametrize("rate", [0.0, 100.0])
def test_an_end_in_the_warm_up_has_measured_nothing(rate: float) -> None:
    async def main(port: int) -> LoadResult:
        plan = LoadPlan(host="127.0.0.1", port=port, connections=4, rate=rate, warmup_seconds=0.8)
        load = loop_of(plan, bodies(1))
        asyncio.get_running_loop().call_later(0.2, load.interrupt)
        result = await load.run()
        for connection in list(load._open):
            connection.close()
        await asyncio.sleep(0.01)
        return result

    with serving(echo) as (port, _):
        result = asyncio.run(main(port))
    assert result.requests_with_warmup > 0
    assert (result.offered, result.achieved, result.requests, result.interrupted) == (0, 0, 0, True)
    assert result.seconds < 0.1
    text = str(_report(TARGET, Rows([], "rows"), LoadPlan(host="", port=1), BenchOptions(), result))
    assert text.splitlines()[-1] == (
        "10 s, stopped before anything was measured; 64 connections, each sends as soon as it has its answer; rows"
    )


def going_away(stack: ExitStack, after: int) -> int:
    """The port of a server that ends when so many have asked it."""

    async def echo_until(body: bytes, served: Served) -> bytes:
        if len(served.bodies) == after:
            threading.Thread(target=stack.close).start()
        return answer(body)

    return stack.enter_context(serving(echo_until))[0]


def test_a_server_that_goes_away_loses_nothing_of_what_was_measured() -> None:
    with ExitStack() as stack:
        plan = LoadPlan(host="127.0.0.1", port=going_away(stack, 50), connections=2, min_seconds=1.0)
        result = run_load(plan, bodies(1))
    assert result.seconds == pytest.approx(1.0, abs=0.3)
    assert result.statuses[200] > 10
    assert result.codes["cannot connect"] > 1
    assert result.offered == sum(result.statuses.values())


@pytest.mark.parametrize("rate", [0.0, 200.0])
def test_a_server_that_stays_away_ends_the_run_and_is_told_of(rate: float) -> None:
    with ExitStack() as stack:
        port = going_away(stack, 50)
        longest: dict[str, float] = {"min_seconds": 1.5} if rate else {"min_requests": 10**9, "max_seconds": math.inf}
        plan = LoadPlan(host="127.0.0.1", port=port, rate=rate, connect_s=0.3, **longest)  # type: ignore[arg-type]
        result = run_load(plan, bodies(1))
    assert result.statuses[200] > 10
    assert 0.2 < result.gone_s < 1.5
    report = _report(TARGET, Rows([], "rows"), plan, BenchOptions(rate=rate or None), result)
    assert "The server went away: for the last" in str(report)
    assert report.exit_code == 1


def test_a_file_of_the_user_is_not_taken_for_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "random.py").write_text("raise SystemExit('the random of the user')")
    monkeypatch.chdir(tmp_path)
    with serving(echo) as (port, _):
        result = run_load(LoadPlan(host="127.0.0.1", port=port, min_seconds=0.1), bodies(1))
    assert result.statuses[200]


def test_a_server_that_closes_after_each_answer() -> None:
    async def closing(body: bytes, served: Served) -> bytes:
        return answer(body, "200 OK", "Connection: close")

    with serving(closing) as (port, served):
        plan = LoadPlan(host="127.0.0.1", port=port, connections=1, min_seconds=0.0, min_requests=2)
        result = run_load(plan, bodies(2))
    assert result.statuses == {200: 2}
    assert served.connections >= 2


def test_an_answer_that_does_not_come_is_given_up() -> None:
    async def stuck(body: bytes, served: Served) -> bytes:
        await asyncio.sleep(60)
        return b""

    with serving(stuck) as (port, _):
        plan = LoadPlan(host="127.0.0.1", port=port, connections=1, min_requests=1, max_seconds=0.3, stall_s=0.2)
        result = run_load(plan, bodies(1))
    assert result.requests == 0
    assert result.answers == [Answer(0, b"")]


def test_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        plan = LoadPlan(host="127.0.0.1", port=taken.getsockname()[1], connect_s=0.2)
        with pytest.raises(RunStopped, match=r"cannot connect to 127\.0\.0\.1"):
            run_load(plan, bodies(1))


def test_a_load_needs_bodies() -> None:
    with pytest.raises(ValueError, match="at least one body"):
        run_load(LoadPlan(host="127.0.0.1", port=1), [])
