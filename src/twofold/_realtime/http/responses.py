"""Answers of the app: the ASGI response that an `Answer` is, and what several protocols need to give one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.types import Receive, Scope, Send

from twofold._realtime.catalog import Catalog
from twofold._realtime.http.problems import Answer, response_headers
from twofold._realtime.service import Service

__all__ = ["AnswerResponse", "Handler", "always", "service_named"]

Handler = Callable[[Request], Awaitable["AnswerResponse"]]


class AnswerResponse:
    """An `Answer` as an ASGI response; `version` is that of the model it is about."""

    def __init__(self, answer: Answer, version: str) -> None:
        self._answer = answer
        self._version = version

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = list(response_headers(self._answer, self._version))
        await send({"type": "http.response.start", "status": self._answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": self._answer.body})


def always(answer: Answer, catalog: Catalog) -> Handler:
    """What gives this answer to every request."""

    async def page(_: Request) -> AnswerResponse:
        return AnswerResponse(answer, catalog.default.version)

    return page


def service_named(request: Request, catalog: Catalog) -> Service | None:
    """The model that a request's path names; the default one where it names none, None where there is no such model."""
    name = request.path_params.get("name")
    return catalog.default if name is None else catalog.get(name)
