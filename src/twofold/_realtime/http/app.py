"""Every request that is not on the fast lane: the routes, as a starlette app."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from twofold._errors import shorten
from twofold._realtime.batcher import Ticket
from twofold._realtime.http.lane import CONNECTION, LaneProtocol, response_headers
from twofold._realtime.http.openapi import openapi
from twofold._realtime.http.page import pages
from twofold._realtime.http.plain import CONTENT_TYPE, PlainJson
from twofold._realtime.http.problems import Answer, json_bytes, problem

__all__ = ["make_app"]

LIVE = Answer(200, CONTENT_TYPE, (), b'{"status":"live"}')
READY = Answer(200, CONTENT_TYPE, (), b'{"status":"ready"}')


class AnswerResponse:
    """An `Answer` as an ASGI response."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002
        headers = list(response_headers(self._answer))
        await send({"type": "http.response.start", "status": self._answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": self._answer.body})


def make_app(plain: PlainJson) -> Starlette:
    """All routes of one served model."""
    service = plain.service

    async def predict(request: Request) -> AnswerResponse:
        refusal = _refusal(request, service.limits.max_body_bytes)
        if refusal is not None:
            return AnswerResponse(refusal)
        body = await _read(request, service.limits.max_body_bytes)
        if body is None:
            return AnswerResponse(_too_large(service.limits.max_body_bytes))
        return AnswerResponse(await _answered(plain, request, body))

    async def ready(_: Request) -> AnswerResponse:
        if service.accepting:
            return AnswerResponse(READY)
        why = "It answers what it has, and ends." if service.draining else "No model process is ready."
        return AnswerResponse(problem("not_ready", why))

    fixed = {
        "/health/live": LIVE,
        "/openapi.json": Answer(200, CONTENT_TYPE, (), json_bytes(openapi(service))),
        **pages(),
    }
    routes = [
        Route("/predict", predict, methods=["POST"]),
        Route("/health/ready", ready),
        *(Route(path, _always(answer)) for path, answer in fixed.items()),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: _http_problem,
        ClientDisconnect: _nobody_there,
        Exception: _internal_error,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


class _Waiting:
    """A request of the app that waits for the model; it can be dropped when its client has gone."""

    def __init__(self, plain: PlainJson, body: bytes) -> None:
        self.answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.ticket: Ticket | None = plain.begin(body, self)

    def succeed(self, body: bytes) -> None:
        self.respond(Answer(200, CONTENT_TYPE, (), body))

    def respond(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def drop_if_waiting(self) -> None:
        if self.ticket is not None and self.ticket.waiting:
            self.lose()

    def lose(self) -> None:
        if self.ticket is not None:
            self.ticket.cancel()
        if not self.answer.done():
            self.answer.set_result(None)


async def _answered(plain: PlainJson, request: Request, body: bytes) -> Answer:
    """The answer to a body; raises ClientDisconnect when nobody waits for it any more."""
    waiting = _Waiting(plain, body)
    if CONNECTION in (extensions := request.scope.get("extensions", {})):
        connection: LaneProtocol = extensions[CONNECTION]["protocol"]
        connection.parting = waiting
        if connection.client_ended:
            asyncio.get_running_loop().call_soon(waiting.drop_if_waiting)
    gone = asyncio.ensure_future(_watch(request, waiting))
    try:
        answer = await waiting.answer
    finally:
        gone.cancel()
        if waiting.ticket is not None:
            waiting.ticket.cancel()
    if answer is None:
        raise ClientDisconnect
    return answer


async def _watch(request: Request, waiting: _Waiting) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    waiting.lose()


def _refusal(request: Request, max_body_bytes: int) -> Answer | None:
    """What can be refused before the body is read."""
    content_type, _, parameters = request.headers.get("content-type", "").partition(";")
    if content_type.strip().lower() != "application/json":
        came = f"not {content_type.strip()[:100]!r}" if content_type else "and the request names none"
        return problem("unsupported_media_type", f"Send the rows as JSON: content-type: application/json, {came}.")
    charset = dict(p.strip().lower().split("=", 1) for p in parameters.split(";") if "=" in p).get("charset", "utf-8")
    if charset.strip('"') not in ("utf-8", "utf8", "us-ascii"):
        return problem("unsupported_media_type", f"JSON is UTF-8, not {charset[:100]!r}.")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", ""):
        return problem(
            "unsupported_media_type", f"Send the body as it is, without content-encoding {encoding[:100]!r}."
        )
    length = request.headers.get("content-length", "0")
    return _too_large(max_body_bytes) if length.isdigit() and int(length) > max_body_bytes else None


async def _read(request: Request, max_body_bytes: int) -> bytes | None:
    """The body; None as soon as it is too large."""
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > max_body_bytes:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(max_body_bytes: int) -> Answer:
    size = f"{max_body_bytes >> 20} MiB" if max_body_bytes % (1 << 20) == 0 else f"{max_body_bytes} bytes"
    return problem(
        "body_too_large",
        f"The body is larger than {size}. Send fewer rows at once, or start the server with a larger --max-body.",
    )


def _always(answer: Answer) -> Any:
    async def page(_: Request) -> AnswerResponse:
        return AnswerResponse(answer)

    return page


async def _http_problem(request: Request, error: HTTPException) -> AnswerResponse:
    if error.status_code == 405:
        allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
        detail = f"{request.url.path} answers {allowed}, not {request.method}."
        return AnswerResponse(problem("method_not_allowed", detail, headers=((b"allow", allowed.encode()),)))
    routes = "POST /predict, GET /, /docs, /openapi.json, /health/live, /health/ready"
    return AnswerResponse(problem("not_found", f"There is no {shorten(request.url.path)}. There are: {routes}."))


async def _internal_error(*_: object) -> AnswerResponse:
    return AnswerResponse(problem("internal_error", "The server failed; its log says why."))


async def _nobody_there(*_: object) -> AnswerResponse:
    """The client has gone: what is sent goes nowhere."""
    return AnswerResponse(problem("bad_request", "The client ended the connection."))
