"""The models that the tests of real time serve."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Literal

import msgspec
import numpy as np
import numpy.typing as npt

import twofold


@twofold.model(example={"number": 7})
def parity(number: int) -> str:
    if number == 13:
        raise twofold.BadRow("thirteen brings bad luck")
    if number == 66:
        raise ValueError("sixty-six is too much for me")
    return "Even" if number % 2 == 0 else "Odd"


@twofold.model
def long_answers(length: int) -> str:
    return "x" * length


calls: list[int] = []


@twofold.model(concurrency=1)
async def one_at_a_time(milliseconds: int) -> str:
    calls.append(milliseconds)
    await asyncio.sleep(milliseconds / 1000)
    return "done"


@twofold.model(concurrency=32)
async def many_at_once(milliseconds: int) -> str:
    await asyncio.sleep(milliseconds / 1000)
    return "done"


@twofold.model(threads=4)
def in_threads(milliseconds: int) -> str:
    time.sleep(milliseconds / 1000)
    return "done"


class Payment(msgspec.Struct):
    amount: Annotated[float, msgspec.Meta(ge=0)]
    currency: Literal["EUR", "USD"]
    items: list[str]
    note: str | None = None
    express: bool = False


class Verdict(msgspec.Struct):
    score: float
    label: str


@twofold.model(example={"amount": 12.5, "currency": "EUR", "items": ["book", "pen"], "note": None, "express": True})
def payment(row: Payment) -> Verdict:
    return Verdict(score=row.amount / 100, label=row.currency)


@twofold.model
def size(image: bytes) -> int:
    return len(image)


@twofold.model
def scaled_sum(vector: Annotated[npt.NDArray[np.float32], twofold.Shape(2)], scale: float) -> float:
    return float(vector.sum()) * scale


class Wine(msgspec.Struct):
    acid: float
    sugar: float
    year: int


class Taste(msgspec.Struct):
    score: float
    rank: int


@twofold.model(example={"acid": 0.5, "sugar": 2.0, "year": 1999})
def wine(row: Wine) -> Taste:
    if row.year == 1900:
        raise twofold.BadRow("too old")
    return Taste(score=row.acid * row.sugar, rank=row.year % 10)
