# mypy: ignore-errors
# hints are put together at run time here
"""Structs as rows and as results: dataclass, TypedDict, msgspec Struct, pydantic model."""

import enum
import typing as t
from dataclasses import dataclass, field

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from twofold._errors import BadRow, ModelError, WrongResult
from twofold._signature.hints import read_hints
from twofold._signature.shape import Shape
from twofold._signature.types import MISSING, Constraints, Field, Float, Int, List, String, Struct

pydantic = pytest.importorskip("pydantic")


@dataclass
class Inner:
    a: int
    b: list[str] = field(default_factory=list)


@dataclass
class Plain:
    amount: float
    inner: Inner
    note: str | None = None
    doubled: float = field(init=False)
    rate: np.float32 = field(default=np.float32(2), kw_only=True)
    known: t.ClassVar[int] = 3

    def __post_init__(self):
        self.doubled = self.amount * 2


class Typed(t.TypedDict):
    amount: float
    inner: Inner
    note: t.NotRequired[str]


class Packed(msgspec.Struct, kw_only=True, rename="camel"):
    total_amount: float
    inner: Inner
    note: str | None = None


class Checked(pydantic.BaseModel):
    amount: float = pydantic.Field(ge=0)
    inner: Inner
    note: str | None = pydantic.Field(default=None, alias="remark", max_length=3)

    @pydantic.field_validator("amount")
    @classmethod
    def not_thirteen(cls, value: float) -> float:
        if value == 13:
            raise ValueError("thirteen is unlucky")
        return value + 0.5


INNER = Field("inner", Struct((Field("a", Int()), Field("b", List(Field("item", String())), default=[]))))


def call(function, row):
    return read_hints(function).caller(function)(row)


def test_a_dataclass_is_the_row():
    def predict(row: Plain) -> float:
        assert isinstance(row.inner, Inner)
        assert isinstance(row.rate, np.float32)
        return row.doubled * row.rate

    assert read_hints(predict).inputs == (
        Field("amount", Float()),
        INNER,
        Field("note", String(), True, None),
        Field("rate", Float(32), default=2.0),
    )
    assert call(predict, (1.5, {"a": 1, "b": []}, None, 2.0)) == 6.0


def test_a_typeddict_is_the_row_and_absent_keys_are_absent():
    def predict(row: Typed) -> float:
        assert row["inner"] == Inner(1, ["x"])
        return float("note" in row)

    assert read_hints(predict).inputs == (Field("amount", Float()), INNER, Field("note", String(), True, None))
    assert call(predict, (1.0, {"a": 1, "b": ["x"]}, None)) == 0.0
    assert call(predict, (1.0, {"a": 1, "b": ["x"]}, "n")) == 1.0


def test_a_struct_is_the_row_under_its_encoded_names():
    def predict(row: Packed) -> float:
        return row.total_amount + row.inner.a

    assert [f.name for f in read_hints(predict).inputs] == ["totalAmount", "inner", "note"]
    assert call(predict, (1.0, {"a": 2, "b": []}, None)) == 3.0


def test_a_pydantic_model_is_the_row_and_runs_its_validators():
    def predict(row: Checked) -> float:
        assert row.inner == Inner(1, [])
        return row.amount

    assert read_hints(predict).inputs == (
        Field("amount", Float(), constraints=Constraints(ge=0)),
        INNER,
        Field("remark", String(), True, None, Constraints(max_length=3)),
    )
    assert call(predict, (1.0, {"a": 1, "b": []}, "abc")) == 1.5
    with pytest.raises(BadRow, match="amount: Value error, thirteen is unlucky"):
        call(predict, (13.0, {"a": 1, "b": []}, None))


def test_a_pydantic_dataclass_checks_too():
    @pydantic.dataclasses.dataclass
    class Row:
        n: t.Annotated[int, pydantic.AfterValidator(lambda n: n if n % 2 else pydantic_refuse(n))]
        m: int = pydantic.Field(default=3, le=9)

    def pydantic_refuse(n):
        raise ValueError(f"{n} is even")

    def predict(row: Row) -> int:
        return row.n

    assert read_hints(predict).inputs == (
        Field("n", Int()),
        Field("m", Int(), default=3, constraints=Constraints(le=9)),
    )
    assert call(predict, (1, 3)) == 1
    with pytest.raises(BadRow, match="n: Value error, 2 is even"):
        call(predict, (2, 3))


def test_pydantic_datetimes_say_whether_they_have_a_zone():
    class Row(pydantic.BaseModel):
        here: pydantic.NaiveDatetime
        there: pydantic.AwareDatetime

    def predict(row: Row) -> float:
        return 0.0

    assert [f.type.naive for f in read_hints(predict).inputs] == [True, False]


def test_a_value_error_of_post_init_is_the_rows_fault_and_other_errors_are_not():
    @dataclass
    class Row:
        n: int

        def __post_init__(self):
            if self.n == 1:
                raise ValueError("one is not enough")
            if self.n == 2:
                raise KeyError("two")

    def predict(row: Row) -> int:
        raise ValueError("the model's own")

    with pytest.raises(BadRow, match="one is not enough"):
        call(predict, (1,))
    with pytest.raises(KeyError):
        call(predict, (2,))
    with pytest.raises(ValueError, match="the model's own"):
        call(predict, (3,))


