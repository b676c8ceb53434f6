# mypy: ignore-errors
# hints are put together at run time here
# ruff: noqa: UP045
"""The compiled call: the user's own values in, canonical ones out."""

import asyncio
import enum
import subprocess
import sys
import typing as t
from dataclasses import dataclass, field
from datetime import UTC, date, datetime

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from twofold._errors import WrongResult
from twofold._signature import Signature
from twofold._signature.hints import read_hints
from twofold._signature.shape import Shape


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Other(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

GIVEN = [
    (bool, True, True),
    (int, 3, 3),
    (float, 0.5, 0.5),
    (str, "a", "a"),
    (bytes, b"a", b"a"),
    (datetime, NOW, NOW),
    (date, NOW.date(), NOW.date()),
    (np.float32, 0.5, np.float32(0.5)),
    (np.uint8, 200, np.uint8(200)),
    (np.bool_, True, np.True_),
    (Color, "red", Color.RED),
    (Level, 1, Level.LOW),
    (t.Literal["a", "b"], "b", "b"),
    (t.Literal[Color.RED, "x"], "red", Color.RED),
    (t.Literal[Color.RED, "x"], "x", "x"),
    (list[int], [1, 2], [1, 2]),
    (tuple[float, float], [1.0, 2.0], (1.0, 2.0)),
    (tuple[tuple[int, int], tuple[int, int]], [[1, 2], [3, 4]], ((1, 2), (3, 4))),
    (tuple[str, ...], ["a"], ("a",)),
    (list[Color], ["red"], [Color.RED]),
    (list[Color | None], ["red", None], [Color.RED, None]),
    (tuple[np.int8, np.int8], [1, 2], (np.int8(1), np.int8(2))),
    (t.Annotated[list[float], Shape(2)], [1.0, 2.0], [1.0, 2.0]),
]


@pytest.mark.parametrize(("hint", "canonical", "own"), GIVEN)
def test_values_given(hint, canonical, own):
    def predict(value) -> bool:
        return (value == own) and type(value) is type(own)

    predict.__annotations__["value"] = hint
    assert read_hints(predict).caller(predict)((canonical,)) is True

    def optional(first: int, *, value) -> bool:
        return (value == own) and type(value) is type(own) if first else value is None

    optional.__annotations__["value"] = t.Optional[hint]
    call = read_hints(optional).caller(optional)
    assert call((1, canonical)) is True
    assert call((0, None)) is True


@pytest.mark.parametrize(
    ("hint", "canonical", "dtype", "shape"),
    [
        (t.Annotated[npt.NDArray[np.float32], Shape(3)], [1.0, 2.0, 3.0], "float32", (3,)),
        (t.Annotated[npt.NDArray[np.int8], Shape(1, 2)], [[1, 2]], "int8", (1, 2)),
        (npt.NDArray[np.float64], [], "float64", (0,)),
    ],
)
def test_arrays_given(hint, canonical, dtype, shape):
    def predict(value) -> bool:
        value += 1  # its own, to be written to
        return value.dtype == dtype and value.shape == shape

    predict.__annotations__["value"] = hint
    assert read_hints(predict).caller(predict)((canonical,)) is True
    assert 2.0 not in canonical[:1]


def test_plain_values_go_straight_through():
    def predict(a: int, b: str, /, c: float | None) -> str:
        return f"{a}{b}{c}"

    binding = read_hints(predict)
    assert binding.caller(predict)((1, "b", None)) == "1bNone"
    assert binding.result("x") == ("x",)
    assert binding.caller(predict).__code__.co_names == ()


def test_an_async_function_gives_its_coroutine():
    async def predict(color: Color) -> Color:
        await asyncio.sleep(0)
        return color

    binding = read_hints(predict)
    assert binding.is_async
    assert binding.result(asyncio.run(binding.caller(predict)(("red",)))) == ("red",)


ANSWERED = [
    (Color, Color.BLUE, "blue"),
    (Color, "blue", "blue"),
    (Color | None, None, None),
    (list[Color], [Color.RED, "blue"], ["red", "blue"]),
    (tuple[Color, Color], (Color.RED, Color.BLUE), ["red", "blue"]),
    (list[Color | None], [None], [None]),
]


@pytest.mark.parametrize(("hint", "own", "canonical"), ANSWERED)
def test_values_answered(hint, own, canonical):
    def predict(n: int):
        return own

    predict.__annotations__["return"] = hint
    assert read_hints(predict).result(own) == (canonical,)


def test_a_member_of_another_enum_is_refused():
    def predict(n: int) -> Color:
        return Color.RED

    with pytest.raises(WrongResult, match=r"Other\.RED.* says `Color`") as caught:
        read_hints(predict).result(Other.RED)
    assert caught.value.code == "wrong_result"


@pytest.mark.parametrize("hint", [bytes, date, datetime, list[date]])
def test_a_text_is_no_time_and_no_bytes(hint):
    def predict(n: int):
        return None

    predict.__annotations__["return"] = hint
    with pytest.raises(WrongResult, match="answered the text '2026-01-02'"):
        read_hints(predict).result(["2026-01-02"] if hint == list[date] else "2026-01-02")


def test_instances_of_the_users_class_are_rows():
    pydantic = pytest.importorskip("pydantic")

    class Packed(msgspec.Struct, rename="camel"):
        total_amount: float

    class Aliased(pydantic.BaseModel):
        n: Color = pydantic.Field(alias="number")

    @dataclass
    class Derived:
        n: int
        twice: int = field(init=False, default=0)

    for row, value in ((Packed(1.5), 1.5), (Aliased(number="red"), "red"), (Derived(3), 3)):

        def predict(row) -> float:
            return 0.0

        predict.__annotations__["row"] = type(row)
        binding = read_hints(predict)
        assert Signature(binding.inputs, binding.outputs).row(row) == (value,)


def test_structs_of_structs_answered():
    @dataclass
    class Box:
        color: Color
        size: tuple[float, float]

    @dataclass
    class Answer:
        boxes: list[Box]
        best: Box | None

    def predict(n: int) -> Answer:
        return Answer([Box(Color.RED, (1, 2))], None)

    binding = read_hints(predict)
    assert binding.result(predict(1)) == ([{"color": "red", "size": (1, 2)}], None)

    def optional(n: int) -> Answer | None:
        return None

    assert read_hints(optional).result(None) == (None,)
    assert read_hints(optional).result(predict(1))[0]["best"] is None


def test_a_key_that_an_answer_lacks_is_no_null():
    class Answer(t.TypedDict):
        score: float
        reason: str | None
        note: t.NotRequired[str]

    def predict(n: int) -> Answer:
        return {"score": 1.0, "reason": None}

    binding = read_hints(predict)
    assert binding.result(predict(1)) == (1.0, None, None)
    for answer, key in (({"score": 1.0}, "reason"), ({"reason": "x", "note": "y"}, "score")):
        with pytest.raises(WrongResult, match=f"a dict without the key '{key}'"):
            binding.result(answer)


def test_nothing_heavy_is_imported_for_plain_annotations():
    code = """
import sys
from twofold._signature.hints import read_hints
def parity(number: int) -> str:
    return "Odd"
binding = read_hints(parity)
assert binding.result(binding.caller(parity)((7,))) == ("Odd",)
heavy = {"numpy", "pyarrow", "pandas", "polars", "pydantic", "annotated_types", "asyncio"} & set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
