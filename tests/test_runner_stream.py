"""Models that yield: the pieces one by one, joined in batch, closed wherever they are left."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import aclosing
from typing import Any, TypedDict

import pytest

import twofold
from twofold._columns import Batch
from twofold._errors import ModelError
from twofold._model import Model, load
from twofold._runner import Result, Runner, StreamBroke

CLOSED: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_closed() -> None:
    CLOSED.clear()


@twofold.model
def words(text: str) -> Iterator[str | twofold.Usage]:
    try:
        for word in text.split():
            if word == "bad":
                raise twofold.BadRow("a bad word")
            yield 1 if word == "one" else f"{word} "  # type: ignore[misc]
        yield twofold.Usage(1, 2)
    finally:
        CLOSED.append("words")


@twofold.model
async def waiting(text: str) -> AsyncIterator[str]:
    try:
        for word in text.split():
            await asyncio.sleep(0)
            if word == "bad":
                raise twofold.BadRow("a bad word")
            yield 1 if word == "one" else f"{word} "  # type: ignore[misc]
    finally:
        CLOSED.append("waiting")


@twofold.model
def handed_on(text: str) -> Iterable[str]:
    return (f"{word} " for word in text.split())


@twofold.model(threads=2)
def threads(text: str) -> Generator[str, None, None]:
    yield from text


@twofold.model
class Grown:
    def __init__(self) -> None:
        self.end = "!"

    def predict(self, text: str) -> Iterator[str]:
        yield text
        yield self.end


@twofold.model
def waiting_handed_on(text: str) -> AsyncIterable[str]:
    return waiting(text)


async def generated(text: str) -> AsyncGenerator[str, None]:
    yield text


def ask(model: Model, *texts: str) -> Result:
    return Runner(model).run(Batch.from_rows(model.signature.input_schema, [(text,) for text in texts]))


def streamed(model: Model, text: str) -> list[Any]:
    async def collected() -> list[Any]:
        return [piece async for piece in Runner(model).stream_async((text,))]

    return asyncio.run(collected()) if model.is_async else list(Runner(model).stream((text,)))


@pytest.mark.parametrize(
    ("function", "answer", "pieces"),
    [
        (words, "a b ", ["a ", "b ", twofold.Usage(1, 2)]),
        (waiting, "a b ", ["a ", "b "]),
        (handed_on, "a b ", ["a ", "b "]),
        (threads, "a b", ["a", " ", "b"]),
        (Grown, "a b!", ["a b", "!"]),
        (waiting_handed_on, "a b ", ["a ", "b "]),
        (twofold.model(generated), "a b", ["a b"]),
    ],
)
def test_the_pieces_and_their_sum(function: Callable[..., Any], answer: str, pieces: list[Any]) -> None:
    model = load(function)
    assert model.streams
    assert repr(model.signature) == "Signature((text: string) -> (prediction: string))"
    assert streamed(model, "a b") == pieces
    result = ask(model, "a b", "")
    assert result.outputs.rows()[0] == (answer,)
    assert not result.failures


@pytest.mark.parametrize("function", [words, waiting], ids=["blocks", "waits"])
def test_a_failing_row_fails_alone(function: Callable[..., Any]) -> None:
    result = ask(load(function), "a", "a bad b", "a one", "b")
    assert result.outputs.rows() == [("a ",), ("b ",)]
    assert {at: failure.code for at, failure in result.failures.items()} == {1: "bad_row", 2: "model_failed"}
    assert result.failures[2].message.startswith("the model yielded 1, and a piece of its answer is a str.")


@pytest.mark.parametrize("function", [words, waiting], ids=["blocks", "waits"])
def test_a_stream_that_breaks_says_why(function: Callable[..., Any]) -> None:
    with pytest.raises(StreamBroke, match="a bad word") as caught:
        streamed(load(function), "a bad b")
    assert caught.value.failure.code == "bad_row"
    assert [function.__name__] == CLOSED


def test_a_stream_that_is_left_is_closed() -> None:
    pieces = Runner(load(words)).stream(("a b",))
    assert next(pieces) == "a "
    assert not CLOSED
    pieces.close()
    assert CLOSED == ["words"]


def test_a_stream_that_waits_is_closed_when_left_and_when_cancelled() -> None:
    async def leave() -> None:
        async with aclosing(Runner(load(waiting)).stream_async(("a b",))) as pieces:
            await anext(pieces)
        assert CLOSED == ["waiting"]

    async def cancel() -> None:
        async def read() -> None:
            async with aclosing(Runner(load(waiting)).stream_async(("a " * 10_000,))) as pieces:
                async for _ in pieces:
                    pass

        reading = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading

    asyncio.run(leave())
    asyncio.run(cancel())
    assert CLOSED == ["waiting", "waiting"]


def returns_text(text: str) -> Iterator[str]:
    return text  # type: ignore[return-value]


def returns_number(text: str) -> Iterator[str]:
    return 1  # type: ignore[return-value]


@pytest.mark.parametrize("function", [returns_text, returns_number])
def test_an_answer_without_pieces(function: Callable[..., Any]) -> None:
    (failure,) = ask(load(twofold.model(function)), "abc").failures.values()
    assert failure.code == "model_failed"
    assert "gives no pieces" in failure.message


def test_a_piece_that_is_not_utf_8() -> None:
    def broken(text: str) -> Iterator[str]:
        yield "\ud800"

    with pytest.raises(StreamBroke, match="does not fit its signature"):
        streamed(load(twofold.model(broken)), "a")


def numbers(text: str) -> Iterator[int]:
    yield 1


def bare(text: str) -> Iterator:
    yield "a"


def usages(text: str) -> Iterator[twofold.Usage]:
    yield twofold.Usage(1, 1)


async def no_yield(text: str) -> AsyncIterator[str]:
    return waiting(text)


async def wrong_kind(text: str) -> Iterator[str]:  # type: ignore[misc]
    yield "a"


def returns(text: str) -> str:  # type: ignore[misc]
    yield "a"


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (numbers, r"is Iterator\[int\].*write Iterator\[str\]"),
        (bare, r"write Iterator\[str\]"),
        (usages, r"write Iterator\[str\]"),
        (no_yield, "has no `yield`, and is `async def`"),
        (wrong_kind, r"annotate it `-> AsyncIterator\[str\]`"),
        (returns, r"annotate it `-> Iterator\[str\]`"),
    ],
)
def test_what_is_no_model_that_yields(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load(twofold.model(function))


class Message(TypedDict):
    role: str
    content: str


def chat(messages: list[Message], temperature: float = 0.0) -> str:
    return messages[-1]["content"]


def chat_pieces(messages: list[Message], seed: int | None) -> Iterator[str]:
    yield messages[-1]["content"]


def no_messages(text: str) -> str:
    return text


def messages_of_text(messages: list[str]) -> str:
    return messages[-1]


def no_text(messages: list[Message]) -> int:
    return len(messages)


def asks_for_more(messages: list[Message], mood: str) -> str:
    return mood


@pytest.mark.parametrize("function", [chat, chat_pieces])
def test_a_chat_model(function: Callable[..., Any]) -> None:
    assert load(twofold.model(chat=True)(function)).chat


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (no_messages, "no `messages` that are messages"),
        (messages_of_text, "no `messages` that are messages"),
        (no_text, "does not answer with a str"),
        (asks_for_more, "'mood' has no default"),
    ],
)
def test_what_is_no_chat_model(function: Callable[..., Any], words: str) -> None:
    with pytest.raises(ModelError, match=words):
        load(twofold.model(chat=True)(function))
