"""Every request that is not on the fast lane: the routes of all protocols, as a starlette app."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.routing import Route
from starlette.types import ASGIApp

from twofold._errors import shorten
from twofold._realtime.catalog import Catalog
from twofold._realtime.http import health, metrics, models, oip_routes, openai, page
from twofold._realtime.http.access import ANYBODY, Access, Guard
from twofold._realtime.http.lane_request import LanePath
from twofold._realtime.http.problems import Answer, Refusal, parted
from twofold._realtime.http.responses import ASKED, AnswerResponse, request_id, service_named
from twofold._realtime.service import Service

__all__ = ["METRICS_ROUTES", "ROUTES", "lane_paths", "make_app"]

LOG = logging.getLogger("twofold")

# A protocol is a module: its routes here, and what of it is hot enough for the fast lane below.
Routes = Callable[[Catalog], list[Route]]
ROUTES: tuple[Routes, ...] = (
    models.routes,
    openai.routes,
    health.routes,
    oip_routes.routes,
    page.routes,
)
# Beside them, or on a port of their own.
METRICS_ROUTES: tuple[Routes, ...] = (metrics.routes,)
LANE_PATHS: tuple[Callable[[Catalog], dict[bytes, LanePath]], ...] = (models.lane_paths, oip_routes.lane_paths)

# What a page of another origin may read of an answer.
EXPOSED = ("Model-Version", "X-Request-Id", "Retry-After", "Twofold-Failed-Rows", "Inference-Header-Content-Length")

# How a protocol says no, where its routes begin with this.
FORMS: tuple[tuple[str, Callable[[Refusal], Answer]], ...] = (
    ("/v1", openai.refusal_form),
    ("/v2", oip_routes.refusal_form),
)


def make_app(catalog: Catalog, access: Access = ANYBODY, routes: Sequence[Routes] = ROUTES) -> ASGIApp:
    """These routes (all of them) of one server process, for those who may ask."""
    app: ASGIApp = _routes(catalog, [route for protocol in routes for route in protocol(catalog)])
    if access.keys is not None:
        app = Guard(app, access.keys, _form, catalog.default)
    if access.origins:
        app = CORSMiddleware(
            app,
            allow_origins=access.origins,
            allow_methods=("GET", "POST"),
            allow_headers=("*",),
            expose_headers=EXPOSED,
        )
    return app


def _form(path: str, refusal: Refusal) -> Answer:
    """How the protocol of this path says no."""
    form = next((form for prefix, form in FORMS if path == prefix or path.startswith(prefix + "/")), None)
    return refusal.answer if form is None else form(refusal)


def _routes(catalog: Catalog, routes: list[Route]) -> Starlette:
    handlers = _handlers(
        catalog,
        ", ".join(
            _named(route) for route in routes if route.include_in_schema and not route.path.startswith("/static")
        ),
    )
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app


def lane_paths(catalog: Catalog) -> dict[bytes, LanePath]:
    """What the fast lane answers, by the target of the request."""
    return {target: path for protocol in LANE_PATHS for target, path in protocol(catalog).items()}


def _named(route: Route) -> str:
    methods = route.methods or {"GET"}
    return f"{'GET' if 'GET' in methods else min(methods)} {route.path.replace(':path', '')}"


def _handlers(catalog: Catalog, there: str) -> dict[Any, Any]:
    def service(request: Request) -> Service:
        return request.scope.get(ASKED) or service_named(request, catalog) or catalog.default

    async def http_problem(request: Request, error: HTTPException) -> AnswerResponse:
        if error.status_code == 405:
            allowed = ", ".join(sorted((error.headers or {}).get("Allow", "").split(", ")))
            detail = f"{request.url.path} answers {allowed}, not {request.method}."
            refusal = Refusal("method_not_allowed", detail, headers=((b"allow", allowed.encode()),))
        else:
            refusal = Refusal("not_found", f"There is no {shorten(request.url.path)}. There are: {there}.")
        return AnswerResponse(_form(request.url.path, refusal), service(request))

    async def refused(request: Request, refusal: Refusal) -> AnswerResponse:
        return AnswerResponse(_form(request.url.path, refusal), service(request))

    async def internal_error(request: Request, error: Exception) -> AnswerResponse:
        # uvicorn logs the traceback
        LOG.error("a request failed: %r", error, extra={"request_id": request_id(request)})
        refusal = Refusal("internal_error", "The server failed; its log says why.")
        return AnswerResponse(_form(request.url.path, refusal), service(request))

    async def nobody_there(request: Request, _: Exception) -> AnswerResponse:
        answer = _form(request.url.path, parted())
        return AnswerResponse(answer._replace(code="client_gone"), service(request))

    return {Refusal: refused, HTTPException: http_problem, ClientDisconnect: nobody_there, Exception: internal_error}
