# mypy: ignore-errors
# hints are put together at run time here
"""Constraints are enforced, or refused when the model loads; never ignored."""

import re
import typing as t
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from twofold._errors import ModelError
from twofold._signature.hints import read_hints
from twofold._signature.shape import Shape
from twofold._signature.types import UNCONSTRAINED, Constraints, Field, Float, List, Tensor

at = pytest.importorskip("annotated_types")
pydantic = pytest.importorskip("pydantic")
Meta = msgspec.Meta


def read(hint):
    def predict(value, other: int):
        return 0.0

    predict.__annotations__ |= {"value": hint, "return": float}
    return read_hints(predict).inputs[0]


UNDERSTOOD = [
    (t.Annotated[int, Meta(ge=0, lt=10, multiple_of=5)], Constraints(ge=0, lt=10, multiple_of=5)),
    (t.Annotated[float, Meta(gt=0.5, le=1.5)], Constraints(gt=0.5, le=1.5)),
    (
        t.Annotated[str, Meta(min_length=1, max_length=3, pattern="^a")],
        Constraints(None, None, None, None, None, 1, 3, "^a"),
    ),
    (t.Annotated[bytes, Meta(max_length=3)], Constraints(max_length=3)),
    (t.Annotated[list[int], Meta(min_length=1)], Constraints(min_length=1)),
    (t.Annotated[int, at.Ge(0), at.Lt(10)], Constraints(ge=0, lt=10)),
    (t.Annotated[int, at.Interval(gt=1, le=4)], Constraints(gt=1, le=4)),
    (t.Annotated[str, at.Len(1, 4)], Constraints(min_length=1, max_length=4)),
    (t.Annotated[str, at.MinLen(2)], Constraints(min_length=2)),
    (t.Annotated[int, at.MultipleOf(3)], Constraints(multiple_of=3)),
    (t.Annotated[int, pydantic.Field(ge=0, le=7)], Constraints(ge=0, le=7)),
    (t.Annotated[str, pydantic.Field(pattern="x+", max_length=5)], Constraints(pattern="x+", max_length=5)),
    (t.Annotated[str, pydantic.StringConstraints(min_length=1, pattern="x")], Constraints(min_length=1, pattern="x")),
    (pydantic.PositiveInt, Constraints(gt=0)),
    (t.Annotated[int, Meta(ge=0)] | None, Constraints(ge=0)),
    (t.Annotated[int | None, Meta(ge=0)], Constraints(ge=0)),
    (t.Annotated[t.Annotated[int, Meta(ge=0)] | None, Meta(ge=3, le=9)], Constraints(ge=3, le=9)),
    (t.Annotated[int, Meta(ge=0), at.Ge(-1)], Constraints(ge=0)),
    (t.Annotated[float, at.Ge(np.float32(0.5))], Constraints(ge=0.5)),
    (t.Annotated[str, pydantic.Field(pattern=re.compile("x", re.IGNORECASE))], Constraints(pattern="(?i)x")),
    (t.Annotated[int, Meta(description="years", examples=[1], title="Age")], UNCONSTRAINED),
    (t.Annotated[int, at.Unit("m"), "in metres"], UNCONSTRAINED),
    (pydantic.conint(gt=3), Constraints(gt=3)),
    (pydantic.constr(max_length=3), Constraints(max_length=3)),
]


@pytest.mark.parametrize(("hint", "constraints"), UNDERSTOOD)
def test_understood(hint, constraints):
    assert read(hint).constraints == constraints


def test_constraints_of_items():
    positive = t.Annotated[float, Meta(ge=0)]
    assert read(list[positive]).type == List(Field("item", Float(), constraints=Constraints(ge=0)))
    assert read(tuple[positive, positive]) == Field("value", Tensor(Float(), (2,)), constraints=Constraints(ge=0))
    assert read(t.Annotated[npt.NDArray[np.float64], Shape(2), Meta(le=1)]).constraints == Constraints(le=1)


