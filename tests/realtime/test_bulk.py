"""Bulk bodies: columns in and out, in every form, packed and not; what is broken or too large is refused."""

from __future__ import annotations

import csv
import gzip
import io
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
from tests.realtime.serving import Served, ask_once, post, serving
from twofold._realtime.http import bodies, bulk_read, bulk_write
from twofold._realtime.http.compressed import unpacked
from twofold._realtime.http.media import best_coding, best_form
from twofold._realtime.http.problems import Refusal

ARROW, NPY, CSV, JSON = "application/vnd.apache.arrow.stream", "application/x-npy", "text/csv", "application/json"
LIMIT = 1 << 20


@pytest.fixture(scope="module")
def wine() -> Iterator[Served]:
    with serving(models.wine, models.parity, models.size, models.payment, max_body_bytes=LIMIT) as served:
        yield served


@pytest.fixture
def client(wine: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{wine.port}", headers={"accept-encoding": "identity"}) as client:
        yield client


def ask(
    client: httpx.Client, body: bytes, kind: str, accept: str = "*/*", path: str = "/predict", **headers: str
) -> Any:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, content=body, headers={"content-type": kind, "accept": accept, **headers})


def rows(count: int) -> list[dict[str, Any]]:
    return [{"acid": at / 8, "sugar": 2.0, "year": 1990 + at} for at in range(count)]


def stream(table: pa.Table, compression: str | None = None) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def table_of(body: bytes) -> pa.Table:
    with pa.ipc.open_stream(body) as reader:
        return reader.read_all()


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=array.dtype.hasobject)
    return file.getvalue()


def csv_of(found: list[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(found[0]))
    writer.writeheader()
    writer.writerows(found)
    return text.getvalue().encode()


def in_every_form(found: list[dict[str, Any]]) -> dict[str, bytes]:
    import json

    plain = np.array([[row["acid"], row["sugar"], row["year"]] for row in found])
    return {
        ARROW: stream(pa.Table.from_pylist(found)),
        NPY: npy(plain),
        CSV: csv_of(found),
        JSON: json.dumps(found).encode(),
    }


def read_answer(kind: str, body: bytes) -> list[dict[str, Any]]:
    match kind.partition(";")[0]:
        case "application/json":
            import json

            return list(json.loads(body))
        case "application/vnd.apache.arrow.stream":
            return list(table_of(body).to_pylist())
        case "application/x-npy":
            array = np.load(io.BytesIO(body))
            return [dict(zip(array.dtype.names, row, strict=True)) for row in array.tolist()]
    found = csv.DictReader(io.StringIO(body.decode()))
    return [{"score": float(row["score"]), "rank": int(row["rank"])} for row in found]


@pytest.mark.parametrize("answer_kind", [ARROW, NPY, CSV, JSON])
@pytest.mark.parametrize("kind", [ARROW, NPY, CSV, JSON])
def test_every_form_in_and_out_gives_the_same_answers(client: httpx.Client, kind: str, answer_kind: str):
    found = rows(50)
    answer = ask(client, in_every_form(found)[kind], kind, answer_kind)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].partition(";")[0] == answer_kind
    expected = [{"score": row["acid"] * 2, "rank": row["year"] % 10} for row in found]
    assert read_answer(answer.headers["content-type"], answer.content) == expected


@pytest.mark.parametrize("kind", [ARROW, NPY, CSV, JSON])
def test_without_a_wish_the_answer_has_the_form_of_the_question(client: httpx.Client, kind: str):
    assert ask(client, in_every_form(rows(3))[kind], kind).headers["content-type"].partition(";")[0] == kind


def test_a_form_that_the_answers_cannot_have(client: httpx.Client):
    body = npy(np.array([7, 8]))
    answer = ask(client, body, NPY, path="/models/parity/predict")
    assert answer.json() == [{"prediction": "Odd"}, {"prediction": "Even"}]
    answer = ask(client, body, NPY, NPY, path="/models/parity/predict")
    assert (answer.status_code, answer.json()["code"]) == (406, "not_acceptable")


def test_many_rows_come_back_in_order(client: httpx.Client):
    years = np.arange(20_000) + 2000
    table = pa.table({"acid": np.zeros(20_000), "sugar": np.zeros(20_000), "year": years})
    answer = table_of(ask(client, stream(table), ARROW).content)
    assert answer["rank"].to_pylist() == (years % 10).tolist()


