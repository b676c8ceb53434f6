# mypy: ignore-errors
# hints are put together at run time here
# ruff: noqa: B008, UP045
"""Each kind of hint and the field it becomes."""

import enum
import typing as t
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from twofold._signature.hints import read_hints
from twofold._signature.shape import Shape
from twofold._signature.types import (
    MISSING,
    Bool,
    Bytes,
    Choice,
    Constraints,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    List,
    String,
    Struct,
    Tensor,
    arrow_schema,
)


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Text(enum.StrEnum):
    A = "a"


@dataclass
class Point:
    x: float
    y: float | None


UserId = t.NewType("UserId", int)


def field_of(hint) -> Field:
    def predict(value):
        return 0.0

    predict.__annotations__ = {"value": list[hint], "return": float}
    (found,) = read_hints(predict).inputs
    assert isinstance(found.type, List)
    return found.type.item


def item(kind) -> Field:
    return Field("item", kind)


SCALARS = [
    (bool, Bool()),
    (int, Int(64)),
    (float, Float(64)),
    (str, String()),
    (bytes, Bytes()),
    (date, Date()),
    (datetime, Datetime(naive=False)),
    (t.Annotated[datetime, msgspec.Meta(tz=True)], Datetime(naive=False)),
    (t.Annotated[datetime, msgspec.Meta(tz=False)], Datetime(naive=True)),
    (np.bool_, Bool()),
    (np.int8, Int(8)),
    (np.int16, Int(16)),
    (np.int32, Int(32)),
    (np.int64, Int(64)),
    (np.uint8, Int(8, signed=False)),
    (np.uint64, Int(64, signed=False)),
    (np.float16, Float(16)),
    (np.float32, Float(32)),
    (np.float64, Float(64)),
    (Color, Choice(("red", "blue"))),
    (Level, Choice((1, 2))),
    (Text, Choice(("a",))),
    (t.Literal["a", "b"], Choice(("a", "b"))),
    (t.Literal[1, 2, 1], Choice((1, 2))),
    (t.Literal[Color.RED, "other"], Choice(("red", "other"))),
    (UserId, Int(64)),
    (t.Annotated[int, "just words"], Int(64)),
    (Point, Struct((Field("x", Float()), Field("y", Float(), nullable=True)))),
]


@pytest.mark.parametrize(("hint", "kind"), SCALARS)
def test_scalar(hint, kind):
    found = field_of(hint)
    assert found == item(kind)
    assert {type(v) for v in getattr(kind, "values", ())} == {type(v) for v in getattr(found.type, "values", ())}
    assert field_of(hint | None if not isinstance(hint, t.NewType) else t.Optional[hint]) == Field("item", kind, True)


SEQUENCES = [
    (t.Annotated[npt.NDArray[np.float32], Shape(30)], Tensor(Float(32), (30,))),
    (t.Annotated[npt.NDArray[np.uint8], Shape(28, 28)], Tensor(Int(8, signed=False), (28, 28))),
    (t.Annotated[npt.NDArray[np.bool_], Shape(2)], Tensor(Bool(), (2,))),
    (t.Annotated[np.ndarray[tuple[int, int], np.dtype[np.float64]], Shape(2, 3)], Tensor(Float(64), (2, 3))),
    (t.Annotated[npt.NDArray[np.float32], msgspec.Meta(min_length=3, max_length=3)], Tensor(Float(32), (3,))),
    (npt.NDArray[np.float32], List(item(Float(32)))),
    (np.ndarray[tuple[int], np.dtype[np.float32]], List(item(Float(32)))),
    (tuple[float, float, float], Tensor(Float(), (3,))),
    (tuple[tuple[int, int], tuple[int, int], tuple[int, int]], Tensor(Int(), (3, 2))),
    (tuple[np.float32, np.float32], Tensor(Float(32), (2,))),
    (t.Annotated[list[float], Shape(3)], Tensor(Float(), (3,))),
    (t.Annotated[list[list[int]], Shape(2, 3)], Tensor(Int(), (2, 3))),
    (t.Annotated[list[float], msgspec.Meta(min_length=3, max_length=3)], Tensor(Float(), (3,))),
    (t.Annotated[tuple[int, ...], Shape(4)], Tensor(Int(), (4,))),
    (list[float], List(item(Float()))),
    (Sequence[str], List(item(String()))),
    (tuple[str, ...], List(item(String()))),
    (list[int | None], List(Field("item", Int(), True))),
    (list[list[date]], List(item(List(item(Date()))))),
    (list[tuple[float, float]], List(item(Tensor(Float(), (2,))))),
]


