"""`/metrics`: what all processes of the server have counted, for Prometheus."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from twofold._realtime.catalog import Catalog
from twofold._realtime.exposition import CONTENT_TYPE, exposition
from twofold._realtime.http.problems import Answer
from twofold._realtime.http.responses import AnswerResponse

__all__ = ["routes"]


def routes(catalog: Catalog) -> list[Route]:
    models = [(service.name, service.version) for service in catalog.values()]

    async def metrics(_: Request) -> AnswerResponse:
        text = exposition(catalog.counted, models)
        return AnswerResponse(Answer(200, CONTENT_TYPE, (), text), catalog.default)

    return [Route("/metrics", metrics)]
