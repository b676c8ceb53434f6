# mypy: ignore-errors
# hints are put together at run time here
"""Annotations that are strings: `from __future__ import annotations`, with classes at the top and inside functions."""

from __future__ import annotations

import functools
import typing as t
from dataclasses import dataclass

import msgspec
import pytest

from twofold._errors import ModelError
from twofold._signature.hints import read_hints
from twofold._signature.types import Field, Float, Int, String, Struct

if t.TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Top:
    a: int
    b: float | None = None


class Keys(t.TypedDict):
    a: int
    b: t.NotRequired[str]


def test_classes_of_the_module():
    def predict(row: Top) -> float | None:
        return row.b

    assert read_hints(predict).inputs == (Field("a", Int()), Field("b", Float(), True, None))
    assert read_hints(predict).outputs == (Field("prediction", Float(), True),)


def test_not_required_in_strings():
    def predict(row: Keys) -> int:
        return row["a"]

    assert read_hints(predict).inputs == (Field("a", Int()), Field("b", String(), True, None))


def test_classes_inside_the_running_function():
    @dataclass
    class Inner:
        x: int

    class Row(msgspec.Struct):
        inner: Inner

    def predict(row: Row) -> float:
        return 0.0

    assert read_hints(predict).inputs == (Field("inner", Struct((Field("x", Int()),))),)


def test_a_local_pydantic_model():
    pydantic = pytest.importorskip("pydantic")

    class Row(pydantic.BaseModel):
        x: int = pydantic.Field(ge=0)

    def predict(row: Row) -> int:
        return row.x

    assert read_hints(predict).caller(predict)((3,)) == 3


def test_what_a_function_closes_over():
    def make():
        @dataclass
        class Inner:
            x: int

        def predict(row: Inner) -> Inner:
            return Inner(row.x)

        return predict

    assert [f.name for f in read_hints(make()).inputs] == ["x"]


def test_a_local_class_that_cannot_be_found_any_more():
    def make():
        class Inner(msgspec.Struct):
            x: int

        def predict(row: Inner) -> int:
            return row.x

        return predict

    with pytest.raises(ModelError, match=r"`row: Inner`.*'Inner', which is not to be found.*not inside a function"):
        read_hints(make())


def test_a_name_that_only_type_checkers_see():
    def predict(n: Decimal) -> float:
        return 0.0

    with pytest.raises(ModelError, match=r"`n: Decimal`.*TYPE_CHECKING"):
        read_hints(predict)


def test_an_annotation_that_fails_when_it_is_evaluated():
    def predict(name: t.Annotated[str, msgspec.Meta(pattern="(")]) -> float:
        return 0.0

    with pytest.raises(
        ModelError, match=r"cannot be read: its annotations do not evaluate \(.*unterminated subpattern"
    ):
        read_hints(predict)


def test_a_field_of_unknown_type():
    @dataclass
    class Row:
        money: Decimal

    def predict(row: Row) -> float:
        return 0.0

    with pytest.raises(ModelError, match=r"parameter `row` of .*`money: Decimal`.*TYPE_CHECKING"):
        read_hints(predict)


def test_a_wrapped_function_keeps_its_signature():
    def wrap(inner):
        @functools.wraps(inner)
        def outer(*args, **kwargs):
            return inner(*args, **kwargs)

        return outer

    @wrap
    def predict(n: int, m: Top) -> float:
        return n + m.a

    assert read_hints(predict).caller(predict)((1, {"a": 2, "b": None})) == 3


def test_a_method_of_a_local_class():
    @dataclass
    class Row:
        x: int

    class Model:
        def predict(self, row: Row) -> int:
            return row.x

    binding = read_hints(Model.predict, skip_self=True)
    assert binding.caller(Model().predict)((5,)) == 5
