"""Runner: what comes back is checked, and a failing row stands alone, whatever the model's form."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import twofold
from twofold._columns import Batch
from twofold._errors import BadRow
from twofold._model import Model, load
from twofold._runner import Result, Runner

HERE = "test_runner.py"


class Row(TypedDict):
    x: int


class Answer(TypedDict):
    y: int


def ask(model: Model, values: list[Any]) -> Result:
    return Runner(model).run(Batch.from_rows(model.signature.input_schema, [(v,) for v in values]))


def fails(x: int) -> None:
    """What a model on rows does with a few special values."""
    if x == 13:
        raise BadRow("thirteen is not served")
    if x == 14:
        raise ValueError("fourteen\nbroke  it")
    if x == 15:
        sys.exit(3)
    if x == 16:
        raise AssertionError


@twofold.model
def by_row(x: int) -> int:
    fails(x)
    return "text" if x == 17 else 2 * x  # type: ignore[return-value]


@twofold.model
async def waiting(x: int) -> int:
    await asyncio.sleep(0.001)
    fails(x)
    if x == 18:
        raise asyncio.CancelledError
    return "text" if x == 17 else 2 * x  # type: ignore[return-value]


@twofold.model(threads=4)
def blocking(x: int) -> int:
    time.sleep(0.001)
    return by_row(x)


@twofold.model(row=Row, result=int)
def by_columns(columns: dict[str, np.ndarray]) -> np.ndarray:
    for x in columns["x"]:
        fails(x)
    answer = columns["x"] * 2
    return answer.astype(object) if 17 not in columns["x"] else np.where(columns["x"] == 17, "text", answer.astype(str))


@twofold.model(row=Row, result=int)
async def waiting_columns(columns: dict[str, np.ndarray]) -> np.ndarray:
    await asyncio.sleep(0)
    return by_columns(columns)


@twofold.model(row=Row, result=int)
def by_frame(frame: pd.DataFrame) -> pd.Series:
    for x in frame["x"]:
        fails(int(x))
    return frame[frame["x"] != 17]["x"] * 2


MODELS = {m.__name__: m for m in (by_row, waiting, blocking, by_columns, waiting_columns, by_frame)}


@pytest.mark.parametrize("name", MODELS)
def test_failing_rows_stand_alone(name: str) -> None:
    result = ask(load(MODELS[name]), [1, 13, 2, 14, 15, 3, 16, 17, 4])
    assert result.outputs.rows() == [(2,), (4,), (6,), (8,)]
    assert list(result.failures) == [1, 3, 4, 6, 7]
    told = {at: (f.code, f.kind) for at, f in result.failures.items()}
    assert told == {
        1: ("bad_row", "BadRow"),
        3: ("model_failed", "ValueError"),
        4: ("model_failed", "SystemExit"),
        6: ("model_failed", "AssertionError"),
        7: ("model_failed", "WrongResult"),
    }
    assert result.failures[1].message == "thirteen is not served"
    line = fails.__code__.co_firstlineno + 5
    assert result.failures[3].message == f"ValueError: fourteen broke it ({HERE}:{line})"
    assert result.failures[6].message.startswith(f"AssertionError ({HERE}:")
    assert "in fails" in result.failures[3].traceback
    assert result.failures[7].traceback == ""  # only the first few: making the text takes longer than most models


@pytest.mark.parametrize("name", MODELS)
def test_no_rows(name: str) -> None:
    result = ask(load(MODELS[name]), [])
    assert result.outputs.n_rows == 0
    assert result.outputs.names == ("prediction",)
    assert result.failures == {}


@pytest.mark.parametrize("name", MODELS)
def test_every_row_fails(name: str) -> None:
    result = ask(load(MODELS[name]), [14] * 5)
    assert result.outputs.arrow().num_rows == 0
    assert {f.kind for f in result.failures.values()} == {"ValueError"}
    assert list(result.failures) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("name", MODELS)
def test_on_the_callers_loop(name: str) -> None:
    model = load(MODELS[name])

    async def main() -> Result:
        batch = Batch.from_rows(model.signature.input_schema, [(1,), (13,), (2,)])
        return await Runner(model).run_async(batch)

    result = asyncio.run(main())
    assert result.outputs.rows() == [(2,), (4,)]
    assert list(result.failures) == [1]


@settings(deadline=None)
@given(st.lists(st.sampled_from([1, 2, 13, 14]), max_size=40))
def test_bisection_finds_what_one_call_a_row_finds(values: list[int]) -> None:
    rows, columns = ask(load(by_row), values), ask(load(by_columns), values)
    assert rows.outputs.rows() == columns.outputs.rows()
    assert {at: f.code for at, f in rows.failures.items()} == {at: f.code for at, f in columns.failures.items()}


def test_one_bad_row_costs_few_calls() -> None:
    calls: list[int] = []

    @twofold.model(row=Row, result=int)
    def counting(columns: dict[str, np.ndarray]) -> np.ndarray:
        calls.append(len(columns["x"]))
        return by_columns(columns)

    result = ask(load(counting), [*range(20, 500), 14, *range(500, 1043)])
    assert len(result.failures) == 1
    assert result.outputs.n_rows == 1023
    assert len(calls) == 1 + 2 * 10


@pytest.mark.parametrize(
    "answer",
    [lambda x: x[1:], lambda x: np.append(x, 1), lambda x: 7, lambda x: None, lambda x: x.reshape(1, -1)],
    ids=["too few", "too many", "one for all", "nothing", "wrong shape"],
)
def test_a_wrong_number_of_answers(answer: Callable[[Any], Any]) -> None:
    @twofold.model(row=Row, result=int)
    def wrong(columns: dict[str, np.ndarray]) -> np.ndarray:
        return answer(columns["x"])  # type: ignore[no-any-return]

    result = ask(load(wrong), [1, 2, 3, 4])
    assert result.outputs.n_rows + len(result.failures) == 4
    assert {f.code for f in result.failures.values()} <= {"model_failed"}
    assert {f.kind for f in result.failures.values()} <= {"WrongResult"}


def test_a_struct_answers_several_columns() -> None:
    @twofold.model
    def several(x: int) -> Answer:
        return {"y": x + 1} if x else {"z": 1}  # type: ignore[typeddict-item]

    result = ask(load(several), [1, 0])
    assert result.outputs.names == ("y",)
    assert result.outputs.rows() == [(2,)]
    assert result.failures[1].kind == "WrongResult"


class Limits:
    def __init__(self) -> None:
        self.now = self.most = 0
        self.lock = threading.Lock()

    def enter(self) -> None:
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)

    def leave(self) -> None:
        with self.lock:
            self.now -= 1


def test_many_waiting_calls_at_once_but_no_more_than_concurrency() -> None:
    seen = Limits()

    @twofold.model(concurrency=5)
    async def slow(x: int) -> int:
        seen.enter()
        await asyncio.sleep(0.01)
        seen.leave()
        return x

    model = load(slow)
    runner, schema = Runner(model), model.signature.input_schema
    assert runner.run(Batch.from_rows(schema, [(i,) for i in range(20)])).outputs.rows() == [(i,) for i in range(20)]
    assert seen.most == 5

    async def several_batches() -> list[Result]:
        batches = [Batch.from_rows(schema, [(i,)] * n) for i, n in enumerate((1, 8, 1, 8, 1))]
        return await asyncio.gather(*(runner.run_async(batch) for batch in batches))

    seen.most = 0
    results = asyncio.run(several_batches())
    assert [r.outputs.n_rows for r in results] == [1, 8, 1, 8, 1]
    assert seen.most == 5


def test_threads_run_blocking_calls_at_once() -> None:
    together = threading.Barrier(3)

    @twofold.model(threads=3)
    def meets(x: int) -> int:
        together.wait(timeout=10)  # passes only when three calls are in it
        return x

    assert ask(load(meets), [1, 2, 3]).outputs.rows() == [(1,), (2,), (3,)]


def test_what_a_waiting_model_keeps_open_stays_usable() -> None:
    loops = set()

    @twofold.model
    async def remembers(x: int) -> int:
        loops.add(asyncio.get_running_loop())
        return x

    model = load(remembers)
    for _ in range(3):
        assert ask(model, [1, 2]).outputs.n_rows == 2
    assert len(loops) == 1

    async def within_a_loop() -> Result:  # a notebook's, say
        return ask(model, [1])

    assert asyncio.run(within_a_loop()).outputs.n_rows == 1


def test_cancelling_the_caller_is_no_failure_of_the_model() -> None:
    @twofold.model
    async def endless(x: int) -> int:
        await asyncio.sleep(60)
        return x

    model = load(endless)

    async def main(n_rows: int) -> None:
        batch = Batch.from_rows(model.signature.input_schema, [(1,)] * n_rows)
        await asyncio.wait_for(Runner(model).run_async(batch), timeout=0.01)

    for n_rows in (1, 3):
        with pytest.raises(TimeoutError):
            asyncio.run(main(n_rows))


def test_a_model_that_cancels_itself_has_failed() -> None:
    result = ask(load(waiting), [1, 18, 2])
    assert result.outputs.rows() == [(2,), (4,)]
    assert (result.failures[1].code, result.failures[1].kind) == ("model_failed", "CancelledError")


@pytest.mark.parametrize("decorator", [twofold.model, twofold.model(row=Row, result=int)], ids=["rows", "columns"])
def test_interrupts_pass_through(decorator: Any) -> None:
    if decorator is twofold.model:

        @twofold.model
        def interrupted(x: int) -> int:
            raise KeyboardInterrupt

    else:

        @twofold.model(row=Row, result=int)
        def interrupted(columns: dict[str, np.ndarray]) -> np.ndarray:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ask(load(interrupted), [1, 2])


def test_an_exception_whose_text_cannot_be_made() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    @twofold.model
    def mute(x: int) -> int:
        raise Mute

    (failure,) = ask(load(mute), [1]).failures.values()
    assert failure.kind == "Mute"
    assert "its text could not be made" in failure.message


def test_a_library_deep_below_is_not_blamed() -> None:
    @twofold.model
    def parses(x: int) -> int:
        import json

        return int(json.loads("{"))

    (failure,) = ask(load(parses), [1]).failures.values()
    assert failure.message.startswith("JSONDecodeError: Expecting property name")
    assert HERE in failure.message


def test_the_input_of_a_second_try_is_what_it_was() -> None:
    """A model that changes its columns in place before it fails must not see them changed when it is asked again."""

    @twofold.model(row=Row, result=int)
    def careless(columns: dict[str, np.ndarray]) -> np.ndarray:
        columns["x"] += 1
        if 14 in columns["x"]:
            raise ValueError
        return columns["x"]

    result = ask(load(careless), [1, 13, 2])
    assert result.outputs.rows() == [(2,), (3,)]
    assert list(result.failures) == [1]
