"""The models that the fuzzing scripts serve: between them, all types of fields, and all ways to answer. None fails."""

from __future__ import annotations

import datetime
import enum
from collections.abc import Iterator
from typing import Annotated, Literal, TypedDict

import msgspec
import numpy as np
from numpy.typing import NDArray

import twofold


@twofold.model(example={"number": 1, "share": 0.5, "text": "a", "tags": ["x"]})
def mixed(number: int, share: float | None, text: str, tags: list[str], extra: int = 5) -> str:  # noqa: ARG001
    return text[: 2 * extra]


class Currency(enum.Enum):
    EUR = "EUR"
    USD = "USD"


class Item(msgspec.Struct):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=20)]
    price: Annotated[float, msgspec.Meta(ge=0)]
    count: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1


class Payment(msgspec.Struct):
    currency: Currency
    kind: Literal["card", "cash"]
    at: datetime.datetime
    day: datetime.date
    items: list[Item]
    local: datetime.datetime | None = None
    note: str | None = None
    receipt: bytes | None = None


class Verdict(msgspec.Struct):
    total: float
    currency: Currency
    at: datetime.datetime
    day: datetime.date | None
    items: list[Item]
    receipt: bytes | None


@twofold.model(
    example={
        "currency": "EUR",
        "kind": "card",
        "at": "2024-05-06T07:08:09Z",
        "day": "2024-05-06",
        "items": [{"name": "pen", "price": 1.5}],
    }
)
def payment(row: Payment) -> Verdict:
    total = sum(item.price * item.count for item in row.items)
    return Verdict(total, row.currency, row.at, row.day, row.items, row.receipt)


@twofold.model(example={"acid": 0.5, "sugar": 2.0, "year": 1999})
def wine(acid: float, sugar: float, year: int) -> float:
    return acid + sugar + year


@twofold.model(example={"pixels": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]})
def brightness(
    pixels: Annotated[NDArray[np.float32], twofold.Shape(2, 3)],
) -> Annotated[NDArray[np.float32], twofold.Shape(2)]:
    found: NDArray[np.float32] = pixels[:, 0]
    return found


@twofold.model
def size(image: bytes) -> int:
    return len(image)


@twofold.model(example={"prompt": "a b c"})
def story(prompt: str, most: Annotated[int, msgspec.Meta(ge=0, le=20)] = 5) -> Iterator[str]:
    yield from prompt.split()[:most]


class Message(TypedDict):
    role: str
    content: str


@twofold.model(chat=True)
def chat(messages: list[Message], max_tokens: int = 10, stop: list[str] | None = None) -> Iterator[str | twofold.Usage]:
    words = messages[-1]["content"].split() if messages and not stop else []
    yield from words[: max(max_tokens, 0)]
    yield twofold.Usage(len(messages), len(words))


MODELS = ("mixed", "payment", "wine", "brightness", "size", "story", "chat")
