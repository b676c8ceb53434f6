"""The OpenAI-compatible routes of the models that are declared chat=True: chat completions and the list of models.

`messages` and every other input of the model are taken from the request's body by their names; what the model has no
input for is ignored, but where it would change what an answer is (`n` above 1, tools, another response format): that is
refused. Facts that clients rely on: the object of an error has all four keys, in a stream it is an event; the first
chunk has the role, the last one the finish_reason; then, if asked for, a chunk with the usage; then [DONE].
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Any, Final

from starlette.requests import Request
from starlette.routing import Route

from twofold._errors import RowFailure, shorten
from twofold._realtime.catalog import Catalog
from twofold._realtime.http.bodies import read_content
from twofold._realtime.http.chat_request import ChatRequest
from twofold._realtime.http.events import EventsResponse, event
from twofold._realtime.http.problems import (
    CONTENT_TYPE,
    PROBLEMS,
    Answer,
    Client,
    Headers,
    Refusal,
    code_of,
    json_bytes,
)
from twofold._realtime.http.responses import ASKED, AnswerResponse, deadline_s, json_answer
from twofold._realtime.http.waiting import answered
from twofold._realtime.limits import Refused
from twofold._realtime.service import Service
from twofold._realtime.streams import AnyTicket
from twofold._usage import Piece, Usage

__all__ = ["refusal_form", "routes"]

DONE: Final = b"data: [DONE]\n\n"
CREATED: Final = int(time.time())
OWNER: Final = "twofold"
LATE: Final = RowFailure("deadline_exceeded", "the deadline passed before the answer was complete")

Response = AnswerResponse | EventsResponse


def routes(catalog: Catalog) -> list[Route]:
    """None where no model answers chats."""
    chats = {name: service for name, service in catalog.items() if service.chat}
    if not chats:
        return []
    default = next(iter(chats.values()))

    async def complete(request: Request) -> Response:
        request.scope[ASKED] = default  # what is refused before the model is known counts as one of its requests
        within_s = deadline_s(request)
        body = await read_content(request, default.limits.max_body_bytes)
        asked = ChatRequest(body)
        service = _named(asked.model, chats) if asked.model is not None else default
        request.scope[ASKED] = service
        row = asked.row(service.signature)
        if asked.stream:
            return EventsResponse(service, row, _ChunkWords(service, asked.include_usage), within_s)
        return AnswerResponse(await _completion(service, request, row, within_s), service)

    async def models(_: Request) -> Response:
        return AnswerResponse(json_answer({"object": "list", "data": [_model(name) for name in chats]}), default)

    async def model(request: Request) -> Response:
        service = _named(str(request.path_params["name"]), chats)
        return AnswerResponse(json_answer(_model(service.name)), service)

    return [
        Route("/v1/chat/completions", complete, methods=["POST"]),
        Route("/v1/models", models),
        Route("/v1/models/{name:path}", model),
    ]


def refusal_form(refusal: Refusal) -> Answer:
    """A refusal as OpenAI's clients read it."""
    param = refusal.errors[0].field if refusal.errors else None
    shown = "model_not_found" if isinstance(refusal, _NoModel) else refusal.code
    return _error(refusal.code, refusal.detail, param, refusal.headers, shown)


class _NoModel(Refusal):
    """The model that was asked for is not there."""


def _named(name: str, chats: dict[str, Service]) -> Service:
    service = chats.get(name)
    if service is None:
        raise _NoModel("not_found", f"The model {shorten(name)!r} does not exist. There are: {', '.join(chats)}.")
    return service


def _model(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": CREATED, "owned_by": OWNER}


async def _completion(service: Service, request: Request, row: tuple[Any, ...], within_s: float | None) -> Answer:
    """The whole answer at once. Its deadline is that of the whole."""
    texts: list[str] = []
    usages: list[Usage] = []

    def begin(client: Client) -> AnyTicket | None:
        def take(piece: Piece) -> None:
            if isinstance(piece, str):
                texts.append(piece)
            else:
                usages.append(piece)

        def end(failure: RowFailure | None) -> None:
            if failure is not None:
                client.respond(_failed(failure))
            else:
                client.succeed(json_bytes(_whole(service, "".join(texts), usages[-1] if usages else None)))

        try:
            return service.stream(row, take, end, deadline_s=within_s)
        except Refused as refused:
            client.respond(_refused(refused))
            return None

    most_s = service.limits.deadline_s
    try:
        async with asyncio.timeout(min(within_s or most_s, most_s)):
            return await answered(request, begin)
    except TimeoutError:
        return _failed(LATE)


def _whole(service: Service, text: str, usage: Usage | None) -> dict[str, Any]:
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text, "refusal": None},
        "logprobs": None,
        "finish_reason": "stop" if usage is None else usage.finish_reason,
    }
    return {**_Head(service, "chat.completion").json(), "choices": [choice], **_usage(usage)}


def _usage(usage: Usage | None) -> dict[str, Any]:
    """`usage`, null for a model that does not count."""
    if usage is None:
        return {"usage": None}
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {"usage": counted}


class _Head:
    """What all objects of one completion have in common."""

    def __init__(self, service: Service, kind: str) -> None:
        self._said = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "object": kind,
            "created": int(time.time()),
            "model": service.name,
            "system_fingerprint": f"fp_{service.version}",
        }

    def json(self) -> dict[str, Any]:
        return dict(self._said)


class _ChunkWords:
    """A completion as chunks."""

    def __init__(self, service: Service, include_usage: bool) -> None:
        self._head = _Head(service, "chat.completion.chunk").json()
        self._version = service.version
        self._include_usage = include_usage
        self._begun = False

    def piece(self, text: str) -> bytes:
        return self._first() + self._chunk({"content": text})

    def end(self, usage: Usage | None) -> bytes:
        said = self._first() + self._chunk({}, "stop" if usage is None else usage.finish_reason)
        if self._include_usage:
            said += event(json_bytes({**self._head, "choices": [], **_usage(usage)}))
        return said + DONE

    def _first(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        return self._chunk({"role": "assistant", "content": ""})

    def _chunk(self, delta: dict[str, str], finish_reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        more = {"usage": None} if self._include_usage else {}
        return event(json_bytes({**self._head, "choices": [choice], **more}))

    def broken(self, failure: RowFailure) -> bytes:
        return event(_failed(failure).body)

    def failed(self, failure: RowFailure) -> Answer:
        return _failed(failure)

    def refused(self, refused: Refused) -> Answer:
        return _refused(refused)


def _failed(failure: RowFailure) -> Answer:
    code = code_of(failure)
    return _error(code, failure.message or PROBLEMS[code].title, failure.field or None)


def _refused(refused: Refused) -> Answer:
    return _error("overloaded", str(refused), headers=((b"retry-after", str(refused.retry_after).encode()),))


def _error(code: str, message: str, param: str | None = None, headers: Headers = (), shown: str = "") -> Answer:
    """OpenAI's form of a problem of the table; what does not fit is a 400 there."""
    status = PROBLEMS[code].status
    if status == 422:
        status = 400
    kind = "rate_limit_error" if status == 429 else "server_error" if status >= 500 else "invalid_request_error"
    said = {"message": message, "type": kind, "param": param, "code": shown or code}
    return Answer(status, CONTENT_TYPE, headers, json_bytes({"error": said}), code)
