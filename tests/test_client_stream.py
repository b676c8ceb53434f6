"""client.stream and astream: the pieces of an answer, as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

import twofold
from tests.compare.servers import answer
from tests.scripted import GOOD, Scripted, busy
from twofold._client import Client
from twofold._errors import DeadlineExceeded, ModelFailed, WorkerLost
from twofold._wire.events import Event, EventReader


def events(*texts: str) -> bytes:
    """An answer in chunks, one for each text."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = "".join(f"{len(text.encode()):x}\r\n{text}\r\n" for text in texts)
    return (head + chunks + "0\r\n\r\n").encode()


def piece(text: str) -> str:
    return f"data: {msgspec.json.encode({'prediction': text}).decode()}\n\n"


END = 'event: end\ndata: {"pieces":2}\n\n'

Pieces = Callable[..., list[Any]]


@pytest.fixture(params=["thread", "loop"])
def pieces(request: pytest.FixtureRequest) -> Pieces:
    """All pieces of one answer."""

    def in_thread(client: Client, *args: Any) -> list[Any]:
        with client:
            return list(client.stream(*args))

    def in_loop(client: Client, *args: Any) -> list[Any]:
        async def main() -> list[Any]:
            async with client:
                return [found async for found in client.astream(*args)]

        return asyncio.run(main())

    return in_thread if request.param == "thread" else in_loop


def test_pieces_in_order(pieces: Pieces):
    sent = events(piece("O"), ": still here\n\n" + piece("d")[:9], piece("d")[9:], END)
    with Scripted([sent]) as server:
        assert pieces(twofold.connect(server.url), 7) == ["O", "d"]
        assert "\r\nAccept: text/event-stream" in server.heads[0]


def test_a_model_that_does_not_yield_answers_in_one_piece(pieces: Pieces):
    with Scripted([GOOD]) as server:
        assert pieces(twofold.connect(server.url), 7) == ["Odd"]


def test_a_busy_server_is_asked_again(pieces: Pieces):
    with Scripted([busy(), events(piece("Odd"), END)]) as server:
        assert pieces(twofold.connect(server.url), 7) == ["Odd"]
        assert len(server.heads) == 2
    with Scripted([busy()]) as server, pytest.raises(twofold.RequestFailed, match="too much to do"):
        pieces(twofold.connect(server.url, retries=1), 7)


def test_an_answer_that_breaks_off():
    problem = msgspec.json.encode({"code": "model_failed", "detail": "out of words", "errors": []}).decode()
    with Scripted([events(piece("O"), f"event: error\ndata: {problem}\n\n")]) as server:
        client = twofold.connect(server.url)
        coming = client.stream(7)
        assert next(coming) == "O"
        with pytest.raises(ModelFailed, match="out of words"):
            next(coming)
        client.close()


@pytest.mark.parametrize("sent", [events(piece("O")), events(piece("O"))[:-5] + b"Connection: close"])
def test_an_answer_without_an_end(sent: bytes, pieces: Pieces):
    with Scripted([sent, b""]) as server, pytest.raises((WorkerLost, DeadlineExceeded, twofold.RequestFailed)):
        pieces(twofold.connect(server.url, timeout_s=1), 7)


def test_a_refusal_before_the_first_piece(pieces: Pieces):
    body = msgspec.json.encode({"code": "bad_row", "detail": "no", "errors": []})
    with Scripted([answer(body, "422 Unprocessable Content")]) as server, pytest.raises(twofold.BadRow):
        pieces(twofold.connect(server.url), 7)


def test_who_stops_reading_ends_the_connection():
    with Scripted([events(piece("O"), piece("d"), END)]) as server:
        client = twofold.connect(server.url)
        coming = client.stream(7)
        assert next(coming) == "O"
        coming.close()  # type: ignore[attr-defined]
        assert client._connections.idle_here() == []
        assert list(client.stream(7)) == ["O", "d"]
        assert len(client._connections.idle_here()) == 1
        client.close()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_however_they_are_cut(size: int):
    text = b"data: a\r\n\r\n: comment\nevent: end\ndata: b\ndata:c\n\n\n\nid: 4\ndata\n\n"
    reader = EventReader()
    found = [event for at in range(0, len(text), size) for event in reader.feed(text[at : at + size])]
    assert found == [Event("", b"a"), Event("end", b"b\nc"), Event("", b"")]
