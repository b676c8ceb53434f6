"""Answers of the app: the ASGI response that an `Answer` is, and what several protocols need to give one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from twofold._realtime.catalog import Catalog
from twofold._realtime.http.problems import CONTENT_TYPE, Answer, json_bytes, new_request_id, written
from twofold._realtime.http.terms import deadline_in, request_id_in
from twofold._realtime.service import Service

__all__ = [
    "ANSWERED",
    "ASKED",
    "AnswerResponse",
    "Handler",
    "ScopeAsker",
    "always",
    "deadline_s",
    "json_answer",
    "request_id",
    "request_id_of",
    "service_named",
]

# In a scope: the id of a request that came without one; the Service that it asks, where its path does not name it; the
# name of the model that answers it and how, "ok" or a problem's code.
REQUEST_ID_MADE = "twofold.request_id"
ASKED = "twofold.asked"
ANSWERED = "twofold.answered"

Handler = Callable[[Request], Awaitable["AnswerResponse"]]


class AnswerResponse:
    """An `Answer` as an ASGI response, about this model. What is posted is counted among its requests."""

    def __init__(self, answer: Answer, service: Service) -> None:
        self._answer = answer
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        scope[ANSWERED] = (self._service.name, self._answer.code)
        headers, body = written(self._answer, self._service.version, _request_id(scope))
        if scope["method"] == "POST":
            self._service.counters.ended(self._answer.code)
        await send({"type": "http.response.start", "status": self._answer.status, "headers": list(headers)})
        await send({"type": "http.response.body", "body": body})


def _request_id(scope: Scope) -> bytes:
    made: bytes = scope.get(REQUEST_ID_MADE, b"")
    return request_id_in(scope["headers"]) or made


def request_id(request: Request) -> str:
    """The request's id, for a log; where it has none, its answer will have the one that is made now."""
    return request_id_of(request.scope)


def request_id_of(scope: Scope) -> str:
    found = _request_id(scope)
    if not found:
        found = scope[REQUEST_ID_MADE] = new_request_id()
    return found.decode()


class ScopeAsker:
    """Who sent the request of this scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    def identify(self) -> str:
        return request_id_of(self.scope)


def deadline_s(request: Request) -> float | None:
    """The seconds that X-Deadline-Ms gives a request. Raises Refusal where it cannot be read."""
    return deadline_in(dict(request.scope["headers"]))


def json_answer(value: Any, status: int = 200) -> Answer:
    return Answer(status, CONTENT_TYPE, (), json_bytes(value))


def always(answer: Answer, catalog: Catalog) -> Handler:
    """What gives this answer to every request."""

    async def page(_: Request) -> AnswerResponse:
        return AnswerResponse(answer, catalog.default)

    return page


def service_named(request: Request, catalog: Catalog) -> Service | None:
    """The model that a request's path names; the default one where it names none, None where there is no such model."""
    name = request.path_params.get("name")
    return catalog.default if name is None else catalog.get(name)