def test_a_struct_beside_another_parameter_is_nested():
    def predict(inner: Inner, n: int) -> float:
        return inner.a + n

    assert read_hints(predict).inputs == (INNER, Field("n", Int()))
    assert call(predict, ({"a": 1, "b": []}, 2)) == 3


def test_an_optional_struct_is_a_field():
    def predict(inner: Inner | None) -> float:
        return 0.0 if inner is None else inner.a

    assert read_hints(predict).inputs == (Field("inner", INNER.type, True),)
    assert call(predict, (None,)) == 0.0


def test_a_keyword_only_row():
    def predict(*, row: Inner) -> float:
        return row.a

    assert [f.name for f in read_hints(predict).inputs] == ["a", "b"]
    assert call(predict, (4, [])) == 4


def test_lists_of_structs():
    def predict(items: list[Inner], more: tuple[Inner | None, ...]) -> float:
        return sum(i.a for i in items) + len(more)

    assert call(predict, ([{"a": 1, "b": []}, {"a": 2, "b": []}], [None, {"a": 1, "b": []}])) == 5


def test_what_the_user_changes_is_its_own():
    def predict(values: list[int], rows: list[list[int]]) -> int:
        values.append(1)
        rows[0].append(1)
        return 0

    row = ([1], [[2]])
    call(predict, row)
    assert row == ([1], [[2]])


@pytest.mark.parametrize("owner", [Plain, Typed, Packed, Checked])
def test_results_have_a_column_per_field(owner):
    def predict(n: int):
        return None

    predict.__annotations__["return"] = owner
    binding = read_hints(predict)
    inner = Inner(1, ["x"])
    value, names = {
        Plain: (lambda: Plain(1.0, inner, rate=np.float32(3)), ["amount", "inner", "note", "doubled", "rate"]),
        Typed: (lambda: {"amount": 1.0, "inner": inner}, ["amount", "inner", "note"]),
        Packed: (lambda: Packed(total_amount=1.0, inner=inner), ["totalAmount", "inner", "note"]),
        Checked: (lambda: Checked(amount=0.5, inner=inner), ["amount", "inner", "remark"]),
    }[owner]
    assert [f.name for f in binding.outputs] == names
    assert all(f.default is MISSING for f in binding.outputs)
    assert binding.result(value())[:3] == (1.0, {"a": 1, "b": ["x"]}, None)


@pytest.mark.parametrize("value", [None, 1.0, {"a": 1, "b": []}, Typed])
def test_another_result_than_the_struct_is_refused(value):
    def predict(n: int) -> Inner:
        return value

    with pytest.raises(WrongResult, match=r"where its annotation says `Inner` \(a, b\)"):
        read_hints(predict).result(value)


def test_an_undeclared_key_in_a_result_is_refused():
    def predict(n: int) -> Typed:
        return {}  # type: ignore[typeddict-item]

    with pytest.raises(WrongResult, match="'scre', which it does not declare"):
        read_hints(predict).result({"amount": 1.0, "scre": 2})


def test_typeddicts_of_totality_and_inheritance():
    class Base(t.TypedDict, total=False):
        a: int
        b: t.Required[int]

    class Sub(Base):
        c: int

    def predict(row: Sub) -> float:
        return 0.0

    assert [(f.name, f.required) for f in read_hints(predict).inputs] == [("a", False), ("b", True), ("c", True)]


@pytest.mark.parametrize(
    ("factory", "words"),
    [
        (lambda: np.random.default_rng().random(), "another value each time"),
        (lambda: 1 / 0, "raises ZeroDivisionError"),
        (lambda: "text", "expected float64"),
    ],
)
def test_a_default_factory_must_give_one_fitting_value(factory, words):
    @dataclass
    class Row:
        x: float = field(default_factory=factory)

    def predict(row: Row) -> float:
        return 0.0

    with pytest.raises(ModelError, match=rf"field `Row\.x`.*{words}"):
        read_hints(predict)


def test_names_that_are_no_identifiers():
    odd = t.TypedDict("odd", {"a b": int, "{}": int, "class": str})

    def predict(row: odd) -> odd:  # type: ignore[valid-type]
        return row

    binding = read_hints(predict)
    row = (1, 2, "c")
    assert binding.result(binding.caller(predict)(row)) == row


def test_a_root_model_has_no_fields():
    class Roots(pydantic.RootModel[list[int]]):
        pass

    def predict(row: Roots) -> float:
        return 0.0

    with pytest.raises(ModelError, match="RootModel `Roots`"):
        read_hints(predict)


def test_arrays_and_enums_in_a_pydantic_model():
    class Kind(enum.Enum):
        A = "a"

    class Row(pydantic.BaseModel, arbitrary_types_allowed=True):
        vector: t.Annotated[npt.NDArray[np.float32], Shape(2)]
        kind: Kind
        kinds: list[Kind] = pydantic.Field(default=[Kind.A])

    def predict(row: Row) -> float:
        assert (row.kind, row.kinds) == (Kind.A, [Kind.A])
        return float(row.vector.sum())

    assert read_hints(predict).inputs[2].default == ["a"]
    assert call(predict, ([1.0, 2.0], "a", ["a"])) == 3.0
