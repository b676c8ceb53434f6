"""Bulk bodies that are broken, too large or packed: read within the limits, or refused."""

from __future__ import annotations

import gzip
import random
import threading
import tracemalloc
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pytest

from tests.realtime import models
from tests.realtime.bulk_bodies import (
    ARROW,
    CSV,
    JSON,
    LIMIT,
    NPY,
    ask,
    csv_of,
    in_every_form,
    npy,
    rows,
    stream,
    table_of,
)
from tests.realtime.serving import Served, ask_once, post, serving
from twofold._realtime.http import bodies, bulk_read, bulk_write
from twofold._realtime.http.compressed import unpacked
from twofold._realtime.http.problems import Refusal


@pytest.fixture(scope="module")
def wine() -> Iterator[Served]:
    with serving(models.wine, models.parity, models.size, models.payment, max_body_bytes=LIMIT) as served:
        yield served


@pytest.fixture
def client(wine: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{wine.port}", headers={"accept-encoding": "identity"}) as client:
        yield client


BROKEN: dict[str, tuple[str, bytes]] = {
    "no arrow": (ARROW, b"hello"),
    "empty arrow": (ARROW, b""),
    "arrow cut": (ARROW, in_every_form(rows(9))[ARROW][:-200]),
    "arrow twice": (ARROW, stream(pa.Table.from_arrays([pa.array([1.0])] * 2, ["acid", "acid"]))),
    "arrow type that pyarrow does not know": (
        ARROW,
        stream(pa.table({"acid": [pa.MonthDayNano((1, 2, 3))]})).replace(
            b"\x02\0\0\0\0\0" + b"\xff" * 4, b"\0\0\0\0\0\0" + b"\xff" * 4
        ),
    ),
    "arrow names that are not UTF-8": (
        ARROW,
        stream(pa.Table.from_pylist(rows(2))).replace(b"sugar\0", b"suga\xb4\0"),
    ),
    "no npy": (NPY, b"hello"),
    "npy cut": (NPY, npy(np.zeros((3, 3)))[:-1]),
    "npy too long": (NPY, npy(np.zeros((3, 3))) + b"x"),
    "npy of objects": (NPY, npy(np.array([{}], dtype=object))),
    "npy scalar": (NPY, npy(np.array(1.0))),
    "npy of the wrong width": (NPY, npy(np.zeros((3, 4)))),
    "npy of complex numbers": (NPY, npy(np.zeros((3, 3), complex))),
    "npy of a large shape": (NPY, npy(np.zeros((3, 3))).replace(b"(3, 3), }" + b" " * 12, b"(3, 9999999999999), }")),
    "npy of a negative shape": (NPY, npy(np.zeros((3, 3))).replace(b"(3, 3), }  ", b"(-3, -3), }")),
    "npy with code": (NPY, npy(np.zeros((3, 3))).replace(b"(3, 3), } ", b"exit(1), }")),
    "npy of a shape with a truth": (NPY, npy(np.zeros((1, 3))).replace(b"(1, 3), }   ", b"(True, 3), }")),
    "npy of parts of arrays": (
        NPY,
        npy(np.zeros(6)).replace(b"'<f8'", b"'(2,3)<f8'").replace(b"(6,), }    ", b"(1,), }"),
    ),
    "npy of what is not Unicode": (NPY, npy(np.full((2, 3), 0x7FFFFFFF, "<u4").view("<U1"))),
    "empty CSV": (CSV, b""),
    "CSV that is not UTF-8": (CSV, b"acid,sugar,year\n1,2,\xff\n"),
    "CSV header that is not UTF-8": (CSV, b"acid,sugar,year,\xff\n1,2,3,4\n"),
    "CSV too few cells": (CSV, b"acid,sugar,year\n1,2\n"),
    "CSV same name": (CSV, b"acid,acid\n1,2\n"),
    "CSV open quote": (CSV, b'"acid'),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_bodies(client: httpx.Client, name: str):
    kind, body = BROKEN[name]
    answer = ask(client, body, kind)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_body"), answer.text


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_broken_bodies_leave_no_memory_behind(coding: Any):
    body = pa.Codec(coding).compress(bytes(1 << 20), asbytes=True)[:-40] + b"x" * 40
    tracemalloc.start()
    try:
        for _ in range(100):
            with pytest.raises(Refusal, match="The body is not"):
                unpacked(body, coding, 1 << 20)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()


class TestBombs:
    ZEROS = bytes(64 << 20)

    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    def test_packed(self, client: httpx.Client, coding: str):
        bomb = pa.Codec(coding, compression_level=1).compress(self.ZEROS, asbytes=True)
        assert len(bomb) < LIMIT
        for kind in (JSON, CSV, ARROW, NPY):
            answer = ask(client, bomb, kind, content_encoding=coding)
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
            assert f"unpacked from {coding}" in answer.json()["detail"]

    @pytest.mark.parametrize(
        "column",
        [
            pa.array(np.zeros(1 << 20)),
            pa.DictionaryArray.from_arrays(pa.array(np.zeros(10_000, np.int8)), ["x" * 100_000]),
            pa.RunEndEncodedArray.from_arrays(pa.array([1 << 30], pa.int32()), pa.array([1.0])),
            pa.nulls(1 << 24),
        ],
        ids=["compressed", "dictionary", "run ends", "nulls"],
    )
    def test_within_arrow(self, client: httpx.Client, column: pa.Array):
        body = stream(pa.table({"acid": column}), "zstd" if pa.types.is_floating(column.type) else None)
        assert len(body) < LIMIT
        answer = ask(client, body, ARROW)
        assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large"), answer.text

    def test_rows_that_take_no_bytes(self, client: httpx.Client):
        body = npy(np.zeros((3, 0))).replace(b"(3, 0), }" + b" " * 12, b"(9999999999999, 0), }")
        assert ask(client, body, NPY).status_code == 413

    def test_compressed_arrow_within_the_limit(self, client: httpx.Client):
        for compression in ("lz4", "zstd"):
            body = stream(pa.Table.from_pylist(rows(1000)), compression)
            assert table_of(ask(client, body, ARROW).content).num_rows == 1000


class TestCodings:
    @pytest.mark.parametrize("coding", ["gzip", "zstd"])
    @pytest.mark.parametrize("kind", [ARROW, NPY, CSV, JSON])
    def test_in_and_out(self, wine: Served, coding: str, kind: str):
        found = rows(5000)
        body = pa.Codec(coding).compress(in_every_form(found)[kind], asbytes=True)
        headers = [
            f"Content-Type: {kind}",
            f"Content-Encoding: {coding}",
            f"Accept-Encoding: {coding}",
            "Accept: text/csv",
        ]
        reply = ask_once(wine.port, post(body, *headers))
        assert (reply.status, reply.headers["content-encoding"]) == (200, coding)
        content = pa.CompressedInputStream(pa.BufferReader(reply.body), coding).read()
        assert len(content) > len(reply.body)
        assert content.splitlines()[5000] == b"1249.75,9"

    def test_small_answers_and_errors_are_not_packed(self, client: httpx.Client):
        for body in (csv_of(rows(3)), b""):
            assert "content-encoding" not in ask(client, body, CSV, accept_encoding="gzip").headers

    def test_what_is_not_what_it_says(self, client: httpx.Client):
        for body in (b"", b"hello", gzip.compress(b"[]")[:-4]):
            for coding in ("gzip", "zstd"):
                answer = ask(client, body, JSON, content_encoding=coding)
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_body")
        answer = ask(client, b"[]", JSON, content_encoding="gzip, gzip")
        assert answer.status_code == 415


@pytest.mark.parametrize("path", ["/predict", "/v2/models/parity/infer"])
def test_a_packed_body_does_not_hold_the_loop(client: httpx.Client, path: str, monkeypatch: pytest.MonkeyPatch):
    threads: list[str] = []

    def watched(*arguments: Any) -> Any:
        threads.append(threading.current_thread().name)
        return unpacked(*arguments)

    monkeypatch.setattr(bodies, "unpacked", watched)
    ask(client, gzip.compress(b"{}"), JSON, path=path, content_encoding="gzip")
    assert len(threads) == 1
    assert threads != ["server"]


@pytest.mark.parametrize("accept", [JSON, ARROW])  # by the app, and on the lane
@pytest.mark.parametrize(
    ("where", "said"),
    [("read_bulk", "The body could not be read;"), ("bulk_answer", "The answer could not be written;")],
)
def test_what_breaks_around_a_body_is_said_alike(
    client: httpx.Client, where: str, said: str, accept: str, monkeypatch: pytest.MonkeyPatch
):
    def broken(*_: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(bulk_read if where == "read_bulk" else bulk_write, where, broken)
    answer = ask(client, in_every_form(rows(3))[ARROW], ARROW, accept)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["detail"] == f"{said} the server's log says why."


def test_mutated_bodies(client: httpx.Client):
    chance = random.Random(9)
    bodies = in_every_form(rows(20))
    seen = set()
    for _ in range(400):
        kind = chance.choice([ARROW, NPY, CSV])
        body = bytearray(bodies[kind])
        for _ in range(chance.randint(1, 4)):
            at = chance.randrange(len(body))
            if chance.random() < 0.7:
                body[at] = chance.randrange(256)
            else:
                del body[at : at + chance.randint(1, 9)]
        answer = ask(client, bytes(body), kind)
        assert answer.status_code in {200, 400, 413, 422}, answer.text
        seen.add(answer.status_code)
    assert {200, 400, 422} <= seen