@pytest.mark.parametrize(("hint", "kind"), SEQUENCES)
def test_sequence(hint, kind):
    assert field_of(hint) == item(kind)
    arrow_schema((field_of(hint),))


def test_fixed_length_of_what_is_no_number_is_a_list_of_that_length():
    fixed = Constraints(min_length=2, max_length=2)
    assert field_of(tuple[str, str]) == Field("item", List(item(String())), constraints=fixed)
    both = t.Annotated[list[str], msgspec.Meta(min_length=2, max_length=2)]
    assert field_of(both) == Field("item", List(item(String())), constraints=fixed)
    assert field_of(tuple[int | None, int | None]).type == List(Field("item", Int(), True))


def test_parameters_become_fields_in_order_with_defaults():
    def predict(
        amount: float,
        /,
        color: Color = Color.BLUE,
        *,
        rate: np.float32 = np.float32(0.5),
        tags: list[str] | None = None,
        weights: tuple[float, float] = (0, 1),
        vector: t.Annotated[npt.NDArray[np.float32], Shape(2)] = np.zeros(2, np.float32),
        point: Point = Point(1, None),
        seen: float | None,
    ) -> float:
        return 0.0

    binding = read_hints(predict)
    assert [(f.name, f.default, f.nullable) for f in binding.inputs] == [
        ("amount", MISSING, False),
        ("color", "blue", False),
        ("rate", 0.5, False),
        ("tags", None, True),
        ("weights", [0.0, 1.0], False),
        ("vector", [0.0, 0.0], False),
        ("point", {"x": 1.0, "y": None}, False),
        ("seen", MISSING, True),
    ]
    assert (binding.form, binding.container, binding.is_async) == ("rows", "", False)
    assert type(binding.inputs[2].default) is float
    assert binding.outputs == (Field("prediction", Float()),)


def test_the_self_of_a_method_is_no_field():
    class Model:
        async def predict(self, number: int) -> str | None:
            return None

    binding = read_hints(Model.predict, skip_self=True)
    assert [f.name for f in binding.inputs] == ["number"]
    assert binding.is_async
    assert binding.outputs == (Field("prediction", String(), nullable=True),)


def test_an_optional_literal_may_hold_its_none():
    def predict(kind: t.Literal["a", None]) -> float:
        return 0.0

    assert read_hints(predict).inputs == (Field("kind", Choice(("a",)), nullable=True),)


def test_shape_is_a_value():
    assert Shape(2, 3) == Shape(2, 3) != Shape(3, 2)
    assert hash(Shape(2)) == hash(Shape(2))
    assert repr(Shape(2, 3)) == "Shape(2, 3)"


def test_aliases_stand_for_their_types():
    te = pytest.importorskip("typing_extensions")
    item_type = te.TypeVar("item_type")
    plain = te.TypeAliasType("plain", t.Annotated[int, msgspec.Meta(ge=0)])
    vector = te.TypeAliasType("vector", list[item_type], type_params=(item_type,))
    arrays = te.TypeAliasType("arrays", np.ndarray[t.Any, np.dtype[item_type]], type_params=(item_type,))
    assert field_of(plain) == Field("item", Int(), constraints=Constraints(ge=0))
    assert field_of(vector[float]) == item(List(item(Float())))
    assert field_of(t.Annotated[vector[plain], Shape(2)] | None).nullable
    assert field_of(t.Annotated[arrays[np.float32], Shape(2)]) == item(Tensor(Float(32), (2,)))
    assert field_of(arrays[np.float32]) == item(List(item(Float(32))))
