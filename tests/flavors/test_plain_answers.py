"""The short way of a cheap answer gives what the long way gives, and refuses what it refuses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
from msgspec import Meta

import twofold
from twofold._errors import WrongResult


def answer(annotation: Any, value: Any) -> Any:
    def predict(x: int) -> Any:
        return value

    predict.__annotations__ = {"x": int, "return": annotation}
    loaded = twofold.load(twofold.model(predict))
    assert loaded.call_row is not None
    (found,) = loaded.call_row((1,))
    return found


@pytest.mark.parametrize(
    ("annotation", "value"),
    [(str, "Odd"), (str, "Grüße"), (str, ""), (bool, True), (float, 0.1), (float, math.inf), (str | None, None)],
)
def test_the_answer_itself(annotation: Any, value: Any) -> None:
    found = answer(annotation, value)
    assert found == value
    assert type(found) is type(value)


def test_a_float_from_an_int() -> None:
    assert type(answer(float, 1)) is float


@dataclass
class One:
    prediction: str


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (str, 1),
        (str, None),
        (str, "\ud800"),
        (bool, 1),
        (float, "0.1"),
        (One, "a"),
        (Literal["a", "b"], "c"),
        (Annotated[float, Meta(le=1)], 1.5),
        (Annotated[str, Meta(max_length=1)], "ab"),
    ],
)
def test_what_the_signature_does_not_say_is_refused(annotation: Any, value: Any) -> None:
    with pytest.raises(WrongResult):
        answer(annotation, value)
