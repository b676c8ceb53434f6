"""The short way for many rows of a cheap function gives what one call a row gives."""

from __future__ import annotations

import enum
import math
import sys
from typing import Any

import pyarrow as pa
import pytest

import twofold
from twofold._columns import Batch
from twofold._model import load
from twofold._runner import Result, Runner

ROWS = 100


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


@twofold.model
def late(number: int) -> str:
    if number == ROWS // 2:
        raise ValueError("in the middle")
    return "Even" if number % 2 == 0 else "Odd"


@twofold.model
def ended(number: int) -> str:
    """next() of nothing: what ends a loop in C must not end the rows."""
    return next(iter([] if number % 9 == 4 else ["a"]))


@twofold.model
def left(number: int) -> str:
    if number == 3:
        sys.exit("away")
    return "b" * number


@twofold.model
def gap(number: int) -> str | None:
    return None if number % 2 else "c\0c"


@twofold.model
def no_gap(number: int) -> str:
    return None if number == 50 else "d"  # type: ignore[return-value]


class Colour(enum.StrEnum):
    RED = "red"


@twofold.model
def colour(number: int) -> str:
    return Colour.RED if number == 40 else "green"


@twofold.model
def kinds(number: int) -> str:
    found: list[Any] = ["text", b"bytes", 1, ["list"], "é", "\udfff", "longer than most texts of a label are", ""]
    return found[number % len(found)]  # type: ignore[no-any-return]


@twofold.model
def flag(number: int) -> bool:
    return number == 2 if number != 30 else 1  # type: ignore[return-value]


@twofold.model
def count(number: int) -> int:
    return {20: True, 40: 2**63, 60: -(2**63), 80: 1.0, 81: 1.5}.get(number, number)  # type: ignore[return-value]


@twofold.model
def maybe(number: int) -> int | None:
    return None if number % 5 == 0 else number


@twofold.model
def ratio(number: int) -> float:
    return {20: 10**400, 40: True, 60: None}.get(number, number / 3)  # type: ignore[return-value]


@twofold.model
def both(number: int, /, *, factor: float) -> float:
    return number * factor


FUNCTIONS = [word, half, whole, late, ended, left, gap, no_gap, colour, kinds, flag, count, maybe, ratio, both]


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("form", ["rows", "arrow"])
def test_many_rows_are_answered_as_one_by_one(function: Any, form: str) -> None:
    model = load(function)
    assert (model.plain_calls is None) == (function is both)
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


def test_a_failing_row_is_called_once_and_so_are_those_after_it() -> None:
    called = []

    @twofold.model
    def note(number: int, factor: int) -> str:
        called.append(number)
        if number in (10, 11, ROWS - 1):
            raise ValueError(f"not {number}")
        return "Even"

    model = load(note)
    columns = [pa.array(range(ROWS)), pa.array([2] * ROWS)]
    result = Runner(model).run(Batch.from_columns(model.signature.input_schema, columns))
    assert called == list(range(ROWS))
    assert list(result.failures) == [10, 11, ROWS - 1]
    failure = result.failures[11]
    assert (failure.code, failure.kind) == ("model_failed", "ValueError")
    assert failure.message.startswith("ValueError: not 11 (test_runner_plain.py:")
    assert "note" in failure.traceback
    assert result.outputs.n_rows == ROWS - 3


def test_a_row_that_ends_an_iterator_is_called_a_second_time_to_learn_what_it_raised() -> None:
    called = []

    @twofold.model
    def note(number: int) -> str:
        called.append(number)
        if number == 5 and called.count(5) == 1:
            raise StopIteration("once")
        return "Even"

    model = load(note)
    result = Runner(model).run(Batch.from_columns(model.signature.input_schema, [pa.array(range(10))]))
    assert not result.failures
    assert result.outputs.n_rows == 10
    assert called == [0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("form", ["rows", "arrow"])
def test_an_interruption_ends_the_call(form: str) -> None:
    @twofold.model
    def stop(number: int) -> str:
        if number == 5:
            raise KeyboardInterrupt
        return "Even"

    model = load(stop)
    batch = Batch.from_columns(model.signature.input_schema, [pa.array(range(10))])
    if form == "rows":
        batch = Batch.from_rows(batch.schema, batch.rows())
    with pytest.raises(KeyboardInterrupt):
        Runner(model).run(batch)


def test_values_that_need_conversion_take_the_long_way() -> None:
    @twofold.model
    def keyword(*, number: int) -> float:
        return number / 2

    assert load(keyword).plain_calls is None