def test_no_rows(client: httpx.Client):
    empty = pa.table(
        {"acid": pa.array([], pa.float64()), "sugar": pa.array([], pa.float64()), "year": pa.array([], pa.int64())}
    )
    answer = table_of(ask(client, stream(empty), ARROW).content)
    assert (answer.num_rows, answer.column_names) == (0, ["score", "rank"])
    assert ask(client, b"acid,sugar,year\n", CSV).content == b"score,rank\n"
    assert ask(client, npy(np.zeros((0, 3))), NPY, JSON).json() == []


FAILING = [*rows(3), {"acid": 1.0, "sugar": 1.0, "year": 1900}, *rows(2)]


class TestFailingRows:
    def test_arrow_has_a_column_of_errors(self, client: httpx.Client):
        answer = ask(client, stream(pa.Table.from_pylist(FAILING)), ARROW)
        assert answer.status_code == 200
        assert answer.headers["twofold-failed-rows"] == "1"
        found = table_of(answer.content)
        assert found["_error"].to_pylist() == [None, None, None, "bad_row: too old", None, None]
        assert found["rank"].to_pylist() == [0, 1, 2, None, 0, 1]

    def test_csv_too(self, client: httpx.Client):
        answer = ask(client, csv_of(FAILING), CSV)
        assert answer.headers["twofold-failed-rows"] == "1"
        lines = answer.text.splitlines()
        assert lines[0] == "score,rank,_error"
        assert lines[4] == ",,bad_row: too old"
        assert lines[5] == "0.0,0,"

    def test_json_has_items(self, client: httpx.Client):
        answer = ask(client, csv_of(FAILING), CSV, JSON)
        assert answer.headers["twofold-failed-rows"] == "1"
        assert answer.json()[3] == {"error": {"code": "bad_row", "message": "too old"}}
        assert answer.json()[4] == {"score": 0.0, "rank": 0}

    def test_npy_fails_as_a_whole(self, client: httpx.Client):
        answer = ask(client, in_every_form(FAILING)[NPY], NPY)
        body = answer.json()
        assert (answer.status_code, body["code"]) == (422, "bad_row")
        assert [error["row"] for error in body["errors"]] == [3]


class TestRowsThatDoNotFit:
    @pytest.mark.parametrize("kind", [ARROW, NPY, CSV])
    def test_ten_are_named(self, client: httpx.Client, kind: str):
        found = rows(40)
        for row in found[20:]:
            row["year"] = 1.5
        answer = ask(client, in_every_form([{**r, "year": float(r["year"])} for r in found])[kind], kind)
        body = answer.json()
        assert (answer.status_code, body["code"]) == (422, "row_does_not_fit")
        assert [(error["row"], error["field"]) for error in body["errors"]] == [(at, "year") for at in range(20, 30)]

    def test_a_late_one_has_its_own_number(self, client: httpx.Client):
        year = np.full(20_000, 2000.0)
        year[17_003] = 0.5
        table = pa.table({"acid": np.zeros(20_000), "sugar": np.zeros(20_000), "year": year})
        (error,) = ask(client, stream(table), ARROW).json()["errors"]
        assert error["row"] == 17_003

    def test_a_missing_column(self, client: httpx.Client):
        answer = ask(client, b"acid,year\n1,2\n", CSV)
        assert (answer.status_code, answer.json()["code"]) == (422, "row_does_not_fit")
        assert "no column 'sugar'" in answer.json()["detail"]
        assert answer.json()["errors"][0]["field"] == "sugar"

    def test_columns_more_than_enough_are_not_looked_at(self, client: httpx.Client):
        assert ask(client, b'note,acid,sugar,year\n"a\nb",1,2,3\n', CSV).content == b"score,rank\n2.0,3\n"


def test_csv_as_spreadsheets_write_it(client: httpx.Client):
    body = "\ufeffacid,sugar,year\r\n1,2,1999\r\n3,4,2001\r\n".encode()
    assert ask(client, body, "text/csv; charset=UTF-8; header=present", JSON).json() == [
        {"score": 2.0, "rank": 9},
        {"score": 12.0, "rank": 1},
    ]
    body = b'amount,currency,items,note\n1.5,EUR,"[""a,b""]",\n2,USD,[],"say ""hi"""\n'
    answer = ask(client, body, CSV, path="/models/payment/predict")
    assert answer.content == b"score,label\n0.015,EUR\n0.02,USD\n"


