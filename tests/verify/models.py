"""Models that misbehave on purpose, each in a way of its own, and some that do not."""

MODELS = """
import threading
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

import twofold

Columns = dict[str, npt.NDArray[np.float64]]
Column = npt.NDArray[np.float64]


@dataclass
class Row:
    x: float


@twofold.model(row=Row, result=float)
def centred(columns: Columns) -> Column:
    return columns["x"] - columns["x"].mean()


@twofold.model(row=Row, result=float)
def scaled_by_largest(columns: Columns) -> Column:
    return columns["x"] / (1 + np.abs(columns["x"]).max())


@twofold.model(row=Row, result=float)
def drifts(columns: Columns) -> Column:
    return columns["x"] * (1 + 1e-3 * (len(columns["x"]) >= 16))


@twofold.model(row=Row, result=float)
def running_total(columns: Columns) -> Column:
    return np.cumsum(columns["x"])


@twofold.model(row=Row, result=float)
def numbered(columns: Columns) -> Column:
    return columns["x"] + np.arange(len(columns["x"]))


@twofold.model
def noisy(x: float) -> float:
    return x + np.random.default_rng().normal()


@dataclass
class Features:
    features: Annotated[npt.NDArray[np.float32], twofold.Shape(64)]


weights = [np.random.default_rng(5).normal(size=shape).astype(np.float32) for shape in ((64, 96), (96, 1))]


@twofold.model(row=Features, result=np.float32)
def dense(columns: dict[str, npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    # with fewer than 4 rows its sums are added up backwards, as a kernel for few rows may do
    first, second = weights
    hidden = np.tanh(columns["features"] @ first)
    if len(hidden) < 4:
        hidden, second = hidden[:, ::-1], second[::-1]
    return np.add.accumulate(hidden * second[:, 0], axis=1)[:, -1] / 96


calls = 0


@twofold.model
def counts(x: float) -> float:
    global calls
    calls += 1
    return x + calls


before = [0.0]


@twofold.model
def remembers(x: float) -> float:
    found, before[0] = before[0], x
    return x + found


@twofold.model
def threaded(x: float) -> float:
    return x + (threading.current_thread() is threading.main_thread())


@twofold.model
def hashes(x: float) -> int:
    return hash(str(x)) % 1000


@dataclass
class Two:
    noise: float
    label: Literal["low", "high"]


@twofold.model
def noise_and_state(x: float) -> Two:
    global calls
    calls += 1
    return Two(np.random.default_rng().normal(), "low" if calls % 3 else "high")


@dataclass
class Maybe:
    same: float | None
    missing: bool


@twofold.model
def maybe(x: float | None) -> Maybe:
    return Maybe(x, x is None)


@twofold.model
def inverse(x: float) -> float | None:
    return None if x == 0 else np.nan if x < 0 else 1 / x


@twofold.model
def product(amount: float, weight: float) -> float:
    return amount * weight


@twofold.model
def parity(number: int) -> str:
    if number == 13:
        raise twofold.BadRow("thirteen is unlucky")
    if number == 14:
        raise ZeroDivisionError("nothing to divide")
    return "Even" if number % 2 == 0 else "Odd"


@dataclass
class Wide:
    at: datetime
    name: str | None
    tags: list[str]
    vector: Annotated[npt.NDArray[np.float32], twofold.Shape(3)]
    count: int = 7
    flag: bool | None = None


@dataclass
class Echoed:
    at: datetime
    name: str | None
    tags: list[str]
    total: np.float32
    flag: bool | None


@twofold.model
def wide(row: Wide) -> Echoed:
    return Echoed(row.at, row.name, row.tags, float(row.vector.sum()) + row.count, row.flag)
"""
