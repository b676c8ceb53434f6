"""Answers in pieces over HTTP: who gets events, what they say, and what ends the model's work."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import twofold
from tests.realtime.serving import connect, everything, post, serving
from twofold._realtime.counters import OUTCOMES
from twofold._realtime.http import events

CLOSED: list[str] = []
HOLD = threading.Event()


def words(text: str) -> Iterator[str | twofold.Usage]:
    made = 0
    try:
        for word in text.split():
            if word == "bad":
                raise twofold.BadRow("a bad word")
            if word == "hold":
                HOLD.wait(20)
            while word in ("forever", "flood"):
                made += 1
                yield "x" * 10_000 if word == "flood" else "again "
                if word == "forever":
                    time.sleep(0.002)
            yield f"{word} "
        yield twofold.Usage(1, 2, "length")
    finally:
        CLOSED.append(f"{text} {made}".strip())


@twofold.model(threads=2)
def in_threads(text: str) -> Iterator[str | twofold.Usage]:
    return words(text)


@twofold.model(concurrency=2)
async def waiting(text: str) -> AsyncIterator[str | twofold.Usage]:
    pieces = words(text)
    try:
        if text == "hold":
            while not HOLD.is_set():
                await asyncio.sleep(0.005)
        for piece in pieces:
            yield piece
            await asyncio.sleep(0.001 if text == "forever" else 0)
    finally:
        pieces.close()  # type: ignore[attr-defined]


@pytest.fixture(params=[in_threads, waiting], ids=["threads", "waits"])
def model(request) -> Any:
    CLOSED.clear()
    HOLD.clear()
    yield request.param
    HOLD.set()


ASKS = "Accept: text/event-stream"


def ask(port: int, body: str, *sent: str, path: str = "/predict") -> httpx.Response:
    with connect(port) as sock:
        sock.sendall(post(body, ASKS, "Connection: close", *sent, path=path))
        received = b""
        while piece := sock.recv(1 << 16):
            received += piece
    head, _, rest = received.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    if b"transfer-encoding: chunked" in head:
        rest = b"".join(re.findall(rb"[0-9a-f]+\r\n(.*?)\r\n(?=[0-9a-f]+\r\n)", rest + b"0\r\n", re.DOTALL))
    headers = dict(line.split(": ", 1) for line in lines[1:])
    return httpx.Response(int(lines[0].split()[1]), headers=headers, content=rest)


def until(true: Callable[[], Any], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_the_events(model) -> None:
    with serving(model) as served:
        for path in ("/predict", f"/models/{model.__name__}/predict"):
            answer = ask(served.port, '{"text": "a zwölf"}', "X-Request-Id: mine", path=path)
            assert answer.status_code == 200
            assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
            assert answer.headers["model-version"] == served.service.version
            assert answer.headers["x-request-id"] == "mine"
            assert answer.headers["cache-control"] == "no-cache"
            assert answer.text == (
                'data: {"prediction":"a "}\n\ndata: {"prediction":"zwölf "}\n\nevent: end\n'
                'data: {"pieces":2,"usage":{"prompt_tokens":1,"completion_tokens":2,"finish_reason":"length"}}\n\n'
            )


@pytest.mark.parametrize(
    "accept",
    [
        "",
        "Accept: */*",
        "Accept: text/event-stream;q=0, */*",
        "Accept: text/event-stream; q=0.000, */*",
        "Accept: text/event-stream;charset=utf-8;q=0, */*",
        'Accept: application/json;note="a,text/event-stream,b"',
    ],
)
def test_who_does_not_ask_gets_the_answer_joined(model, accept: str) -> None:
    with serving(model) as served, connect(served.port) as sock:
        sock.sendall(post('[{"text": "a b"}, {"text": "bad"}]', accept or "X-None: 1", "Connection: close"))
        assert (
            sock.makefile("rb")
            .read()
            .endswith(b'\r\n\r\n[{"prediction":"a b "},{"error":{"code":"bad_row","message":"a bad word"}}]')
        )


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        ('{"text": "bad"}', (), 422, "bad_row"),
        ('{"text": 1}', (), 422, "row_does_not_fit"),
        ('{"text"', (), 400, "not_json"),
        ('[{"text": "a"}]', (), 422, "row_does_not_fit"),
        ('{"text": "a"}', ("Content-Type: text/plain",), 415, "unsupported_media_type"),
        ('{"text": "hold"}', ("X-Deadline-Ms: 100",), 504, "deadline_exceeded"),
        ('{"text": "a"}', ("X-Deadline-Ms: soon",), 400, "bad_request"),
    ],
)
def test_what_goes_wrong_before_the_first_piece_is_an_answer(model, body, headers, status, code) -> None:
    with serving(model) as served:
        answer = ask(served.port, body, *headers)
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["request_id"] == answer.headers["x-request-id"]
        HOLD.set()


def test_what_goes_wrong_later_is_an_event(model) -> None:
    with serving(model) as served:
        answer = ask(served.port, '{"text": "a bad b"}', "X-Request-Id: mine")
        assert answer.status_code == 200
        first, second, rest = answer.text.split("\n\n")
        assert first == 'data: {"prediction":"a "}'
        assert not rest
        name, data = second.split("\n")
        assert name == "event: error"
        problem = msgspec.json.decode(data.removeprefix("data: "))
        assert (problem["status"], problem["code"], problem["detail"]) == (422, "bad_row", "a bad word")
        assert problem["request_id"] == "mine"


def test_one_too_many(model) -> None:
    with serving(model, max_streams=1) as served, connect(served.port) as sock:
        sock.sendall(post('{"text": "forever"}', ASKS))
        assert sock.recv(100)
        answer = ask(served.port, '{"text": "a"}')
        assert (answer.status_code, answer.json()["code"]) == (429, "overloaded")
        assert int(answer.headers["retry-after"]) >= 1
        assert "--max-streams" in answer.json()["detail"]


@pytest.mark.parametrize("way", ["reset", "close"])
def test_a_client_that_goes_away_ends_it(model, way: str) -> None:
    with serving(model) as served:
        sock = connect(served.port)
        sock.sendall(post('{"text": "forever"}', ASKS))
        assert sock.recv(100)
        if way == "reset":
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        until(lambda: CLOSED)
        assert ask(served.port, '{"text": "a"}').status_code == 200


def test_a_client_that_goes_away_before_the_first_piece(model) -> None:
    with serving(model) as served:
        sock = connect(served.port)
        sock.sendall(post('{"text": "hold forever"}' if model is in_threads else '{"text": "hold"}', ASKS))
        streams: Any = served.service._batcher.streams
        until(lambda: streams.started)
        sock.close()
        time.sleep(0.1)  # the server has seen it
        HOLD.set()
        until(lambda: not streams.open)


def test_a_client_that_only_ended_its_half_reads_on(model) -> None:
    with serving(model) as served, connect(served.port) as sock:
        sock.sendall(post('{"text": "hold a b"}' if model is in_threads else '{"text": "a b"}', ASKS))
        sock.shutdown(socket.SHUT_WR)
        time.sleep(0.1)
        HOLD.set()
        assert b"event: end" in sock.makefile("rb").read()


def test_a_client_that_ended_its_half_and_waits_for_a_place_is_told(model) -> None:
    with serving(model) as served, connect(served.port) as one, connect(served.port) as two:
        for sock in (one, two):
            sock.sendall(post('{"text": "forever"}', ASKS))
            assert sock.recv(100)
        with connect(served.port) as sock:
            sock.sendall(post('{"text": "a"}', ASKS))
            sock.shutdown(socket.SHUT_WR)
            said = sock.makefile("rb").read()
        assert said.startswith(b"HTTP/1.1 400 ")
        assert b"ended its half" in said


def test_a_slow_client_slows_the_model_down(model) -> None:
    with serving(model) as served:
        sock = connect(served.port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        sock.sendall(post('{"text": "flood"}', ASKS))
        time.sleep(0.3)
        sock.close()
        until(lambda: CLOSED)
        made = int(CLOSED[0].split()[1])
        assert made < 3000  # 30 MB; unhindered it makes many more


def test_a_client_that_reads_nothing_loses_the_connection(model) -> None:
    with serving(model, deadline_s=0.3) as served:
        sock = connect(served.port)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        sock.sendall(post('{"text": "flood"}', ASKS))
        gone = OUTCOMES.index("client_gone")
        until(lambda: served.service.counters.cells[gone])
        until(lambda: CLOSED)
        received = everything(sock)
        assert received.startswith(b"HTTP/1.1 200 OK")
        assert not received.endswith(b"0\r\n\r\n")
        sock.close()
        assert ask(served.port, '{"text": "a"}').status_code == 200
        assert served.service.counters.cells[gone] == 1


def test_a_stream_that_waits_for_a_place_has_no_status_yet(model, monkeypatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.05)
    with serving(model) as served, connect(served.port) as one, connect(served.port) as two:
        for sock in (one, two):
            sock.sendall(post('{"text": "forever"}', ASKS))
            assert sock.recv(100)
        answer = ask(served.port, '{"text": "a"}', "X-Deadline-Ms: 400")
        assert (answer.status_code, answer.json()["code"]) == (504, "deadline_exceeded")


def test_comments_while_nothing_comes(model, monkeypatch) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.05)
    with serving(model) as served, connect(served.port) as sock:
        sock.sendall(post('{"text": "hold"}', ASKS, "Connection: close"))
        time.sleep(0.3)
        HOLD.set()
        received = sock.makefile("rb").read()
    assert received.count(b": still here\n\n") >= 3
    assert b"event: end" in received


def test_a_drain_lets_streams_end(model) -> None:
    with serving(model) as served, connect(served.port) as sock:
        sock.sendall(post('{"text": "a hold b"}' if model is in_threads else '{"text": "hold"}', ASKS))
        streams: Any = served.service._batcher.streams
        until(lambda: streams.started)
        served.stop()
        time.sleep(0.2)
        HOLD.set()
        assert b"event: end" in sock.makefile("rb").read()


def test_a_stream_ends_with_the_drain(model) -> None:
    with serving(model, drain_s=0.4) as served, connect(served.port) as began, connect(served.port) as waits:
        began.sendall(post('{"text": "one forever"}', "Accept: text/event-stream"))
        waits.sendall(post('{"text": "hold"}', "Accept: text/event-stream"))
        time.sleep(0.2)
        served.stop()
        told = everything(began)
        assert b"event: error" in told
        assert b'"code":"not_ready"' in told
        assert told.endswith(b"\r\n0\r\n\r\n")
        assert everything(waits).startswith(b"HTTP/1.1 503 ")
        HOLD.set()


def test_model_processes_stream(tmp_path: Path) -> None:
    """A generator that blocks always runs in model processes; a client that leaves frees its process."""
    (tmp_path / "model.py").write_text(
        "import os\nimport time\nfrom collections.abc import Iterator\nfrom pathlib import Path\nimport twofold\n"
        "@twofold.model\n"
        "def reply(prompt: str) -> Iterator[str]:\n"
        "    try:\n"
        "        for word in prompt.split():\n"
        "            yield word\n"
        "            time.sleep(0.01)\n"
        "            if word == 'die': os._exit(3)\n"
        "    finally:\n"
        f"        Path({str(tmp_path)!r}, 'closed').write_text(prompt)\n"
    )
    with twofold.serve(tmp_path / "model.py", background=True, workers=1) as served:
        headers = {"Accept": "text/event-stream"}
        with httpx.Client(base_url=served.url, timeout=20) as client:
            with client.stream("POST", "/predict", json={"prompt": "a " * 10_000}, headers=headers) as answer:
                lines = answer.iter_lines()
                assert next(lines) == 'data: {"prediction":"a"}'
            until(lambda: (tmp_path / "closed").exists())
            answer = client.post("/predict", json={"prompt": "a b"}, headers=headers)
            assert [line for line in answer.text.split("\n") if line][-1] == 'data: {"pieces":2}'
            assert client.post("/predict", json={"prompt": "a b"}).json() == {"prediction": "ab"}
            answer = client.post("/predict", json={"prompt": "a die b"}, headers=headers)
            name, data = [line for line in answer.text.split("\n") if line][-2:]
            assert (name, msgspec.json.decode(data.removeprefix("data: "))["code"]) == ("event: error", "worker_lost")
            assert client.post("/predict", json={"prompt": "a b"}, headers=headers).text.endswith('{"pieces":2}\n\n')
        assert list(twofold.connect(served.url).stream("a b")) == ["a", "b"]
