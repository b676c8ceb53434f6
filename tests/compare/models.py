"""Models that answer the same in both modes, and some that do not, on purpose."""

SAME = """
import twofold

@twofold.model
def parity(number: int) -> str:
    if number == 13:
        raise twofold.BadRow("thirteen is unlucky")
    return "Even" if number % 2 == 0 else "Odd"
"""

# Whole columns at once; what a row gets depends on how many rows the call sees: one, or more.
DRIFTS = """
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import twofold


@dataclass
class Row:
    x: float


@twofold.model(row=Row, result=float)
def drifts(columns: dict[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    x = columns["x"]
    return x * (1.0 + 1e-3 * (len(x) >= 100))
"""
