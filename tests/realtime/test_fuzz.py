"""A short form of benchmarks/fuzz.py: no request brings the server to an undeclared answer, a failure, or silence."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from benchmarks.fuzz import Fuzzer
from benchmarks.fuzzing import models
from tests.realtime.serving import serving

REQUESTS = 400
KINDS = ["JSON", "Arrow", ".npy", "CSV", "packed", "raw bytes", "events", "chat", "OIP JSON", "OIP binary", "bent HTTP"]


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzer]:
    pytest.importorskip("zttp")
    pytest.importorskip("grpc")
    served_models = [getattr(models, name) for name in models.MODELS]
    with serving(*served_models, grpc=True, max_body_bytes=4 << 20) as served:
        found = Fuzzer(served.port, f"127.0.0.1:{served.grpc_port}", tmp_path_factory.mktemp("fuzz") / "unpickled")
        try:
            yield found
        finally:
            found.close()


@pytest.mark.parametrize("kind", [*KINDS, "gRPC"])
def test_requests(fuzzer: Fuzzer, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        counts = fuzzer.block(kind, "7", REQUESTS)
    assert counts.total() >= REQUESTS
    assert {"200", "OK"} & set(counts)  # some are answered
    assert {"400", "INVALID_ARGUMENT"} & set(counts)  # and some are refused
    assert [record for record in caplog.records if record.exc_info] == []


def test_all_kinds_are_tested(fuzzer: Fuzzer) -> None:
    assert set(fuzzer.blocks) == {*KINDS, "gRPC"}


def test_what_openapi_says(fuzzer: Fuzzer) -> None:
    pytest.importorskip("schemathesis")
    from benchmarks.fuzzing.openapi import ask_all

    statuses = ask_all(f"http://127.0.0.1:{fuzzer.port}", 2)
    assert {"200", "400", "422"} <= set(statuses)
