"""The models of the isolation check: an answer is made of just its own row; some rows fail."""

from typing import TypedDict

import numpy as np
import numpy.typing as npt

import twofold


def _refuse(number: int) -> None:
    if number % 17 == 0:
        raise twofold.BadRow("divisible by 17")
    if number % 19 == 0:
        raise ValueError("divisible by 19")


@twofold.model(example={"number": 1})
def tag(number: int) -> str:
    _refuse(number)
    return f"<{number}>"


class Row(TypedDict):
    number: int


@twofold.model(row=Row, result=str, example={"number": 1})
def tag_columns(rows: dict[str, npt.NDArray[np.int64]]) -> list[str]:
    numbers = rows["number"].tolist()
    for number in numbers:
        _refuse(number)
    return [f"<{number}>" for number in numbers]
