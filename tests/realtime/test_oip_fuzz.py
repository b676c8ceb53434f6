"""A short form of benchmarks/fuzz.py: no body brings the server to an undeclared failure, or to silence."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

import twofold
from benchmarks.fuzz import TARGETS, fuzz, fuzz_grpc
from tests.realtime.serving import Served, serving

BODIES = 1500


@twofold.model
def mixed(number: int, share: float | None, text: str, tags: list[str], extra: int = 5) -> str:
    return text[:10]


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    grpc = pytest.importorskip("zttp") is not None
    with serving(mixed, grpc=grpc) as found:
        yield found


@pytest.mark.parametrize("name", list(TARGETS))
def test_bodies(served: Served, name: str) -> None:
    statuses = fuzz(served.port, TARGETS[name], BODIES, 7, time.monotonic() + 60)
    assert {200, 400} & set(statuses)
    assert statuses.total() == BODIES


def test_messages(served: Served) -> None:
    pytest.importorskip("grpc")
    statuses = fuzz_grpc(f"127.0.0.1:{served.grpc_port}", BODIES, 7, time.monotonic() + 60)
    assert {"OK", "INVALID_ARGUMENT"} <= set(statuses)
    assert statuses.total() == BODIES
