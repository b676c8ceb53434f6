"""Requests at a rate: what is due is due, whatever the server and the generator do."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest

from tests.compare.servers import Served, answer, serving
from twofold._load.plan import LoadPlan, LoadResult, Progress
from twofold._load.run import run_load


async def echo(body: bytes, served: Served) -> bytes:
    return answer(body)


def at_rate(port: int, rate: float, seconds: float, **settings: object) -> LoadResult:
    plan = LoadPlan(host="127.0.0.1", port=port, rate=rate, min_seconds=seconds, **settings)  # type: ignore[arg-type]
    return run_load(plan, [b'{"number": 1}', b'{"number": 2}'])


def test_as_many_fall_due_as_the_rate_says() -> None:
    with serving(echo) as (port, served):
        result = at_rate(port, 400, 1.0, connections=100)
    assert 300 < result.offered < 500  # 5 standard deviations of a Poisson count
    assert result.statuses == {200: result.offered}
    assert result.offered == result.requests_with_warmup == len(served.bodies)
    assert len(result.answered_s) == result.offered
    assert result.seconds == pytest.approx(1.0)
    assert len(result.late_s) <= result.offered
    assert min(result.late_s) >= 0


def test_the_moments_are_those_of_the_seed() -> None:
    with serving(echo) as (port, _):
        counts = {at_rate(port, 300, 0.4, seed=5).offered for _ in range(2)}
    assert len(counts) == 1


def test_a_stall_is_charged_to_all_that_fell_due_in_it() -> None:
    """A generator that waits for its answers would see one slow request; here half of all requests are."""
    stalled: list[bool] = []

    async def stalls_once(body: bytes, served: Served) -> bytes:
        if len(served.bodies) > 50 and not stalled:
            stalled.append(True)
            time.sleep(0.5)  # the whole server
        return answer(body)

    with serving(stalls_once) as (port, _served):
        result = at_rate(port, 200, 1.0, connections=64)
    slow = [latency for latency in result.answered_s if latency > 0.05]
    assert len(slow) > 0.3 * result.offered
    assert max(result.answered_s) > 0.45
    assert result.statuses == {200: result.offered}


def test_busy_connections_do_not_slow_the_arrivals() -> None:
    """Two connections carry 40 requests/s; what is due beyond that waits here, and its latency counts from then."""

    async def slow(body: bytes, served: Served) -> bytes:
        await asyncio.sleep(0.05)
        return answer(body)

    with serving(slow) as (port, served):
        result = at_rate(port, 200, 0.5, connections=2, settle_s=0.3)
    assert served.most_at_once <= 2
    assert 60 < result.offered < 145
    assert result.achieved <= 24
    assert max(result.answered_s) > 0.3
    assert len(result.answered_s) + len(result.waited_s) == result.offered
    assert result.codes["not sent"] == len(result.waited_s) - result.codes.get("no answer", 0)
    assert max(result.waited_s) > 0.3


def test_connections_are_made_as_they_are_needed() -> None:
    async def slow(body: bytes, served: Served) -> bytes:
        await asyncio.sleep(0.4)
        return answer(body)

    with serving(slow) as (port, _served):
        result = at_rate(port, 500, 0.4, connections=300)
    assert result.statuses == {200: result.offered}
    assert result.most_connections > 100
    assert statistics.median(result.answered_s) < 0.8


def test_what_is_refused_is_counted_by_its_word() -> None:
    async def refuses(body: bytes, served: Served) -> bytes:
        return answer(b'{"code": "overloaded"}', "429 Too Many Requests", "Retry-After: 1")

    with serving(refuses) as (port, _):
        result = at_rate(port, 200, 0.3)
    assert result.codes == {"429 overloaded": result.offered}
    assert result.achieved == len(result.answered_s) == 0


def test_connections_that_the_server_ends_are_made_again() -> None:
    async def once(body: bytes, served: Served) -> bytes:
        return answer(body, "200 OK", "Connection: close")

    with serving(once) as (port, served):
        result = at_rate(port, 300, 0.5)
    assert result.statuses[200] > 0.9 * result.offered  # one may be sent on a connection that just ends
    assert served.connections > 100


def test_progress_is_told_with_the_warm_up_before() -> None:
    told: list[Progress] = []
    with serving(echo) as (port, _):
        plan = LoadPlan(host="127.0.0.1", port=port, rate=100, min_seconds=0.5, warmup_seconds=0.4)
        result = run_load(plan, [b"{}"], on_progress=told.append)
    assert told[0].seconds < 0 < told[-1].seconds
    assert told[-1].answered <= result.offered < result.requests_with_warmup


def test_headers_go_with_each_request() -> None:
    seen: list[bytes] = []

    async def main() -> None:
        async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            await reader.readexactly(2)
            writer.write(answer(b"{}"))
            await reader.read()
            writer.close()

        async with await asyncio.start_server(connection, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            plan = LoadPlan(
                host="127.0.0.1", port=port, connections=1, min_seconds=0.0, min_requests=1, headers=(("X-A", "b"),)
            )
            await asyncio.to_thread(run_load, plan, [b"{}"])

    asyncio.run(main())
    assert b"\r\nX-A: b\r\n" in seen[0]
