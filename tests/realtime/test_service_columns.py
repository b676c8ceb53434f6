"""Columns in, columns out; calls that are cut; a model that runs out of memory, or holds the loop up."""

from __future__ import annotations

import asyncio
import time
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt
import pytest

import twofold
from tests.realtime.test_service import service_of
from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._profile import Profile
from twofold._realtime.pace import Pace
from twofold._realtime.service import Service
from twofold._runner import Result


class Row(TypedDict):
    number: int


sizes: list[int] = []


@twofold.model(row=Row, result=int, example={"number": 1})
def double(rows: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    numbers = rows["number"]
    sizes.append(len(numbers))
    if 13 in numbers:
        raise ValueError("thirteen")
    return numbers * 2


@twofold.model(row=Row, result=int, example={"number": 1})
def hungry(rows: dict[str, npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    numbers = rows["number"]
    sizes.append(len(numbers))
    if len(numbers) > 10:
        raise MemoryError
    return numbers


@twofold.model
def slow(number: int) -> int:
    time.sleep(0.006)
    return number


@twofold.model(concurrency=4)
async def holding(number: int) -> int:
    await asyncio.sleep(0)
    time.sleep(0.006)
    return number


@twofold.model(concurrency=4)
async def waiting(number: int) -> int:
    await asyncio.sleep(0.006)
    return number


@twofold.model(threads=4)
def computing_in_threads(number: int) -> int:
    until = time.thread_time() + 0.02  # whatever else the machine does
    while time.thread_time() < until:
        pass
    return number


@twofold.model(threads=4)
def waiting_in_threads(number: int) -> int:
    time.sleep(0.02)
    return number


def columns(service: Service, numbers: list[int]) -> Batch:
    return Batch.from_numpy(service.signature.input_schema, {"number": np.array(numbers, dtype=np.int64)})


async def asked(service: Service, numbers: list[int], **options: Any) -> Result:
    answer: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    service.submit_batch(columns(service, numbers), answer.set_result, **options)
    return await answer


async def asked_rows(service: Service, numbers: list[int]) -> list[Any]:
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    service.submit([(n,) for n in numbers], answer.set_result)
    return list(await answer)


@pytest.mark.parametrize("batch_rows", [1, 7, 1000])
def test_columns_stay_columns_and_failures_keep_their_places(batch_rows: int) -> None:
    async def main() -> None:
        service = service_of(double, batch_rows=batch_rows)
        numbers = list(range(40))
        result, rows, small = await asyncio.gather(
            asked(service, numbers), asked_rows(service, numbers), asked(service, [5])
        )
        assert set(result.failures) == {13}
        assert result.failures[13].code == "model_failed"
        assert result.outputs.rows() == [(2 * n,) for n in numbers if n != 13]
        assert [n for n, answer in enumerate(rows) if isinstance(answer, RowFailure)] == [13]
        assert [answer for answer in rows if not isinstance(answer, RowFailure)] == result.outputs.rows()
        assert small.outputs.rows() == [(10,)]

    asyncio.run(main())


def test_columns_that_come_too_late() -> None:
    async def main() -> None:
        service = service_of(double)
        result = await asked(service, [1, 2], deadline_s=-1.0)
        assert [failure.code for failure in result.failures.values()] == ["deadline_exceeded"] * 2
        assert result.outputs.n_rows == 0

    asyncio.run(main())


def test_inline_calls_are_cut_to_half_a_millisecond() -> None:
    profile = Profile()
    for _ in range(40):
        profile.learn(1, 0.0001)
        profile.learn(101, 0.0011)
    assert Pace(profile, 1024, inline=True).call_rows == 41
    assert Pace(profile, 30, inline=True).call_rows == 30
    for _ in range(200):
        profile.learn(1, 0.003)
    assert Pace(profile, 1024, inline=True).call_rows == 1


def test_a_call_out_of_memory_is_halved_and_that_is_remembered() -> None:
    async def main() -> None:
        service = service_of(hungry)
        for _ in range(8):
            service.profile.learn(64, 0.0001)
        assert (await asked(service, list(range(40)))).outputs.rows() == [(n,) for n in range(40)]
        assert service.profile.most_rows in range(5, 11)
        sizes.clear()
        assert (await asked(service, list(range(40)))).outputs.n_rows == 40
        assert max(sizes) <= 10

    asyncio.run(main())


@pytest.mark.parametrize(("target", "told"), [(slow, True), (holding, True), (waiting, False)])
def test_rows_that_hold_the_loop_are_told_of(target: Any, told: bool) -> None:
    async def main() -> None:
        service = service_of(target)
        seen: list[float] = []
        service.on_slow = seen.append
        for number in range(2):
            await asked_rows(service, [number])
        assert not seen
        for number in range(5):
            await asked_rows(service, [number])
        assert len(seen) == told
        assert all(seconds > 0.005 for seconds in seen)

    asyncio.run(main())


@pytest.mark.parametrize(("target", "told"), [(computing_in_threads, True), (waiting_in_threads, False)])
def test_threads_that_hold_the_loop_are_told_of(target: Any, told: bool) -> None:
    async def main() -> None:
        service = service_of(target)
        seen: list[float] = []
        service.on_slow = seen.append
        over = time.monotonic() + (20 if told else 0.5)

        async def ask() -> None:
            while not seen and time.monotonic() < over:
                await asked_rows(service, [1])

        await asyncio.gather(*[ask() for _ in range(8)])
        assert bool(seen) == told

    asyncio.run(main())
