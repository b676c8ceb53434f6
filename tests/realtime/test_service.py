"""The Service and the backends that run in its process."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import twofold
from tests.realtime import models
from twofold._errors import RowFailure
from twofold._realtime.backends import InlineBackend, WaitingBackend
from twofold._realtime.limits import Limits
from twofold._realtime.service import Service
from twofold._runner import Runner

release = threading.Event()
running: list[int] = []


@twofold.model(threads=2)
def held(number: int) -> int:
    running.append(number)
    release.wait(10)
    return number * 2


@twofold.model(concurrency=2)
async def stubborn(number: int) -> int:
    """Does not let itself be cancelled at once."""
    running.append(number)
    try:
        await asyncio.sleep(10)
    except asyncio.CancelledError:
        await asyncio.sleep(0.2)
    return number


def service_of(target: Any, **options: Any) -> Service:
    model = twofold.load(target)
    runner = Runner(model)
    backend = WaitingBackend(runner) if model.is_async or model.threads else InlineBackend(runner)
    return Service(model.signature, model.version, model.name, backend, limits=Limits(**options), example=model.example)


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    running.clear()
    asyncio.run(main())


async def asked(service: Service, *numbers: int, **options: Any) -> list[Any]:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    service.submit([(n,) for n in numbers], answer.set_result, **options)
    return list(await answer)


def test_rows_are_answered_in_order_and_each_on_its_own():
    async def main() -> None:
        service = service_of(models.parity)
        odd, bad, even, failed = await asked(service, 7, 13, 8, 66)
        assert (odd, even) == (("Odd",), ("Even",))
        assert isinstance(bad, RowFailure)
        assert (bad.code, bad.message) == ("bad_row", "thirteen brings bad luck")
        assert (failed.code, failed.kind) == ("model_failed", "ValueError")

    run(main)


def test_answers_come_in_the_form_that_the_caller_asks_for():
    async def main() -> None:
        service = service_of(models.parity)
        assert await asked(service, 7, answers=service.signature.encode_rows) == [b'{"prediction":"Odd"}']

    run(main)


def test_the_end_of_a_call_is_told_once():
    """`done` says so; `on_free` tells of a place that gets free without one, when a call that was given up ends."""

    async def main() -> None:
        service = service_of(models.many_at_once)
        backend = service._batcher._backend
        told: list[int] = []
        known = backend.on_free

        def on_free() -> None:
            told.append(backend.free)
            known()

        backend.on_free = on_free
        assert await asked(service, *[5] * 8) == [("done",)] * 8
        assert told == []
        (late,) = await asked(service, 500, deadline_s=0.05)
        assert late.code == "deadline_exceeded"
        await asyncio.sleep(0.05)
        assert told == [32]

    run(main)


def test_what_a_load_balancer_asks():
    service = service_of(models.parity)
    asked = [service.accepting]
    service.ready = False
    asked.append(service.accepting)
    service.ready = service.draining = True
    asked.append(service.accepting)
    assert asked == [True, False, False]


def test_a_callers_deadline_can_only_be_shorter():
    async def main() -> None:
        service = service_of(models.many_at_once, deadline_s=0.1)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        assert [f.code for f in await asked(service, 5000, deadline_s=60)] == ["deadline_exceeded"]
        assert 0.1 <= loop.time() - begun < 3
        service = service_of(models.many_at_once, deadline_s=60)
        assert [f.code for f in await asked(service, 5000, deadline_s=0.05)] == ["deadline_exceeded"]

    run(main)


def test_many_calls_of_an_async_model_wait_at_once():
    async def main() -> None:
        service = service_of(models.many_at_once)
        begun = asyncio.get_running_loop().time()
        assert await asked(service, *[300] * 32) == [("done",)] * 32
        assert asyncio.get_running_loop().time() - begun < 3

    run(main)


def test_a_thread_that_is_given_up_keeps_its_place_until_it_ends():
    async def main() -> None:
        service = service_of(held, deadline_s=0.3)
        release.clear()
        late = await asyncio.gather(*[asked(service, n) for n in range(3)])
        assert [f.code for (f,) in late] == ["deadline_exceeded"] * 3
        assert running == [0, 1], "a third call has started beside two that still run"
        release.set()
        assert await asked(service, 7, deadline_s=0.3) == [(14,)]
        assert running == [0, 1, 7]

    try:
        run(main)
    finally:
        release.set()


def test_an_async_call_that_is_given_up_is_cancelled_and_keeps_its_place_until_it_ends():
    async def main() -> None:
        service = service_of(stubborn, deadline_s=0.1)
        late = await asyncio.gather(*[asked(service, n) for n in range(2)])
        assert [f.code for (f,) in late] == ["deadline_exceeded"] * 2
        assert [f.code for f in await asked(service, 5)] == ["deadline_exceeded"]
        assert running == [0, 1]
        await asyncio.sleep(0.3)
        await asked(service, 6)
        assert running == [0, 1, 6]
        await asyncio.sleep(0.3)

    run(main)


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_batches_of_any_size_give_the_same_answers(batch_rows: int):
    async def main() -> None:
        service = service_of(models.parity, batch_rows=batch_rows)
        numbers = range(100, 160)
        together = await asked(service, *numbers)
        alone = await asyncio.gather(*[asked(service, n) for n in numbers])
        assert together == [one for (one,) in alone]

    run(main)