def test_npy_forms(client: httpx.Client):
    named = np.array([(1.0, 2.0, 1999)], dtype=[("acid", ">f4"), ("sugar", "<f8"), ("year", "<u2")])
    assert ask(client, npy(named), NPY, JSON).json() == [{"score": 2.0, "rank": 9}]
    fortran = np.asfortranarray(np.array([[1.0, 2.0, 1999], [1.0, 3.0, 1998]]))
    assert ask(client, npy(fortran), NPY, JSON).json() == [{"score": 2.0, "rank": 9}, {"score": 3.0, "rank": 8}]
    assert ask(client, npy(np.array([[4], [5]])), NPY, path="/models/parity/predict").json()[0] == {
        "prediction": "Even"
    }


def test_npy_for_a_vector_and_more():
    with serving(models.scaled_sum) as served, httpx.Client(base_url=f"http://127.0.0.1:{served.port}") as client:
        answer = ask(client, npy(np.zeros((3, 2), np.float32)), NPY, JSON)
        assert answer.status_code == 400
        assert "vector (float32[2]), scale (float64)" in answer.json()["detail"]
        assert "structured dtype" in answer.json()["detail"]
        named = np.array([((1.0, 2.0), 3.0)], dtype=[("vector", "<f4", (2,)), ("scale", "<f8")])
        assert ask(client, npy(named), NPY, JSON).json() == [{"prediction": 9.0}]


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


def test_raw_bytes_for_a_model_of_one_bytes_field(client: httpx.Client):
    path = "/models/size/predict"
    for kind in ("image/jpeg", "application/octet-stream", CSV, ARROW, "application/x-www-form-urlencoded", ""):
        assert ask(client, b"\xff\xd8\xff" * 7, kind, path=path).json() == {"prediction": 21}
    assert ask(client, b"", "image/png", path=path).json() == {"prediction": 0}
    assert ask(client, b'{"image": "AAAA"}', JSON, path=path).json() == {"prediction": 3}
    assert ask(client, b"abcd", "text/plain", CSV, path=path).content == b"prediction\n4\n"
    assert ask(client, gzip.compress(b"abcd"), "text/plain", path=path, content_encoding="gzip").json() == {
        "prediction": 4
    }
    assert ask(client, b"x" * (LIMIT + 1), "image/png", path=path).status_code == 413


def test_a_deadline_and_an_id_hold_for_bulk_too(client: httpx.Client):
    answer = ask(client, csv_of(rows(3)), CSV, x_request_id="7", x_deadline_ms="5000")
    assert answer.headers["x-request-id"] == "7"
    answer = ask(client, csv_of(rows(3)), CSV, x_deadline_ms="soon")
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")


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


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        (None, "text/csv"),
        ("", "text/csv"),
        ("*/*", "text/csv"),
        ("application/json", "application/json"),
        ("application/*", "application/json"),
        ("text/csv;q=0.5, application/json;q=0.6", "application/json"),
        ("text/*;q=0.9, */*;q=0.1", "text/csv"),
        ("text/csv;q=0, */*", "application/json"),
        ("TEXT/CSV ; Q=1 ,", "text/csv"),
        ('text/csv;note="a,b";q=0.2, application/json;q=0.1', "text/csv"),
        ("application/json;q=2, text/csv;q=0.1", "text/csv"),
    ],
)
def test_what_a_client_likes_best(accept: str | None, best: str):
    assert best_form(accept, ("text/csv", "application/json")) == best


@pytest.mark.parametrize(
    ("accept", "best"),
    [
        (None, None),
        ("gzip, deflate, br, zstd", "zstd"),
        ("gzip, deflate", "gzip"),
        ("gzip;q=1.0, zstd;q=0.5", "gzip"),
        ("identity", None),
        ("gzip;q=0", None),
        ("*", "zstd"),
        ("*;q=0.5, zstd;q=0", "gzip"),
        ("identity;q=1, gzip;q=0.5", None),
    ],
)
def test_how_an_answer_is_packed(accept: str | None, best: str | None):
    assert best_coding(accept) == best
