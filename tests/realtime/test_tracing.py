"""OpenTelemetry: a span for each request, and below it the queue and the model."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_for
from tests.realtime.models import parity
from tests.realtime.serving import ask, connect, get, post, serving
from tests.served import MODEL
from tests.served import serving as serving_processes

pytest.importorskip("opentelemetry.sdk")
pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from twofold._realtime.http.access import Access, Keys
from twofold._realtime.http.tracing import Traces

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


def test_the_spans_of_requests() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider)
    with serving(parity, around=[traces.around]) as served, connect(served.port) as sock:
        served.service.watch(traces.of_calls())
        traceparent = f"traceparent: 00-{TRACE}-{PARENT}-01"
        assert ask(sock, post('[{"number": 1}, {"number": 2}]', traceparent, "X-Request-Id: mine")).status == 200
        failed = ask(sock, post('{"number": 66}'))
        assert failed.status == 500
        assert ask(sock, get("/nothere")).status == 404
        assert ask(sock, get("/health/ready")).status == 200
    traces.close()
    spans = exporter.get_finished_spans()
    by_name: dict[str, list[Any]] = defaultdict(list)
    for span in spans:
        by_name[span.name].append(span)
    assert {name: len(found) for name, found in by_name.items()} == {
        "POST /predict": 2, "queue": 2, "model": 2, "GET": 1,
    }  # fmt: skip
    first, second = by_name["POST /predict"]
    assert first.kind is SpanKind.SERVER
    assert f"{first.context.trace_id:032x}" == TRACE
    assert f"{first.parent.span_id:016x}" == PARENT
    assert dict(first.attributes) == {
        "http.request.method": "POST",
        "url.path": "/predict",
        "http.response.status_code": 200,
        "twofold.model": "parity",
        "twofold.code": "ok",
        "twofold.request_id": "mine",
    }
    queue, model = by_name["queue"][0], by_name["model"][0]
    assert queue.parent.span_id == model.parent.span_id == first.context.span_id
    assert queue.context.trace_id == model.context.trace_id == first.context.trace_id
    assert first.start_time - 10**7 <= queue.start_time <= queue.end_time <= model.end_time <= first.end_time + 10**7
    assert model.attributes["twofold.batch_rows"] == 2
    assert second.status.status_code is StatusCode.ERROR
    assert second.attributes["twofold.code"] == "model_failed"
    assert second.attributes["twofold.request_id"] == failed.headers["x-request-id"]
    assert second.parent is None


def test_paths_that_are_not_there_make_no_names() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    traces = Traces(provider)
    access = Access(Keys(["key"]), origins=("https://shop.example",))
    asks = ("Origin: https://shop.example", "Access-Control-Request-Method: POST")
    with serving(parity, around=[traces.around], access=access) as served, connect(served.port) as sock:
        assert ask(sock, get("/one")).status == 401
        assert ask(sock, get("/two", "Authorization: Bearer key")).status == 404
        assert ask(sock, get("/models/three/predict", "Authorization: Bearer key")).status == 405
        assert ask(sock, get("/four", *asks, method="OPTIONS")).status == 200
    traces.close()
    assert [span.name for span in exporter.get_finished_spans()] == ["GET", "GET", "GET", "OPTIONS"]


class _Collector(BaseHTTPRequestHandler):
    """Where the spans of a server are sent to."""

    bodies: list[bytes]

    def do_POST(self) -> None:
        self.bodies.append(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def collecting() -> Iterator[tuple[str, list[bytes]]]:
    bodies: list[bytes] = []
    with HTTPServer(("127.0.0.1", 0), type("Collector", (_Collector,), {"bodies": bodies})) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", bodies
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("layout", ["--inline", "--isolate"])
def test_a_server_sends_its_spans_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    (tmp_path / "fickle.py").write_text(MODEL)
    with collecting() as (url, bodies):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
        with serving_processes(f"{tmp_path / 'fickle.py'}:fickle", layout, "--workers", "1") as server:
            assert server.ask({"text": "a"}) == (200, {"prediction": "a!"})
            assert server.stop() == 0  # what is not sent yet is sent then
        wait_for(lambda: bodies)
    spans = []
    for body in bodies:
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            told = {one.key: one.value.string_value for one in resource.resource.attributes}
            assert told["service.name"] == "shop"
            spans += [span for scope in resource.scope_spans for span in scope.spans]
    assert sorted(span.name for span in spans) == ["POST /predict", "model", "queue"]
    assert len({span.trace_id for span in spans}) == 1


def test_nothing_of_it_is_loaded_unless_it_is_asked_for() -> None:
    code = """
import sys
from twofold._options import ServeOptions
from twofold._realtime.observing import Observers
assert Observers(ServeOptions(), []).around == []
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment)
