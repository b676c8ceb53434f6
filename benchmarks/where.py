"""The even/odd model on whole columns."""

from dataclasses import dataclass

import numpy as np

import twofold


@dataclass
class Row:
    number: int


def labels(numbers: np.ndarray) -> np.ndarray:
    return np.where(numbers % 2 == 0, "Even", "Odd")


@twofold.model(row=Row, result=str)
def parity(rows: dict[str, np.ndarray]) -> np.ndarray:
    return labels(rows["number"])
