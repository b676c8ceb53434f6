# mypy: ignore-errors
# hints are put together at run time here
# ruff: noqa: RUF013
"""What cannot be a model is refused with the parameter's name, what came and what to write."""

import decimal
import enum
import typing as t
import uuid
from dataclasses import InitVar, dataclass

import numpy as np
import numpy.typing as npt
import pytest

from twofold._errors import ModelError
from twofold._signature.hints import read_hints
from twofold._signature.shape import Shape


class Flags(enum.Flag):
    A = 1


class Mixed(enum.Enum):
    A = 1
    B = "b"


class Nothing(enum.Enum):
    pass


class Pair(t.NamedTuple):
    a: int


@dataclass
class Empty:
    pass


@dataclass
class Looped:
    again: "list[Looped]"


@dataclass
class Initial:
    n: InitVar[int]


@dataclass
class Reserved:
    _raw: str


@dataclass
class Deep:
    inner: "Deeper"


@dataclass
class Deeper:
    money: decimal.Decimal


TypeVariable = t.TypeVar("TypeVariable")

REFUSED = [
    (decimal.Decimal, "is Decimal.*Write float"),
    (uuid.UUID, "is UUID.*Write str"),
    (t.Any, "is Any.*ONE row"),
    (object, "is object.*ONE row"),
    (dict[str, int], "is dict.*TypedDict"),
    (set[int], "Write a list"),
    (complex, "two floats"),
    (list, "list\\[float\\]"),
    (tuple, "tuple\\[float"),
    (np.ndarray, "NDArray"),
    (npt.NDArray[t.Any], "array of Any"),
    (npt.NDArray[np.str_], "array of np.str_"),
    (np.ndarray[tuple[int, int], np.dtype[np.float32]], "matrix without a size"),
    (t.Annotated[np.ndarray[tuple[int, int], np.dtype[np.float32]], Shape(3)], "2 dimensions, but its Shape has 1"),
    (t.Annotated[list[str], Shape(3)], "no plain numbers"),
    (t.Annotated[tuple[int, int], Shape(2)], "tuple with a Shape"),
    (tuple[int, str], "different types \\(int, str\\).*dataclass"),
    (tuple[()], "without items"),
    (np.longdouble, "longdouble"),
    (np.datetime64, "datetime64"),
    (np.floating, "floating"),
    (int | str, "int \\| str"),
    (int | float, "Write one type \\(float takes whole numbers too\\)"),
    (int | str | None, "one type `\\| None`"),
    (Flags, "Flag"),
    (Mixed, "all str, or all int"),
    (Nothing, "of nothing"),
    (t.Literal[True], "all str, or all int"),
    (t.Literal[1, "a"], "all str, or all int"),
    (t.Literal[2**70], "at most 64 bits"),
    (Pair, "NamedTuple `Pair`"),
    (Empty, "no fields"),
    (Looped, "`Looped` again"),
    (Initial, "InitVar `Initial.n`"),
    (TypeVariable, "type variable"),
    (int.__add__, "no type of a row"),
    (3, "no type of a row"),
]


@pytest.mark.parametrize(("hint", "words"), REFUSED)
def test_a_hint_that_is_no_type_of_a_row(hint, words):
    def predict(value) -> float:
        return 0.0

    predict.__annotations__["value"] = hint
    with pytest.raises(ModelError, match=f"(parameter `value`|field `[A-Za-z.]+`|item of).*predict.*{words}") as caught:
        read_hints(predict)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith((".", ").", '"'))

    def answer(n: int):
        return 0.0

    answer.__annotations__["return"] = hint
    with pytest.raises(ModelError, match=words):
        read_hints(answer)


def test_the_place_of_a_nested_field_is_named():
    def predict(row: Deep) -> float:
        return 0.0

    with pytest.raises(
        ModelError, match=r"field `Deeper\.money` of `.*predict` \(.*test_hints_errors.py:\d+\) is Decimal"
    ):
        read_hints(predict)


def test_reserved_names():
    def predict(row: Reserved) -> float:
        return 0.0

    with pytest.raises(ModelError, match="'_raw', a name that quarantine files use"):
        read_hints(predict)


def no_annotation(a, b: int) -> int: ...
def no_result(a: int): ...
def result_none(a: int) -> None: ...
def no_parameters() -> int: ...
def many(*values: int) -> int: ...
def named(a: int, **values: int) -> int: ...
def frame(a: dict[str, npt.NDArray[np.float64]]) -> float: ...
def frames(a: int) -> dict[str, npt.NDArray[np.float64]]: ...
def generator(a: int) -> int:
    yield a


async def async_generator(a: int) -> int:
    yield a


def default_of_other_type(a: int = "x") -> int: ...
def default_none(a: int = None) -> int: ...
def default_of_row(a: Deep = None) -> int: ...
def unknown_name(a: "Nowhere") -> int: ...  # noqa: F821
def broken(a: "list[") -> int: ...  # noqa: F722


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_annotation, "parameter `a` of `no_annotation` .*has no annotation.*`a: float`"),
        (no_result, "the result of .*has no annotation.*`-> float`"),
        (result_none, "the result of .*is None"),
        (no_parameters, "has no parameters"),
        (many, r"parameter `values` of .*\*values: int"),
        (named, r"parameter `values` of .*\*\*values: int"),
        (frame, "holds many rows.*row=Row, result=float"),
        (frames, "holds many rows.*row=Row, result=float"),
        (generator, "yields"),
        (async_generator, "yields"),
        (default_of_other_type, "parameter `a` .*default 'x'.*expected int64"),
        (default_none, r"default None.*Write `\| None`"),
        (unknown_name, "`a: Nowhere`.*'Nowhere', which is not to be found"),
        (broken, "do not evaluate"),
        (len, "parameter `obj` of `len` has no annotation"),
    ],
)
def test_a_function_that_is_no_model(function, words):
    with pytest.raises(ModelError, match=words) as caught:
        read_hints(function)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lengths", [(), (0,), (-1,), (True,), (2.0,), ("3",)])
def test_shapes_that_are_none(lengths):
    with pytest.raises(ModelError, match="is not a shape"):
        Shape(*lengths)


def columns(d: dict[str, npt.NDArray[t.Any]]) -> npt.NDArray[t.Any]: ...
def two(d: dict[str, npt.NDArray[t.Any]], n: int) -> float: ...
def bare(d) -> float: ...
def rows(n: int) -> float: ...


@dataclass
class Row:
    n: int


@pytest.mark.parametrize(
    ("function", "row", "result", "words"),
    [
        (columns, Row, None, "only one of row= and result="),
        (columns, None, float, "only one of row= and result="),
        (columns, int, float, "row= of `columns`.*is int.*Write a dataclass"),
        (columns, Row | None, float, "row= .*Write a dataclass"),
        (columns, Row, decimal.Decimal, "result= of `columns`.*is Decimal"),
        (two, Row, float, "must have one parameter.*pyarrow.Table"),
        (bare, Row, float, "parameter `d` .*has no annotation.*pandas.DataFrame"),
        (rows, Row, float, "parameter `n` .*is int, which holds no columns"),
    ],
)
def test_a_function_that_is_no_model_on_columns(function, row, result, words):
    with pytest.raises(ModelError, match=words):
        read_hints(function, row=row, result=result)