REFUSED = [
    (t.Annotated[int, at.Predicate(lambda v: v > 1)], "cannot enforce"),
    (t.Annotated[int, pydantic.AfterValidator(lambda v: v)], "cannot enforce"),
    (t.Annotated[float, pydantic.Field(allow_inf_nan=False)], "AllowInfNan"),
    (t.Annotated[int, pydantic.Field(strict=True)], "Strict"),
    (t.Annotated[str, pydantic.StringConstraints(strip_whitespace=True)], "strip_whitespace=True"),
    (t.Annotated[int, pydantic.Field(alias="n")], "alias='n'"),
    (t.Annotated[int, {"ge": 0}], r"\{'ge': 0\}"),
    (t.Annotated[str, Meta(ge=0)], "ge=0, which string cannot be held to"),
    (t.Annotated[int, Meta(max_length=3)], "max_length=3, which int64"),
    (t.Annotated[bool, Meta(ge=0)], "bool cannot"),
    (t.Annotated[bytes, Meta(pattern="x")], "pattern='x'"),
    (t.Annotated[list[float], Meta(ge=0)], "Put it on the items"),
    (t.Annotated[t.Literal["a"], Meta(min_length=1)], "min_length=1"),
    (t.Annotated[int, Meta(tz=True)], "is no datetime"),
    (t.Annotated[int, at.Ge("a")], "not a number"),
    (t.Annotated[int, at.Ge(float("nan"))], "not a number"),
    (t.Annotated[int, at.MultipleOf(0)], "no value can satisfy"),
    (t.Annotated[str, at.MinLen(-1)], "no value can satisfy"),
    (t.Annotated[str, Meta(pattern="a"), Meta(pattern="b")], "two different patterns"),
    (t.Annotated[str, pydantic.Field(pattern="(")], "not a regular expression"),
    (t.Annotated[int, Shape(3)], "no array"),
    (t.Annotated[list[float], Shape(3), Shape(3)], "two shapes"),
]


@pytest.mark.parametrize(("hint", "words"), REFUSED)
def test_refused_when_the_model_loads(hint, words):
    with pytest.raises(ModelError, match=f"parameter `value` of .*{words}"):
        read(hint)


class Sieved(pydantic.BaseModel):
    n: t.Annotated[int, pydantic.AfterValidator(lambda v: v)]


class Stripped(pydantic.BaseModel, str_strip_whitespace=True):
    s: str


class Finite(pydantic.BaseModel, allow_inf_nan=False):
    f: float


class Validated(pydantic.BaseModel):
    n: int

    @pydantic.model_validator(mode="after")
    def look(self):
        return self


class After(pydantic.BaseModel):
    n: int

    def model_post_init(self, context: object) -> None:
        raise ValueError


class Private(pydantic.BaseModel):
    n: int
    _seen: int = pydantic.PrivateAttr(default=0)


@dataclass
class Posted:
    n: int

    def __post_init__(self):
        raise ValueError


@dataclass
class Nesting:
    items: list[Sieved]


def columns(d: dict[str, npt.NDArray[t.Any]]) -> npt.NDArray[t.Any]:
    return d["n"]


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Sieved, "AfterValidator"),
        (Stripped, "str_strip_whitespace"),
        (Finite, "allow_inf_nan"),
        (Validated, "look"),
        (After, "model_post_init"),
        (Posted, "__post_init__"),
        (Nesting, "AfterValidator"),
    ],
)
def test_a_model_on_columns_refuses_classes_that_check_their_values(row, words):
    with pytest.raises(ModelError, match=f"checks its values itself.*{words}"):
        read_hints(columns, row=row, result=float)
    with pytest.raises(ModelError, match=f"checks its values itself.*{words}"):
        read_hints(columns, row=Private, result=row)


def test_private_attributes_are_no_check():
    assert [f.name for f in read_hints(columns, row=Private, result=float).inputs] == ["n"]
