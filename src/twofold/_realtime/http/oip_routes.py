"""The routes of the Open Inference Protocol, version 2, and what of them is on the fast lane."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import quote

from starlette.requests import Request
from starlette.routing import Route

from twofold._errors import shorten
from twofold._realtime.catalog import Catalog
from twofold._realtime.http.bodies import read_content
from twofold._realtime.http.lane_request import LanePath
from twofold._realtime.http.oip import BINARY_HEADER, OipRest, oip_answer
from twofold._realtime.http.problems import Answer, Refusal
from twofold._realtime.http.responses import AnswerResponse, deadline_s, json_answer
from twofold._realtime.http.waiting import answered
from twofold._realtime.oip.errors import OipError
from twofold._realtime.oip.model import OipModel, server_metadata
from twofold._version import __version__

__all__ = ["lane_paths", "refusal_form", "routes"]

EXTENSIONS = ("binary_tensor_data",)
ANY_METHOD = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

Handler = Callable[[Request], Awaitable[Answer]]


def routes(catalog: Catalog) -> list[Route]:
    rest = {name: OipRest(OipModel(service)) for name, service in catalog.items()}

    async def server(_: Request) -> Answer:
        return json_answer(server_metadata(__version__, EXTENSIONS))

    async def live(_: Request) -> Answer:
        return json_answer({"live": True})

    async def ready(_: Request) -> Answer:
        return json_answer({"ready": catalog.accepting}, 200 if catalog.accepting else 503)

    async def models(_: Request) -> Answer:
        return json_answer({"models": list(catalog)})

    async def model(request: Request) -> Answer:
        return json_answer(_named(request, rest).model.metadata)

    async def model_ready(request: Request) -> Answer:
        found = _named(request, rest).model
        accepting = found.service.accepting
        return json_answer({"name": found.name, "ready": accepting}, 200 if accepting else 503)

    async def infer(request: Request) -> Answer:
        return await _infer(_named(request, rest), request)

    async def nothing(request: Request) -> Answer:
        raise OipError("not_found", f"There is no {shorten(request.url.path)} in the Open Inference Protocol.")

    def route(path: str, handler: Handler, method: str = "GET") -> Route:
        listed = path == "/v2"  # in the list of routes that a 404 shows: the metadata leads to the others
        return Route(path, _endpoint(handler, method, catalog), methods=ANY_METHOD, include_in_schema=listed)

    of_model = [
        route(f"/v2/models/{{name}}{version}{end}", handler, method)
        for version in ("", "/versions/{version}")
        for end, handler, method in (("", model, "GET"), ("/ready", model_ready, "GET"), ("/infer", infer, "POST"))
    ]
    return [
        route("/v2", server),
        route("/v2/", server),
        route("/v2/health/live", live),
        route("/v2/health/ready", ready),
        route("/v2/models", models),
        *of_model,
        Route("/v2/{rest:path}", _endpoint(nothing, "", catalog), methods=ANY_METHOD, include_in_schema=False),
    ]


def lane_paths(catalog: Catalog) -> dict[bytes, LanePath]:
    """JSON infer requests, with and without the version."""
    paths: dict[bytes, LanePath] = {}
    for name, service in catalog.items():
        begin = OipRest(OipModel(service)).begin
        for version in ("", f"/versions/{service.version}"):
            target = f"/v2/models/{quote(name, safe='')}{version}/infer"
            paths[target.encode()] = LanePath(service, begin, form=refusal_form)
    return paths


def refusal_form(refusal: Refusal) -> Answer:
    """A refusal as this protocol has it."""
    return oip_answer(OipError(refusal.code, refusal.detail))._replace(headers=refusal.headers)


def _endpoint(handler: Handler, method: str, catalog: Catalog) -> Callable[[Request], Awaitable[AnswerResponse]]:
    """The handler for this method ("": any), with the protocol's own form of every error."""
    allowed = ("GET", "HEAD") if method == "GET" else (method,)

    async def endpoint(request: Request) -> AnswerResponse:
        service = catalog.get(str(request.path_params.get("name", "")), catalog.default)
        try:
            if method and request.method not in allowed:
                message = f"{shorten(request.url.path)} answers {', '.join(allowed)}, not {request.method}."
                raise Refusal("method_not_allowed", message, headers=((b"allow", ", ".join(allowed).encode()),))
            answer = await handler(request)
        except OipError as error:
            answer = oip_answer(error)
        except Refusal as refusal:
            answer = refusal_form(refusal)
        return AnswerResponse(answer, service)

    return endpoint


def _named(request: Request, rest: dict[str, OipRest]) -> OipRest:
    """What the path names. Raises OipError for a model or a version that is not there."""
    name = str(request.path_params["name"])
    found = rest.get(name)
    if found is None:
        raise OipError("not_found", f"There is no model {shorten(name)!r}. The models here are {', '.join(rest)}.")
    found.model.check_version(str(request.path_params.get("version", "")))
    return found


async def _infer(rest: OipRest, request: Request) -> Answer:
    within_s = deadline_s(request)
    body = await read_content(request, rest.model.service.limits.max_body_bytes)
    length = request.headers.get(BINARY_HEADER.decode())
    if length is None:
        return await answered(request, partial(rest.begin, body, deadline_s=within_s))
    if not length.isascii() or not length.isdecimal() or len(length) > 18:
        raise OipError("bad_request", f"Inference-Header-Content-Length is a number of bytes, not {shorten(length)!r}.")
    return await answered(request, partial(rest.begin, body, deadline_s=within_s, json_bytes=int(length)))
