"""The short way for many rows of a cheap function gives what one call a row gives."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

import twofold
from twofold._columns import Batch
from twofold._model import load
from twofold._runner import MANY_ROWS, Result, Runner

ROWS = 5 * MANY_ROWS


@twofold.model
def word(number: int, factor: float) -> str:
    if number % 7 == 3:
        raise twofold.BadRow("three")
    if number % 11 == 5:
        return None  # type: ignore[return-value]
    if number % 13 == 6:
        return "\ud800"  # no UTF-8 can hold it
    return "é" if number % 3 == 0 else f"{number * factor}"


@twofold.model
def half(number: int) -> float:
    return number / 2 if number else math.nan


@twofold.model
def whole(number: int) -> float:
    return number  # an int where a float is said


def rows_of(result: Result) -> list[Any]:
    found = {at: (failure.code, failure.kind, failure.message) for at, failure in result.failures.items()}
    return [repr(row) for row in result.outputs.rows()] + list(found.items())


def one_by_one(runner: Runner, rows: list[tuple[Any, ...]]) -> list[Any]:
    answers, failures = [], []
    for position, row in enumerate(rows):
        result = runner.run(Batch.from_rows(runner.signature.input_schema, [row]))
        answers += [repr(answer) for answer in result.outputs.rows()]
        failures += [(position, (f.code, f.kind, f.message)) for f in result.failures.values()]
    return answers + failures


@pytest.mark.parametrize("function", [word, half, whole])
@pytest.mark.parametrize("form", ["rows", "arrow"])
def test_many_rows_are_answered_as_one_by_one(function: Any, form: str) -> None:
    model = load(function)
    assert model.plain_calls is not None
    runner = Runner(model)
    rows = [(n, 1.5)[: len(model.signature.inputs)] for n in range(ROWS)]
    batch = Batch.from_rows(model.signature.input_schema, rows)
    if form == "arrow":
        batch = Batch.from_arrow(batch.arrow())
    result = runner.run(batch)
    assert rows_of(result) == one_by_one(runner, rows)
    assert result.outputs.arrow().schema == model.signature.output_schema
    assert list(result.failures) == sorted(result.failures)


def test_each_row_is_called_once() -> None:
    called = []

    @twofold.model
    def note(number: int) -> str:
        called.append(number)
        return "é"  # looked at again, one by one

    model = load(note)
    numbers = pa.record_batch([pa.array(range(ROWS))], schema=model.signature.input_schema)
    Runner(model).run(Batch.from_arrow(numbers))
    assert called == list(range(ROWS))


def test_values_that_need_conversion_take_the_long_way() -> None:
    @twofold.model
    def keyword(*, number: int) -> float:
        return number / 2

    assert load(keyword).plain_calls is None
