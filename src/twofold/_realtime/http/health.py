"""The health routes: what a load balancer and Kubernetes ask."""

from __future__ import annotations

from starlette.requests import Request
from starlette.routing import Route

from twofold._realtime.catalog import Catalog
from twofold._realtime.http.problems import CONTENT_TYPE, Answer, problem
from twofold._realtime.http.responses import AnswerResponse, always

__all__ = ["routes"]

LIVE = Answer(200, CONTENT_TYPE, (), b'{"status":"live"}')
READY = Answer(200, CONTENT_TYPE, (), b'{"status":"ready"}')


def routes(catalog: Catalog) -> list[Route]:
    async def ready(_: Request) -> AnswerResponse:
        if catalog.accepting:
            return AnswerResponse(READY, catalog.default)
        why = "It answers what it has, and ends." if catalog.draining else "No model process is ready."
        return AnswerResponse(problem("not_ready", why), catalog.default)

    return [Route("/health/live", always(LIVE, catalog)), Route("/health/ready", ready)]
