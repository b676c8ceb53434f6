"""The routes of the models: `/predict` of the first one, `/models/{name}/predict`, and what there is."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import Request
from starlette.routing import Route

from twofold._errors import shorten
from twofold._realtime.catalog import Catalog
from twofold._realtime.http.bulk import Bodies
from twofold._realtime.http.events import EventsResponse
from twofold._realtime.http.lane_request import LanePath
from twofold._realtime.http.media import wants_events
from twofold._realtime.http.plain import PlainJson
from twofold._realtime.http.problems import Refusal
from twofold._realtime.http.responses import AnswerResponse, json_answer, service_named
from twofold._realtime.http.sse import streamed
from twofold._realtime.service import Service

__all__ = ["lane_paths", "routes"]


def routes(catalog: Catalog) -> list[Route]:
    bodies = {name: Bodies(service) for name, service in catalog.items()}

    async def predict(request: Request) -> AnswerResponse | EventsResponse:
        service = service_named(request, catalog)
        if service is None:
            raise _no_model(request, catalog)
        if service.streams and wants_events(request.headers.get("accept")):
            return await streamed(service, request)
        return AnswerResponse(await bodies[service.name].answer(request), service)

    async def models(_: Request) -> AnswerResponse:
        listed = [_summary(service, catalog) for service in catalog.values()]
        return AnswerResponse(json_answer({"models": listed}), catalog.default)

    async def model(request: Request) -> AnswerResponse:
        service = service_named(request, catalog)
        if service is None:
            raise _no_model(request, catalog)
        shown = {**_summary(service, catalog), **service.signature.describe()}
        return AnswerResponse(json_answer(shown), service)

    return [
        Route("/predict", predict, methods=["POST"]),
        Route("/models", models),
        Route("/models/{name}", model),
        Route("/models/{name}/predict", predict, methods=["POST"]),
    ]


def lane_paths(catalog: Catalog) -> dict[bytes, LanePath]:
    """What the fast lane answers of these."""
    found: dict[bytes, LanePath] = {}
    for name, service in catalog.items():
        path = LanePath(service, PlainJson(service).begin, Bodies(service).lane_translators())
        found[f"/models/{quote(name, safe='')}/predict".encode()] = path
        if service is catalog.default:
            found[b"/predict"] = path
    return found


def _no_model(request: Request, catalog: Catalog) -> Refusal:
    """The 404 of a path that names a model which is not there."""
    name = shorten(str(request.path_params["name"]))
    return Refusal("not_found", f"There is no model {name!r}. The models here are {', '.join(catalog)}.")


def _summary(service: Service, catalog: Catalog) -> dict[str, object]:
    path = f"/models/{quote(service.name, safe='')}"
    return {
        "name": service.name,
        "version": service.version,
        "default": service is catalog.default,
        "ready": service.accepting,
        "predict": f"{path}/predict",
    }
