"""Marking models: functions and classes, what a mark may say, and what cannot be one."""

from __future__ import annotations

import subprocess
import sys
import typing
from typing import Any

import pytest

import twofold
from tests.model.loading import PARITY, answer, message
from twofold._errors import ModelError, UsageError
from twofold._model import load


def test_the_decorator_returns_its_target_unchanged() -> None:
    def parity(number: int) -> str:
        return "Odd"

    class Parity:
        def predict(self, number: int) -> str:
            return "Odd"

    for target in (parity, Parity):
        assert twofold.model(target) is target
        assert twofold.model(example={"number": 7})(target) is target
    assert parity(7) == "Odd"
    assert Parity().predict(7) == "Odd"


def test_nothing_is_read_when_a_model_is_marked() -> None:
    """A light parent, and a file that only holds models, pay for no library."""
    program = (
        "import sys, twofold\n"
        "@twofold.model(row=3, result='nonsense', example=4)\n"
        "def f(a: 'Undefined'): ...\n"
        "print(*sorted({'numpy', 'pyarrow', 'msgspec', 'asyncio', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_cannot_be_marked() -> None:
    with pytest.raises(UsageError, match="marks a function or a class"):
        twofold.model(len)
    with pytest.raises(ModelError, match="<lambda>' is not a model: write @twofold"):
        load(lambda x: x)


def test_a_subclass_is_not_a_model_by_itself() -> None:
    @twofold.model
    class Base:
        def predict(self, x: int) -> int:
            return x

    class Derived(Base):
        pass

    assert answer(load(Base), x=1) == 1
    with pytest.raises(ModelError, match="'Derived' is not a model"):
        load(Derived)


def test_a_loaded_function_still_is_that_function(write: Any) -> None:
    model = load(write("parity.py", PARITY))
    assert model(7) == "Odd"
    assert model(number=8) == "Even"
    assert (model.name, model.form, model.is_async, model.drops_gil, model.threads) == (
        "parity", "rows", False, False, None,
    )  # fmt: skip
    assert answer(model, number=7) == "Odd"
    assert load(model) is model


def test_a_class_loads_once(write: Any) -> None:
    file = write(
        "counted.py",
        """
import twofold

loads = []

@twofold.model
class Counted:
    def __init__(self, start: int = 1) -> None:
        loads.append(start)
        self.start = start

    def predict(self, x: int) -> int:
        return self.start + x

    @staticmethod
    def other(): ...
""",
    )
    model = load(file)
    assert model(x=2) == 3
    assert answer(load(file), x=2) == 3
    module = sys.modules["counted"]
    assert module.loads == [1]
    assert answer(load(module.Counted, settings={"start": 5}), x=2) == 7
    assert module.loads == [1, 5]


@pytest.mark.parametrize("kind", ["staticmethod", "classmethod"])
def test_predict_of_another_kind(kind: str) -> None:
    namespace: dict[str, Any] = {"twofold": twofold}
    first = "" if kind == "staticmethod" else "cls, "
    exec(
        f"@twofold.model\nclass M:\n    @{kind}\n    def predict({first}x: int) -> int:\n        return x + 1",
        namespace,
    )
    assert answer(load(namespace["M"]), x=1) == 2


def test_an_async_class() -> None:
    @twofold.model(concurrency=3)
    class Waits:
        async def predict(self, x: int) -> int:
            return x + 1

    model = load(Waits)
    assert (model.is_async, model.concurrency) == (True, 3)
    assert answer(model, x=1) == 2

    @twofold.model
    async def plain(x: int) -> int:
        return x

    assert load(plain).concurrency == 64


def test_a_class_without_predict() -> None:
    @twofold.model
    class Empty:
        pass

    assert "The class Empty has no method predict" in message(Empty)


def test_options_of_the_mark_that_have_no_meaning() -> None:
    def rows(x: int) -> int:
        return x

    async def waits(x: int) -> int:
        return x

    class Row(typing.TypedDict):
        x: int

    def columns(c: dict[str, typing.Any]) -> typing.Any:
        return c["x"]

    import numpy as np

    columns.__annotations__ = {"c": dict[str, np.ndarray], "return": np.ndarray}
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (rows, {"concurrency": 2}, "concurrency= is for async def"),
        (waits, {"threads": 2}, "threads= is for a function that blocks"),
        (rows, {"threads": 0}, "at least 1"),
        (rows, {"threads": True}, "at least 1"),
        (waits, {"concurrency": 1.5}, "at least 1"),
        (columns, {"row": Row, "result": int, "threads": 2}, "a model on whole columns is called once for many rows"),
    ]
    for function, options, said in cases:
        assert said in message(twofold.model(**options)(function))


def test_an_example_is_a_row() -> None:
    @twofold.model(example={"x": 3})
    def good(x: int, y: float = 0.5) -> int:
        return x

    assert load(good).example == (3, 0.5)

    @twofold.model(example={"x": "three"})
    def bad(x: int) -> int:
        return x

    assert "example= of bad is not a row of it" in message(bad)
