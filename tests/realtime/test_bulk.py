"""Bulk bodies: columns in and out, in every form."""

from __future__ import annotations

import gzip
from collections.abc import Iterator

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
    read_answer,
    rows,
    stream,
    table_of,
)
from tests.realtime.serving import Served, serving
from twofold._realtime.http.media import best_coding, best_form


@pytest.fixture(scope="module")
def wine() -> Iterator[Served]:
    with serving(models.wine, models.parity, models.size, models.payment, max_body_bytes=LIMIT) as served:
        yield served


@pytest.fixture
def client(wine: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{wine.port}", headers={"accept-encoding": "identity"}) as client:
        yield client


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

    def test_arrow_where_no_row_has_an_answer(self, client: httpx.Client):
        answer = ask(client, stream(pa.Table.from_pylist([FAILING[3]] * 2)), ARROW)
        assert answer.status_code == 200, answer.text
        found = table_of(answer.content)
        assert found["_error"].to_pylist() == ["bad_row: too old"] * 2
        assert found["rank"].to_pylist() == [None, None]

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
