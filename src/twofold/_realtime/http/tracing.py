"""OpenTelemetry traces: a span for each request, and below it how long its rows waited and how long the model took.

Where they go, and which are taken, is said by OpenTelemetry's own variables (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_TRACES_SAMPLER, OTEL_SERVICE_NAME, …). Without an endpoint nothing of this is loaded.
"""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from twofold._columns import Batch
from twofold._realtime.http.access_log import Seen
from twofold._realtime.http.responses import ANSWERED, request_id_of
from twofold._realtime.tickets import Part, Watcher
from twofold._runner import Result
from twofold._version import __version__

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

__all__ = ["Traces"]

SPAN: Final = "twofold.span"  # in a scope: the context of the request's span
CLOSE_S: Final = 2.0
# Asked all the time, by machines: no spans.
QUIET: Final = ("/health/", "/v2/health/", "/metrics", "/static/")


class Traces:
    """Of one process."""

    def __init__(self, provider: TracerProvider | None = None) -> None:
        """`provider`: what the spans are given to; by default what the environment says."""
        from opentelemetry import propagate, trace

        self._provider = _of_environment() if provider is None else provider
        self._tracer = self._provider.get_tracer("twofold", __version__)
        self._extract = propagate.extract
        self._api = trace

    def close(self) -> None:
        """Send what is left; where nobody takes it, the end does not wait."""
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(CLOSE_S)

    def around(self, app: ASGIApp) -> ASGIApp:
        """An app whose requests have spans; the caller's `traceparent` is their parent."""
        api = self._api

        async def traced(scope: Scope, receive: Receive, send: Send) -> None:
            path: str = scope["path"]
            if path.startswith(QUIET):
                await app(scope, receive, send)
                return
            carried = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            method = scope["method"]
            span = self._tracer.start_span(
                method,
                self._extract(carried),
                kind=api.SpanKind.SERVER,
                attributes={"http.request.method": method, "url.path": path},
            )
            scope[SPAN] = api.set_span_in_context(span)
            seen = Seen(send)
            try:
                if span.is_recording():
                    span.set_attribute("twofold.request_id", request_id_of(scope))
                await app(scope, receive, seen)
            finally:
                if "endpoint" in scope and seen.status not in (404, 405):  # a route's: else any path could be a name
                    span.update_name(f"{method} {path}")
                model, code = scope.get(ANSWERED, ("", ""))
                span.set_attributes(
                    {"http.response.status_code": seen.status, "twofold.model": model, "twofold.code": code}
                )
                if seen.status >= 500:
                    span.set_status(api.StatusCode.ERROR)
                span.end()

        return traced

    def of_calls(self) -> Watcher:
        """What makes spans of the calls in which rows of traced requests were."""

        def called(parts: list[Part], began: float, batch: Batch, result: Result) -> None:  # noqa: ARG001
            ended_ns = time.time_ns()
            ended = time.monotonic()

            def clock_ns(monotonic_s: float) -> int:
                return ended_ns - int((ended - monotonic_s) * 1e9)

            for ticket, first, n_rows in parts:
                scope = getattr(ticket.asker, "scope", None)
                if scope is None or SPAN not in scope:
                    continue
                self._child("queue", scope, {"twofold.rows": n_rows}, clock_ns(ticket.came), clock_ns(began))
                rows = {"twofold.rows": n_rows, "twofold.first_row": first, "twofold.batch_rows": batch.n_rows}
                self._child("model", scope, rows, clock_ns(began), ended_ns)

        return called

    def _child(self, name: str, scope: Scope, attributes: dict[str, Any], began_ns: int, ended_ns: int) -> None:
        span = self._tracer.start_span(name, scope[SPAN], attributes=attributes, start_time=began_ns)
        span.end(ended_ns)


def _of_environment() -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "twofold"}
    provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider
