"""The OpenAI-compatible routes, by bytes: objects, chunks, errors. The official client is in the tests of examples."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, TypedDict

import httpx
import msgspec
import pytest

import twofold
from tests.realtime.models import parity
from tests.realtime.serving import connect, post, serving
from twofold._realtime.counters import OUTCOMES


class Message(TypedDict):
    role: str
    content: str


def _reply(messages: list[Message], max_tokens: int, stop: list[str] | None) -> Iterator[str | twofold.Usage]:
    words = messages[-1]["content"].split()
    if words == ["sleep"]:
        time.sleep(0.5)
    for word in words[:max_tokens]:
        if word == "bad":
            raise twofold.BadRow("a bad word")
        if word == "broken":
            raise ValueError("broken")
        yield f"{word} "
    if stop:
        yield f"{stop}"
    yield twofold.Usage(len(messages), len(words), "length" if len(words) > max_tokens else "stop")


@twofold.model(chat=True, threads=4)
def pieces(
    messages: list[Message], max_tokens: int = 100, stop: list[str] | None = None
) -> Iterator[str | twofold.Usage]:
    yield from _reply(messages, max_tokens, stop)


@twofold.model(chat=True)
async def waits(
    messages: list[Message], max_tokens: int = 100, stop: list[str] | None = None
) -> AsyncIterator[str | twofold.Usage]:
    for piece in _reply(messages, max_tokens, stop):
        yield piece
        if piece == "forever ":
            await asyncio.sleep(60)


@twofold.model(chat=True, threads=4)
def at_once(messages: list[Message], max_tokens: int = 100, stop: list[str] | None = None) -> str:
    return "".join(piece for piece in _reply(messages, max_tokens, stop) if isinstance(piece, str))


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(pieces, waits, at_once, parity) as served:
        yield f"http://127.0.0.1:{served.port}"


def ask(url: str, content: Any = "a b", **more: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": content}], **more}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=20)


def chunks(answer: httpx.Response) -> list[Any]:
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    *events, done, rest = answer.text.split("\n\n")
    assert (done, rest) == ("data: [DONE]", "")
    return [msgspec.json.decode(event.removeprefix("data: ")) for event in events]


@pytest.mark.parametrize("model", ["pieces", "waits", "at_once"])
def test_a_completion(url: str, model: str) -> None:
    answer = ask(url, "a b c", model=model, max_tokens=2)
    assert answer.status_code == 200
    found = answer.json()
    assert found["id"].startswith("chatcmpl-")
    assert (found["object"], found["model"]) == ("chat.completion", model)
    assert abs(found["created"] - time.time()) < 60
    counts = model != "at_once"
    assert found["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "a b ", "refusal": None},
            "logprobs": None,
            "finish_reason": "length" if counts else "stop",
        }
    ]
    assert found["usage"] == ({"prompt_tokens": 1, "completion_tokens": 3, "total_tokens": 4} if counts else None)


@pytest.mark.parametrize("model", ["pieces", "waits", "at_once"])
@pytest.mark.parametrize("include_usage", [False, True])
def test_chunks(url: str, model: str, include_usage: bool) -> None:
    options = {"stream_options": {"include_usage": True}} if include_usage else {}
    found = chunks(ask(url, "a b", model=model, stream=True, **options))
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in found}) == 1
    assert found[0]["object"] == "chat.completion.chunk"
    if include_usage:
        last = found.pop()
        assert last["choices"] == []
        counted = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        assert last["usage"] == (None if model == "at_once" else counted)
        assert all(c["usage"] is None for c in found)
    else:
        assert all("usage" not in c for c in found)
    (choices,) = zip(*(c["choices"] for c in found), strict=True)
    texts = [{"content": "a b "}] if model == "at_once" else [{"content": "a "}, {"content": "b "}]
    assert [c["delta"] for c in choices] == [{"role": "assistant", "content": ""}, *texts, {}]
    assert [c["finish_reason"] for c in choices] == [*[None] * (len(choices) - 1), "stop"]


def test_an_empty_answer_has_a_role_and_an_end(url: str) -> None:
    found = chunks(ask(url, "", model="pieces", stream=True))
    assert [c["choices"][0]["delta"] for c in found] == [{"role": "assistant", "content": ""}, {}]


@pytest.mark.parametrize(
    ("more", "answer"),
    [
        ({}, "a b "),  # the only chat model, or the first
        ({"max_completion_tokens": 1}, "a "),
        ({"stop": "x"}, "a b ['x']"),
        ({"stop": ["x", "y"]}, "a b ['x', 'y']"),
        ({"max_tokens": None, "stop": None}, "a b "),
        ({"temperature": 0.3, "user": "me", "n": 1, "tools": [], "response_format": {"type": "text"}}, "a b "),
        ({"model": "at_once", "seed": 1, "nonsense": {}}, "a b "),
    ],
)
def test_parameters(url: str, more: dict[str, Any], answer: str) -> None:
    assert ask(url, **more).json()["choices"][0]["message"]["content"] == answer


def test_messages(url: str) -> None:
    parts = [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}]
    assert ask(url, parts, model="pieces").json()["choices"][0]["message"]["content"] == "a b "
    body = {
        "messages": [
            {"role": "system", "content": "Be brief.", "name": "x"},
            {"role": "assistant", "content": None},
            {"role": "user", "content": "c"},
        ]
    }
    answer = httpx.post(f"{url}/v1/chat/completions", json=body)
    assert answer.json()["usage"]["prompt_tokens"] == 3


@pytest.mark.parametrize(
    ("more", "status", "kind", "code", "param"),
    [
        ({"model": "gpt"}, 404, "invalid_request_error", "model_not_found", None),
        ({"model": "parity"}, 404, "invalid_request_error", "model_not_found", None),
        ({"n": 2}, 400, "invalid_request_error", "row_does_not_fit", "n"),
        ({"tools": [{"type": "function"}]}, 400, "invalid_request_error", "row_does_not_fit", "tools"),
        ({"max_tokens": "x"}, 400, "invalid_request_error", "row_does_not_fit", "max_tokens"),
        ({"messages": []}, 400, "invalid_request_error", "row_does_not_fit", "messages"),
        ({"messages": None}, 400, "invalid_request_error", "row_does_not_fit", "messages"),
        ({"messages": ["a"]}, 400, "invalid_request_error", "row_does_not_fit", "messages.0"),
        ({"messages": [{"role": "user"}]}, 200, "", "", None),
        ({"messages": [{"content": "a"}]}, 400, "invalid_request_error", "row_does_not_fit", "messages.0.role"),
        ({"stream": "yes"}, 400, "invalid_request_error", "row_does_not_fit", "stream"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            400,
            "invalid_request_error",
            "row_does_not_fit",
            "messages.0.content",
        ),
        ({"messages": [{"role": "user", "content": "bad"}]}, 400, "invalid_request_error", "bad_row", None),
        ({"messages": [{"role": "user", "content": "broken"}]}, 500, "server_error", "model_failed", None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_errors(url: str, more: dict[str, Any], status: int, kind: str, code: str, param: str | None, stream) -> None:
    answer = ask(url, **{"stream": stream, **more})
    assert answer.status_code == status
    if status != 200:
        error = answer.json()["error"]
        assert sorted(error) == ["code", "message", "param", "type"]
        assert (error["type"], error["code"], error["param"]) == (kind, code, param)
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 10_000, b"[]", b"\xff", b'{"\xff": 1}', b'{"model": "\xc3"}'])
def test_bodies_that_are_none(url: str, body: bytes) -> None:
    answer = httpx.post(f"{url}/v1/chat/completions", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


def test_an_answer_that_breaks_off(url: str) -> None:
    answer = ask(url, "a broken b", model="pieces", stream=True)
    assert answer.status_code == 200
    *_, last, rest = answer.text.split("\n\n")
    assert not rest
    assert msgspec.json.decode(last.removeprefix("data: "))["error"] == {
        "message": "ValueError: broken (test_openai.py:35)",
        "type": "server_error",
        "param": None,
        "code": "model_failed",
    }


def test_the_deadline_is_that_of_the_whole_answer_where_it_is_not_streamed(url: str) -> None:
    body: dict[str, Any] = {"messages": [{"role": "user", "content": "sleep"}]}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"X-Deadline-Ms": "100"})
    assert answer.status_code == 504
    assert answer.json()["error"]["code"] == "deadline_exceeded"
    body = {"messages": [{"role": "user", "content": "a forever"}], "model": "waits"}
    answer = httpx.post(f"{url}/v1/chat/completions", json=body, headers={"X-Deadline-Ms": "100"})
    assert answer.status_code == 504
    assert answer.json()["error"]["message"] == "the deadline passed before the answer was complete"


def test_requests_count_as_those_of_the_model_that_they_name() -> None:
    with serving(pieces, waits, parity) as served:
        url = f"http://127.0.0.1:{served.port}/v1/chat/completions"

        def counted(name: str, code: str) -> float:
            return served.catalog[name].counters.cells[OUTCOMES.index(code)]

        assert httpx.post(url, content="[").status_code == 400
        assert counted("pieces", "not_json") == 1
        assert httpx.post(url, json={"model": "waits"}).status_code == 400
        assert counted("waits", "row_does_not_fit") == 1
        assert httpx.post(url, json={"model": "gpt"}).status_code == 404
        assert counted("pieces", "not_found") == 1
        body = b'{"model": "waits", "messages": [{"role": "user", "content": "forever"}]}'
        sock = connect(served.port)
        sock.sendall(post(body, path="/v1/chat/completions"))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        time.sleep(0.1)
        sock.close()
        until = time.monotonic() + 10
        while not counted("waits", "client_gone"):
            assert time.monotonic() < until
            time.sleep(0.01)
        assert not counted("pieces", "client_gone")


def test_the_models(url: str) -> None:
    listed = httpx.get(f"{url}/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["pieces", "waits", "at_once"]
    assert httpx.get(f"{url}/v1/models/waits").json() == listed["data"][1]
    assert sorted(listed["data"][0]) == ["created", "id", "object", "owned_by"]
    assert httpx.get(f"{url}/v1/models/gpt").json()["error"]["code"] == "model_not_found"


def test_what_is_not_there_is_told_in_the_same_form(url: str) -> None:
    answer = httpx.post(f"{url}/v1/embeddings", json={})
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"
    assert "GET /v1/models/{name}, " in answer.json()["error"]["message"]
    assert "GET /v2," in answer.json()["error"]["message"]
    answer = httpx.get(f"{url}/v1/chat/completions")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert answer.json()["error"]["code"] == "method_not_allowed"


def test_a_server_without_chat_models_has_no_such_routes() -> None:
    with serving(parity) as served:
        assert httpx.get(f"http://127.0.0.1:{served.port}/v1/models").status_code == 404


def test_the_description_names_them(url: str) -> None:
    paths = httpx.get(f"{url}/openapi.json").json()["paths"]
    asked = paths["/v1/chat/completions"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert asked["properties"]["model"]["enum"] == ["pieces", "waits", "at_once", None]
    streams = [
        "text/event-stream" in paths[f"/models/{name}/predict"]["post"]["responses"]["200"]["content"]
        for name in ("pieces", "at_once")
    ]
    assert streams == [True, False]


def test_a_chat_model_is_a_model(url: str) -> None:
    row = {"messages": [{"role": "user", "content": "a b"}]}
    assert httpx.post(f"{url}/models/waits/predict", json=row).json() == {"prediction": "a b "}
    events = httpx.post(f"{url}/predict", json=row, headers={"Accept": "text/event-stream"})
    assert events.text.startswith('data: {"prediction":"a "}\n\n')
