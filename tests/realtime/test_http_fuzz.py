"""Whatever is sent, the server answers with a status that it declares, or ends the connection; and then goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator

import msgspec
import pytest

from tests.realtime import models
from tests.realtime.serving import LAST, Served, ask, ask_once, connect, get, post, replies, serving, talk
from twofold._realtime.http.problems import PROBLEMS

DECLARED = {200, *(row.status for row in PROBLEMS.values())}
PAYMENT = b'{"amount": 12.5, "currency": "EUR", "items": ["a", "b"], "note": null, "express": true}'


@pytest.fixture(scope="module")
def payment() -> Iterator[Served]:
    with serving(models.payment, max_body_bytes=4 << 20) as served:
        yield served


BOMBS = {
    "arrays": b"[" * 200_000,
    "closed arrays": b"[" * 200_000 + b"]" * 200_000,
    "objects": b'{"amount":' * 200_000,
    "deep field": b'{"amount": 1, "currency": "EUR", "items": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep unknown field": b'{"amount": 1, "currency": "EUR", "items": [], "x": ' + b"[" * 900 + b"]" * 900 + b"}",
    "digits": b'{"amount": ' + b"9" * 100_000 + b', "currency": "EUR", "items": []}',
    "decimals": b'{"amount": 0.' + b"9" * 100_000 + b', "currency": "EUR", "items": []}',
    "exponent": b'{"amount": 1e999999999999, "currency": "EUR", "items": []}',
    "small exponent": b'{"amount": 1e-999999999999, "currency": "EUR", "items": []}',
    "many keys": b"{" + b",".join(b'"k%d": 1' % n for n in range(50_000)) + b"}",
    "same key": b"{" + b",".join([b'"amount": 1'] * 50_000) + b"}",
    "long key": b'{"' + b"k" * 1_000_000 + b'": 1}',
    "long text": b'{"amount": "' + b"x" * 1_000_000 + b'", "currency": "EUR", "items": []}',
    "lone surrogate": b'{"amount": 1, "currency": "EUR", "items": ["\\ud800"], "note": "\\udfff\\ud800"}',
    "surrogate key": b'{"\\ud800": 1}',
    "surrogate choice": b'{"amount": 1, "currency": "\\ud800", "items": []}',
    "NUL": b'{"amount": 1, "currency": "EUR", "items": ["\\u0000"], "note": "\\u0000"}',
    "cut UTF-8": b'{"amount": 1, "currency": "EUR", "items": ["\xc3"]}',
    "many empty rows": b"[" + b",".join([b"{}"] * 100_000) + b"]",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs(payment: Served, name: str):
    reply = ask_once(payment.port, post(BOMBS[name]))
    assert reply.status in {200, 400, 422}, reply
    if reply.status != 200:
        assert reply.code in {"not_json", "row_does_not_fit"}
        assert len(reply.body) < 20_000
    assert ask_once(payment.port, post(PAYMENT)).status == 200


def test_mutated_bodies(payment: Served):
    chance = random.Random(7)
    pieces = [b"{", b"}", b"[", b"]", b",", b'"', b"\\", b"null", b"1e999", b"NaN", b"\xff", b"-", b"true", b"\\ud800"]
    counts: dict[int, int] = {}
    with connect(payment.port) as sock:
        for _ in range(3000):
            body = bytearray(PAYMENT if chance.random() < 0.7 else b"[" + PAYMENT + b"," + PAYMENT + b"]")
            for _ in range(chance.randint(1, 4)):
                at = chance.randrange(len(body))
                match chance.randrange(3):
                    case 0:
                        body[at : at + 1] = chance.choice(pieces)
                    case 1:
                        body[at] = chance.randrange(256)
                    case _:
                        del body[at : at + chance.randint(1, 10)]
            reply = ask(sock, post(bytes(body)))
            counts[reply.status] = counts.get(reply.status, 0) + 1
            msgspec.json.decode(reply.body)
    assert set(counts) == {200, 400, 422}, counts


# What is refused by the connection while the app has, or is about to have, something to say to it.
TWICE_REFUSED = {
    "a body of no known type breaks": post(b"zz\r\n", "Transfer-Encoding: chunked", "Content-Type: text/html"),
    "a body breaks that was not asked for": post(b"zz\r\n", "Transfer-Encoding: chunked", "Expect: 100-continue"),
    "a body breaks in its middle": post(b"1\r\n{\r\nzz\r\n", "Transfer-Encoding: chunked"),
    "what comes behind too large a head is no HTTP": get("/docs", "X: " + "x" * 70_000) + b"nonsense\r\n\r\n",
    "cut off, and of no known type": post(b"{", "Content-Length: 9", "Content-Type: text/html"),
    "cut off, and not asked for": post(b"{", "Content-Length: 9", "Expect: 100-continue", "Accept: text/csv"),
}


@pytest.mark.parametrize("name", TWICE_REFUSED)
def test_a_request_is_answered_once(payment: Served, name: str, caplog: pytest.LogCaptureFixture):
    for _ in range(5):
        data = talk(payment.port, TWICE_REFUSED[name], half_close=True)
        assert data.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").count(b"HTTP/1.1 ") == 1, data
    assert [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"] == []


def test_mutated_requests(payment: Served):
    """Bytes that are hardly HTTP any more: answered with declared statuses only, and never left hanging."""
    chance = random.Random(8)
    whole = [
        post(PAYMENT),
        get("/openapi.json"),
        post(PAYMENT, "Transfer-Encoding: chunked"),
        get("/docs", method="HEAD"),
    ]
    for _ in range(300):
        request = bytearray(chance.choice(whole))
        head = request.index(b"\r\n\r\n")
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(head)
            match chance.randrange(3):
                case 0:
                    request[at] = chance.randrange(256)
                case 1:
                    del request[at : at + chance.randint(1, 8)]
                case _:
                    request[at:at] = chance.choice([b"\r\n", b":", b" ", b"\0", b"\x80", b"\r", b"\n", b"HTTP/9.9"])
        data = talk(payment.port, bytes(request), half_close=True)
        if data:
            assert int(data[9:12]) in DECLARED | {100}, data
    assert [reply.status for reply in replies(talk(payment.port, post(PAYMENT), LAST))] == [200, 200]
