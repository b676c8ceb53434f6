"""The fast lane gives the same bytes as the slow way."""

from __future__ import annotations

import gzip
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from tests.realtime import models
from tests.realtime.serving import (
    LAST,
    Served,
    answer,
    ask,
    ask_once,
    chunked,
    connect,
    everything,
    get,
    post,
    replies,
    serving,
    talk,
)

LIMIT = 1000
SEVEN = '{"number": 7}'
CHUNKS = "Transfer-Encoding: chunked"
TOO_LARGE = b'{"number": 7' + b" " * LIMIT + b"}"


def arrow(numbers: list[float]) -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"number": pa.array(numbers, pa.float64())})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return bytes(sink.getvalue())


ARROW = arrow([7, 66, 13])

# What a client sends, in pieces; each ends so that the server ends the connection.
CONVERSATIONS: dict[str, list[bytes]] = {
    "one": [post(SEVEN), LAST],
    "again and again": [post(SEVEN), post(SEVEN), post('{"number": 8}'), LAST],
    "other lengths": [post(SEVEN), post('{"number": 71}'), post('{"number": 712}'), post(SEVEN), LAST],
    "close": [post(SEVEN, "Connection: close")],
    "HTTP/1.0": [post(SEVEN, version="1.0")],
    "HTTP/1.0 keep-alive": [post(SEVEN, "Connection: keep-alive", version="1.0")],
    "split body": [post(SEVEN)[:-5], post(SEVEN)[-5:], LAST],
    "split head": [post(SEVEN)[:20], post(SEVEN)[20:60], post(SEVEN)[60:], LAST],
    "last byte later": [post(SEVEN)[:-1], post(SEVEN)[-1:], LAST],
    "list": [post('[{"number": 7}, {"number": 8}]'), LAST],
    "empty list": [post("[]"), LAST],
    "list with failing rows": [post('[{"number": 66}, {"number": 8}, {"number": 13}]'), LAST],
    "bad row": [post('{"number": 13}'), LAST],
    "model failed": [post('{"number": 66}'), LAST],
    "not JSON": [post("{'number': 7}"), post(SEVEN), LAST],
    "NaN token": [post('{"number": NaN}'), LAST],
    "no body": [post(""), LAST],
    "row does not fit": [post('{"number": 7.5}'), post('{"number": true}'), post('{"nummer": 7}'), LAST],
    "rows do not fit": [post("[" + ",".join(['{"number": null}'] * 12) + "]"), LAST],
    "not a row": [post("7"), post('"x"'), post("null"), post("[7]"), LAST],
    "white space first": [post(" \n" + SEVEN), LAST],
    "byte order mark": [post(b"\xef\xbb\xbf" + SEVEN.encode()), LAST],
    "not UTF-8": [post(b'{"number": "\xff"}'), LAST],
    "content type with parameters": [post(SEVEN, "Content-Type: application/json; charset=utf-8"), LAST],
    "content type in capitals": [post(SEVEN, "Content-Type: APPLICATION/JSON"), LAST],
    "other charset": [post(SEVEN, "Content-Type: application/json; charset=latin-1"), LAST],
    "other content type": [post(SEVEN, "Content-Type: text/html"), post(SEVEN), LAST],
    "no content type": [post(SEVEN, "Content-Type:"), LAST],
    "gzip": [post(gzip.compress(SEVEN.encode(), mtime=0), "Content-Encoding: gzip"), LAST],
    "not gzip": [post(SEVEN, "Content-Encoding: gzip"), post(SEVEN, "Content-Encoding: br"), LAST],
    "accept": [post(SEVEN, f"Accept: {it}") for it in ("*/*", "application/json", "application/*;q=0.1, a/b")] + [LAST],
    "accept other forms": [post(SEVEN, "Accept: text/csv"), post(f"[{SEVEN}]", "Accept: text/csv, */*;q=0.5"), LAST],
    "accept nothing there is": [post(SEVEN, "Accept: text/html"), post(SEVEN, "Accept: */*;q=0"), LAST],
    "Arrow": [post(ARROW, "Content-Type: application/vnd.apache.arrow.stream") for _ in range(2)] + [LAST],
    "Arrow, broken": [post(ARROW[:-90], "Content-Type: application/vnd.apache.arrow.stream"), LAST],
    "Arrow, no rows": [post(arrow([]), "Content-Type: application/vnd.apache.arrow.stream"), LAST],
    ".npy": [post(b"\x93NUMPY", "Content-Type: application/x-npy"), LAST],
    "CSV": [post("number\n7\n", "Content-Type: text/csv"), LAST],
    "identity": [post(SEVEN, "Content-Encoding: identity"), LAST],
    "chunked": [post(chunked(b'{"num', b'ber": 7}'), CHUNKS), LAST],
    "chunked, too large": [post(chunked(*[TOO_LARGE[:500]] * 4), CHUNKS), LAST],
    "too large": [post(TOO_LARGE), post(SEVEN), LAST],
    "as large as allowed": [post(b'{"number": 7' + b" " * (LIMIT - 13) + b"}"), LAST],
    "continue": [post(SEVEN, "Expect: 100-continue"), LAST],
    "get": [get("/predict"), LAST],
    "put": [post(SEVEN, method="PUT"), LAST],
    "options": [get("/predict", method="OPTIONS"), LAST],
    "head": [get("/predict", method="HEAD"), LAST],
    "unknown method": [get("/predict", method="BREW"), LAST],
    "query": [post(SEVEN, path="/predict?verbose=1"), LAST],
    "slash": [post(SEVEN, path="/predict/"), LAST],
    "encoded path": [post(SEVEN, path="/%70redict"), LAST],
    "absolute target": [post(SEVEN, path="http://test/predict"), LAST],
    "many headers": [post(SEVEN, *(f"X-{n}: {n}" for n in range(60))), LAST],
    "header twice": [post(SEVEN, "X-A: b", "X-A: c"), LAST],
    "length twice": [post(SEVEN, "Content-Length: 13", "Content-Length: 13")],
    "length and chunks": [post(chunked(SEVEN.encode()), CHUNKS, "Content-Length: 5")],
    "length is not a number": [post(SEVEN, "Content-Length: +13")],
    "websocket": [post(SEVEN, "Connection: Upgrade", "Upgrade: websocket"), LAST],
    "websocket without a body": [get("/predict", "Connection: Upgrade", "Upgrade: websocket"), LAST],
    "websocket and more": [get("/predict", "Connection: Upgrade", "Upgrade: websocket") + post(SEVEN) + LAST],
    "HTTP/2 upgrade": [post(SEVEN, "Connection: Upgrade", "Upgrade: h2c"), LAST],
    "deadline": [post(SEVEN, "X-Deadline-Ms: 5000"), post(SEVEN, "X-Deadline-Ms: 5000"), LAST],
    "deadline that is none": [
        *(post(SEVEN, f"X-Deadline-Ms: {it}") for it in ("", "0", "-1", "1.5", "1e3", "9" * 10)),
        LAST,
    ],
    "request id": [post(SEVEN, "X-Request-Id: a-1"), post(SEVEN, "X-Request-Id: a-2"), post(SEVEN), LAST],
    "request id and errors": [post("{", "X-Request-Id: a-1"), post('{"number": 66}', "X-Request-Id: a-2"), LAST],
    "request id, unusable": [
        *(post(SEVEN, f"X-Request-Id: {it}") for it in ("", 'a"b', "a\\b", "a b", "é", "x" * 129)),
        LAST,
    ],
    "request id, last": [post(SEVEN, "X-Request-Id: " + "x" * 128, "Connection: close")],
    "bare line feeds": [post(SEVEN).replace(b"\r\n", b"\n")],
    "empty lines before": [b"\r\n\r\n" + post(SEVEN), LAST],
    "pipelined": [post(SEVEN) + post('{"number": 8}') + post('{"number": 9}') + LAST],
    "pipelined, then alone": [post(SEVEN) + post('{"number": 8}'), post(SEVEN), LAST],
    "pipelined with other paths": [post(SEVEN) + get("/health/ready") + post(SEVEN) + get("/nothing") + LAST],
    "pipelined after another": [get("/health/ready") + post(SEVEN) + post(SEVEN) + LAST],
    "pipelined with errors": [post("{") + post(SEVEN) + post('{"number": 66}') + post(SEVEN, "X-A: b") + LAST],
    "pipelined after the last": [post(SEVEN, "Connection: close") + post('{"number": 8}')],
    "pipelined in pieces": [post(SEVEN) + post(SEVEN)[:30], post(SEVEN)[30:] + LAST],
    "garbage": [b"GARBAGE\r\n\r\n"],
    "garbage behind a request": [post(SEVEN) + b"GARBAGE\r\n\r\n"],
    "garbage in chunks": [post(b"zz\r\n", CHUNKS)],
    "TLS": [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    "large header": [post(SEVEN, "X-Large: " + "x" * 70_000)],
    "large header in pieces": [post(SEVEN, "X-Large: " + "x" * 200_000)[:150_000], b"x" * 1000],
    "large target": [get("/" + "x" * 70_000)],
    "header within the limit": [post(SEVEN, "X-Large: " + "x" * 50_000), LAST],
    "body cut off": [post(SEVEN)[:-3]],
    "head cut off": [post(SEVEN)[:30]],
}
CUT_OFF = {"body cut off", "head cut off"}


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def both(request: pytest.FixtureRequest) -> Iterator[tuple[Served, Served]]:
    """One server with the lane, one without."""
    options = {"loop": request.param, "max_body_bytes": LIMIT}
    with serving(models.parity, **options) as fast, serving(models.parity, fast_lane=False, **options) as slow:
        yield fast, slow


@pytest.mark.parametrize("half_close", [False, True], ids=["", "half-closed"])
def test_the_lane_answers_what_the_app_answers(
    both: tuple[Served, Served], half_close: bool, monkeypatch: pytest.MonkeyPatch
):
    for module in ("lane", "waiting"):  # however slow the machine is
        monkeypatch.setattr(f"twofold._realtime.http.{module}.PARTING_S", 10.0)

    def said(port: int, name: str) -> bytes:
        return talk(port, *CONVERSATIONS[name], half_close=half_close or name in CUT_OFF)

    with ThreadPoolExecutor(12) as threads:
        fast = dict(zip(CONVERSATIONS, threads.map(lambda name: said(both[0].port, name), CONVERSATIONS), strict=True))
        slow = dict(zip(CONVERSATIONS, threads.map(lambda name: said(both[1].port, name), CONVERSATIONS), strict=True))
    assert fast == slow
    assert all(fast.values())
    assert all(
        fast[name].startswith(b"HTTP/1.1 400 ") and b"ended before the request did" in fast[name] for name in CUT_OFF
    )
    failed = {name for name, data in fast.items() if b"HTTP/1.1 5" in data}
    assert failed == {"model failed", "pipelined with errors", "request id and errors"}


def test_conversations_say_what_is_expected(both: tuple[Served, Served]):
    """The equality above would hold of two empty servers too."""
    port = both[0].port

    def statuses(name: str) -> list[int]:
        return [reply.status for reply in replies(talk(port, *CONVERSATIONS[name]))]

    assert statuses("again and again") == [200, 200, 200, 200]
    assert statuses("pipelined") == [200, 200, 200, 200]
    assert statuses("pipelined with other paths") == [200, 200, 200, 404, 200]
    assert statuses("pipelined with errors") == [400, 200, 500, 200, 200]
    assert statuses("pipelined after the last") == [200]
    assert statuses("websocket and more") == [405, 200, 200]
    assert statuses("too large") == [413, 200, 200]
    assert statuses("chunked, too large") == [413, 200]
    assert statuses("chunked") == [200, 200]
    assert statuses("garbage") == [400]
    assert statuses("garbage behind a request") == [200]
    assert statuses("large header") == statuses("large header in pieces") == statuses("large target") == [431]
    assert statuses("get") == statuses("put") == [405, 200]
    assert statuses("gzip") == statuses("CSV") == [200, 200]
    assert statuses("not gzip") == [400, 415, 200]
    assert statuses("accept nothing there is") == [406, 406, 200]
    assert statuses("other charset") == [415, 200]
    assert statuses("deadline") == [200, 200, 200]
    assert statuses("deadline that is none") == [400] * 6 + [200]
    first, second, _ = replies(talk(port, *CONVERSATIONS["other lengths"][:2], LAST))
    assert first.body == second.body == b'{"prediction":"Odd"}'
    assert first.headers["model-version"] == "0123456789ab"


def test_which_requests_take_the_lane(both: tuple[Served, Served], monkeypatch: pytest.MonkeyPatch):
    from twofold._realtime.http.lane_request import LaneRequest

    taken: list[bytes] = []
    start = LaneRequest.start

    def noted(self: LaneRequest, body: bytes) -> None:
        taken.append(body)
        start(self, body)

    monkeypatch.setattr(LaneRequest, "start", noted)

    def count(*pieces: bytes, served: Served = both[0]) -> int:
        taken.clear()
        talk(served.port, *pieces)
        return len(taken)

    assert count(post(SEVEN), post(SEVEN), LAST) == 2
    assert count(post(SEVEN)[:50], post(SEVEN)[50:], LAST) == 1
    assert count(post("{"), LAST) == 1
    kind = "Content-Type: application/vnd.apache.arrow.stream"
    assert count(post(ARROW, kind), post(ARROW, kind, "Accept: */*", "Accept-Encoding: identity"), LAST) == 2
    assert count(post(ARROW, kind, "Accept: text/csv"), post(ARROW, kind, "Accept-Encoding: gzip"), LAST) == 0
    assert count(post(SEVEN, "Accept: application/json, text/plain, */*"), LAST) == 1
    assert count(post(SEVEN, "Accept: text/csv"), LAST) == 0
    assert count(post(SEVEN, version="1.0")) == 1
    assert count(post(SEVEN) + post(SEVEN) + post(SEVEN) + LAST) == 1
    assert count(post(SEVEN, "Expect: 100-continue"), LAST) == 0
    assert count(post(chunked(SEVEN.encode()), CHUNKS), LAST) == 0
    assert count(post(SEVEN, "Content-Encoding: identity"), LAST) == 0
    assert count(post(SEVEN, path="/predict?x"), LAST) == 0
    assert count(post(SEVEN, "Content-Length: 13", "Content-Type:"), LAST) == 0
    assert count(post(TOO_LARGE), LAST) == 0
    assert count(post(SEVEN), LAST, served=both[1]) == 0


def test_a_remembered_head_is_not_taken_for_another(both: tuple[Served, Served]):
    with connect(both[0].port) as sock:
        for body, status in ((SEVEN, 200), (SEVEN, 200), ('{"number":77}', 200), ("not JSON, 13.", 400), (SEVEN, 200)):
            assert len(body) == 13
            assert ask(sock, post(body)).status == status
        sock.sendall(post(SEVEN)[:-13])  # the same head, its body later
        time.sleep(0.02)
        assert ask(sock, SEVEN.encode()).json == {"prediction": "Odd"}
        assert ask(sock, post(SEVEN, "X-A: b")).status == 200
        sock.sendall(post(SEVEN) + post(SEVEN) + LAST)
        assert [reply.status for reply in replies(everything(sock))] == [200, 200, 200]


@pytest.mark.parametrize("fast_lane", [True, False], ids=["lane", "app"])
class TestTerms:
    def test_a_request_id_is_given_back(self, both: tuple[Served, Served], fast_lane: bool):
        port = both[0 if fast_lane else 1].port
        reply = ask_once(port, post(SEVEN, "X-Request-Id: order/17.b"))
        assert reply.headers["x-request-id"] == "order/17.b"
        reply = ask_once(port, post("{", "X-Request-Id: order/17.b"))
        assert reply.headers["x-request-id"] == reply.json["request_id"] == "order/17.b"
        assert ask_once(port, get("/health/live", "X-Request-Id: 9")).headers["x-request-id"] == "9"
        assert ask_once(port, get("/nothing", "X-Request-Id: 9")).json["request_id"] == "9"

    def test_an_error_without_one_is_given_one(self, both: tuple[Served, Served], fast_lane: bool):
        port = both[0 if fast_lane else 1].port
        assert "x-request-id" not in ask_once(port, post(SEVEN)).headers
        for _ in range(2):  # whether it is logged or not: the log has one of a kind a second
            reply = ask_once(port, post('[{"number": 66}, {"number": 7}]'))
            assert reply.status == 200
            assert re.fullmatch("[0-9a-f]{16}", reply.headers["x-request-id"])
        seen = set()
        for request in (post("{"), post("{"), get("/nothing"), b"GARBAGE\r\n\r\n", post(SEVEN, 'X-Request-Id: "')):
            reply = ask_once(port, request)
            if reply.status != 200:
                assert re.fullmatch("[0-9a-f]{16}", reply.json["request_id"])
                assert reply.headers["x-request-id"] == reply.json["request_id"]
                seen.add(reply.json["request_id"])
        assert len(seen) == 4

    def test_a_deadline_is_shortened_and_never_lengthened(self, fast_lane: bool):
        with serving(models.many_at_once, fast_lane=fast_lane, deadline_s=0.3) as served, connect(served.port) as sock:
            for milliseconds, given, status in ((1, 200, 200), (5000, 50, 504), (1, 200, 200), (5000, 60_000, 504)):
                began = time.monotonic()
                reply = ask(sock, post(f'{{"milliseconds": {milliseconds}}}', f"X-Deadline-Ms: {given}"))
                assert reply.status == status
                assert time.monotonic() - began < 2
                assert status == 200 or reply.code == "deadline_exceeded"


def test_a_body_in_many_pieces():
    number = "1" + "0" * 15
    with serving(models.parity) as served, connect(served.port) as sock:
        body = "[" + ",".join([f'{{"number": {number}}}'] * 40_000) + "]"
        sock.sendall(post(body))
        reply = answer(sock)
        assert reply.status == 200
        assert reply.json == [{"prediction": "Even"}] * 40_000
