"""When two answers count as the same."""

from __future__ import annotations

import math
from typing import Any

import pytest

from twofold._compare.parity import Outcome, compare_outcomes, differences
from twofold._signature import Bool, Field, Float, Int, List, Signature, String, Struct, Tensor, Type

NAN, INF = math.nan, math.inf


def one(kind: Type, left: Any, right: Any) -> list[Any]:
    return differences([Field("y", kind, nullable=True)], (left,), (right,))


@pytest.mark.parametrize(
    ("kind", "left", "right"),
    [
        (Float(64), 1.0, 1.0),
        (Float(64), NAN, NAN),
        (Float(64), INF, INF),
        (Float(64), 0.0, -0.0),
        (Float(64), None, None),
        (Int(64, True), 2**63 - 1, 2**63 - 1),
        (String(), "a", "a"),
        (Tensor(Float(32), (2, 2)), [[1.0, NAN], [2.0, 3.0]], [[1.0, NAN], [2.0, 3.0]]),
        (List(Field("item", String())), ["a"], ["a"]),
    ],
)
def test_equal_values(kind: Type, left: Any, right: Any) -> None:
    assert one(kind, left, right) == []


@pytest.mark.parametrize(
    ("bits", "value", "inside", "outside"),
    [(64, 1.0, 1.9e-7, 2.1e-7), (64, 1000.0, 0.9e-4, 1.1e-4), (32, 1.0, 1.1e-5, 1.2e-5), (16, 1.0, 1.0e-3, 1.1e-3)],
)
def test_tolerance_by_width(bits: int, value: float, inside: float, outside: float) -> None:
    """absolute + relative * |batch|, as PyTorch's assert_close has it."""
    (near,) = one(Float(bits), value + inside, value)
    (far,) = one(Float(bits), value + outside, value)
    assert near.within
    assert near.size == pytest.approx(inside)
    assert not far.within


@pytest.mark.parametrize(
    ("kind", "left", "right", "field"),
    [
        (Float(64), NAN, 1.0, "y"),
        (Float(64), INF, -INF, "y"),
        (Float(64), INF, 1.0, "y"),
        (Float(64), None, NAN, "y"),
        (Int(64, True), 1, 2, "y"),
        (Bool(), True, False, "y"),
        (String(), "a", "b", "y"),
        (Tensor(Int(8, True), (2, 2)), [[1, 2], [3, 4]], [[1, 2], [3, 5]], "y[1][1]"),
        (List(Field("item", String())), ["a"], ["a", "b"], "y"),
        (Struct((Field("a", String()), Field("b", Float(64)))), {"a": "x", "b": 1.0}, {"a": "x", "b": 2.0}, "y.b"),
    ],
)
def test_values_that_differ(kind: Type, left: Any, right: Any, field: str) -> None:
    (found,) = one(kind, left, right)
    assert found.field == field
    assert not found.within


SIGNATURE = Signature((Field("x", Float(64)),), (Field("y", Float(64)), Field("z", String())))


def outcome(y: float, z: str) -> Outcome:
    row = (y, z)
    return Outcome(row, SIGNATURE.encode_row(row))


def test_rows_are_counted_once_however_often_they_were_asked() -> None:
    failed = Outcome(None, error="model_failed")
    real_time = [
        [outcome(1.0, "a"), outcome(1.0, "a")],
        [outcome(1.0, "a"), outcome(1.0 + 1e-9, "a")],  # near, once
        [outcome(5.0, "a"), outcome(6.0, "a")],  # far, twice
        [outcome(1.0, "b")],
        [failed, failed],
        [outcome(1.0, "a"), failed],
        [outcome(-0.0, "a")],
    ]
    batch = [outcome(1.0, "a")] * 4 + [failed, outcome(1.0, "a"), outcome(0.0, "a")]
    found = compare_outcomes(SIGNATURE, real_time, batch, range(10, 17))
    assert (found.rows, found.answered, found.differ_bytes, found.differ) == (7, 5, 5, 3)
    assert (found.largest, found.largest_field, found.largest_row) == (5.0, "y", 12)
    assert [example["row"] for example in found.examples] == [12, 13, 15]
    assert found.examples[0]["real_time"] == {"y": 5.0, "z": "a"}
    assert found.examples[2] == {
        "row": 15,
        "real_time": {"error": {"code": "model_failed"}},
        "batch": {"y": 1.0, "z": "a"},
    }


def test_an_infinite_difference_is_json() -> None:
    found = compare_outcomes(SIGNATURE, [[outcome(NAN, "a")]], [outcome(1.0, "a")], [0])
    assert found.to_json()["largest_difference"] == "Infinity"
    assert found.examples[0]["real_time"] == {"y": "NaN", "z": "a"}
