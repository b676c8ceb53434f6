"""Measuring one row: with the example, or with a row made up from the signature."""

from __future__ import annotations

import asyncio
import time
from datetime import date, datetime
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta

import twofold
from twofold._model import load
from twofold._profile import invented_row, measure_one_row_s
from twofold._runner import Runner
from twofold._signature import Constraints, Field, Float, Int, Signature, String


class Inner(msgspec.Struct):
    a: Annotated[int, Meta(ge=5)]
    b: str | None


class Everything(TypedDict):
    flag: bool
    number: Annotated[int, Meta(gt=3)]
    small: np.int8
    ratio: Annotated[float, Meta(gt=0, lt=1)]
    text: Annotated[str, Meta(min_length=2)]
    raw: bytes
    at: datetime
    wall: Annotated[datetime, Meta(tz=False)]
    day: date
    choice: Literal["x", "y"]
    vector: Annotated[npt.NDArray[np.float32], twofold.Shape(3)]
    some: Annotated[list[float], Meta(min_length=2)]
    inner: Inner
    perhaps: float | None


def test_a_row_is_made_up_from_the_signature() -> None:
    seen: list[Everything] = []

    @twofold.model
    def f(row: Everything) -> int:
        seen.append(row)
        return 1

    model = load(f)
    row = invented_row(model.signature)
    assert row is not None
    assert len(row) == len(model.signature.inputs)
    took = measure_one_row_s(Runner(model), None)
    assert took is not None
    assert took > 0
    assert 0 < seen[0]["ratio"] < 1
    assert seen[0]["perhaps"] is None


def test_the_example_is_used_where_there_is_one() -> None:
    seen = []

    @twofold.model(example={"x": 3})
    def f(x: int) -> int:
        seen.append(x)
        return x

    model = load(f)
    assert measure_one_row_s(Runner(model), model.example) is not None
    assert set(seen) == {3}


def test_models_that_cannot_be_measured() -> None:
    @twofold.model
    def refuses(x: int) -> float:
        return 1 / x

    assert measure_one_row_s(Runner(load(refuses)), None) is None

    @twofold.model
    def pattern(x: Annotated[str, Meta(pattern="^[a-z]{3}-[0-9]+$")]) -> int:
        return 1

    assert invented_row(load(pattern).signature) is None
    assert measure_one_row_s(Runner(load(pattern)), None) is None


def test_the_first_call_does_not_count() -> None:
    calls: list[int] = []

    @twofold.model
    def lazy(x: int) -> int:
        if not calls:
            time.sleep(0.4)
        calls.append(x)
        return x

    took = measure_one_row_s(Runner(load(lazy)), None)
    assert took is not None
    assert took < 0.2
    assert len(calls) == 2


def test_models_that_wait() -> None:
    @twofold.model
    async def waits(x: int) -> int:
        await asyncio.sleep(0.01)
        return x

    took = measure_one_row_s(Runner(load(waits)), None)
    assert took is not None
    assert took >= 0.01


BOUNDS = st.none() | st.integers(-50, 50)


@pytest.mark.parametrize("kind", [Int(64), Float(64), Int(8), Float(32)], ids=str)
@given(low=BOUNDS, width=st.integers(2, 40), strict=st.booleans(), step=st.none() | st.integers(1, 2), up=st.booleans())
def test_numbers_within_bounds(
    kind: Int | Float, low: int | None, width: int, strict: bool, step: int | None, up: bool
) -> None:
    high = None if low is None or not up else low + width
    bounds: Any = {"gt": low, "lt": high} if strict else {"ge": low, "le": high}
    field = Field("x", kind, constraints=Constraints(multiple_of=step, **bounds))
    row = invented_row(Signature((field,), (Field("y", String()),)))
    if step != 2 or high is None or width > 3:
        assert row is not None
