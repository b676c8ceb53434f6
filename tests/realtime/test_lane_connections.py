"""Everything that can happen to a connection, on the fast lane and on the slow way."""

from __future__ import annotations

import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.processes import wait_for
from tests.realtime import models
from tests.realtime.serving import (
    answer,
    ask,
    ask_once,
    connect,
    everything,
    get,
    post,
    replies,
    serving,
    talk,
)
from twofold._realtime.counters import OUTCOMES

SEVEN = '{"number": 7}'
CHUNKS = "Transfer-Encoding: chunked"


@pytest.mark.parametrize("fast_lane", [True, False], ids=["lane", "app"])
class TestConnections:
    def test_a_slow_reader_does_not_fill_the_memory(self, fast_lane: bool):
        length = 300_000
        with serving(models.long_answers, fast_lane=fast_lane) as served, connect(served.port) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 100_000)
            sock.settimeout(0.3)
            request = post(f'{{"length": {length}}}' + " " * 50_000)
            sent = 0
            try:  # ask and ask, and read nothing
                while sent < 1000:
                    sock.sendall(request)
                    sent += 1
            except TimeoutError:
                pass
            assert sent < 1000, "the server never stopped reading"
            sock.settimeout(10)
            for _ in range(20):
                assert len(answer(sock).body) == length + len('{"prediction":""}')

    def test_a_client_that_goes_away_takes_its_rows_out_of_the_queue(self, fast_lane: bool):
        with serving(models.one_at_a_time, fast_lane=fast_lane) as served:
            models.calls.clear()
            first = connect(served.port)
            first.sendall(post('{"milliseconds": 300}'))
            wait_for(lambda: models.calls)
            waiting = [connect(served.port) for _ in range(6)]
            for n, sock in enumerate(waiting):
                sock.sendall(post(f'[{{"milliseconds": {n + 1}}}, {{"milliseconds": {n + 1}}}]'))
            wait_for(lambda: served.service.rows_waiting == 12)
            for n, sock in enumerate(waiting[:5]):
                if n % 2:  # a reset instead of an end
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                sock.close()
            wait_for(lambda: served.service.rows_waiting == 2)
            assert answer(first).json == {"prediction": "done"}
            assert answer(waiting[5]).json == [{"prediction": "done"}] * 2
            assert models.calls == [300, 6, 6]
            gone = OUTCOMES.index("client_gone")
            wait_for(lambda: served.service.counters.cells[gone] >= 5)
            assert served.service.counters.cells[gone] == 5
            first.close()
            waiting[5].close()

    def test_a_half_closed_client_is_answered_when_its_row_is_with_the_model(self, fast_lane: bool):
        with serving(models.many_at_once, fast_lane=fast_lane) as served:
            data = talk(served.port, post('{"milliseconds": 150}'), half_close=True)
            (reply,) = replies(data)
            assert reply.json == {"prediction": "done"}
            assert reply.headers["connection"] == "close"

    def test_a_half_closed_client_whose_row_waits_is_told(self, fast_lane: bool):
        tensor = '{"inputs": [{"name": "milliseconds", "datatype": "INT64", "shape": [1], "data": [1]}]}'
        with serving(models.one_at_a_time, fast_lane=fast_lane) as served, connect(served.port) as first:
            models.calls.clear()
            first.sendall(post('{"milliseconds": 400}'))
            wait_for(lambda: models.calls)
            (reply,) = replies(talk(served.port, post('{"milliseconds": 1}'), half_close=True))
            assert (reply.status, reply.code, reply.headers["connection"]) == (400, "bad_request", "close")
            assert "ended its half" in reply.json["detail"]
            (reply,) = replies(talk(served.port, post(tensor, path="/v2/models/one_at_a_time/infer"), half_close=True))
            assert reply.status == 400
            assert "ended its half" in reply.json["error"]
            assert answer(first).json == {"prediction": "done"}
            assert models.calls == [400]

    def test_a_request_that_comes_slowly_is_refused(self, fast_lane: bool, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr("twofold._realtime.http.lane.HEAD_S", 0.3)
        monkeypatch.setattr("twofold._realtime.http.lane.BODY_S", 0.6)
        with serving(models.parity, fast_lane=fast_lane) as served:
            whole = post(SEVEN)

            def drip(before: bytes, rest: bytes) -> tuple[int, float]:
                with connect(served.port) as sock:
                    assert ask(sock, whole).status == 200
                    time.sleep(0.4)  # a connection may be idle for longer than that
                    sock.sendall(before)
                    began = time.monotonic()
                    sock.settimeout(0.03)
                    for at in range(200):
                        try:
                            sock.sendall(rest[at % len(rest) :][:1])
                            data = sock.recv(1 << 16)
                        except TimeoutError:
                            continue
                        return replies(data)[0].status, time.monotonic() - began
                    raise AssertionError("nothing came")

            status, seconds = drip(whole[:40], b"x")
            assert status == 408
            assert 0.2 < seconds < 2
            status, seconds = drip(post("", "Content-Length: 1000"), b" ")
            assert status == 408
            assert 0.4 < seconds < 3

    def test_a_client_that_goes_away_meanwhile_harms_nobody(self, fast_lane: bool):
        with serving(models.many_at_once, fast_lane=fast_lane) as served:
            other = connect(served.port)
            other.sendall(post('{"milliseconds": 200}'))
            for _ in range(5):
                gone = connect(served.port)
                gone.sendall(post('{"milliseconds": 100}'))
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                gone.close()
            assert answer(other).status == 200
            other.close()

    def test_a_drain_answers_what_is_in_flight(self, fast_lane: bool):
        with serving(models.many_at_once, fast_lane=fast_lane) as served:
            busy, idle, fresh = (connect(served.port) for _ in range(3))
            assert ask(idle, post('{"milliseconds": 1}')).status == 200
            busy.sendall(post('{"milliseconds": 400}') + post('{"milliseconds": 1}'))
            half = connect(served.port)
            half.sendall(post('{"milliseconds": 2}')[:-4])
            time.sleep(0.1)
            served.stop()
            time.sleep(0.1)
            assert served.service.accepting is False
            half.sendall(post('{"milliseconds": 2}')[-4:])
            reply = answer(half)
            assert reply.status == 200
            assert reply.headers["connection"] == "close"
            answered = replies(everything(busy))
            assert [reply.status for reply in answered] == [200, 200]
            assert answered[-1].headers["connection"] == "close"
            assert everything(idle) == everything(fresh) == b""
            served.thread.join(5)
            assert not served.thread.is_alive()
            for sock in (busy, idle, fresh, half):
                sock.close()

    def test_a_drain_has_an_end(self, fast_lane: bool):
        with serving(models.many_at_once, fast_lane=fast_lane, drain_s=0.3) as served, connect(served.port) as sock:
            sock.sendall(post('{"milliseconds": 60000}'))
            time.sleep(0.1)
            served.stop()
            (told,) = replies(everything(sock))
            assert (told.status, told.code, told.headers["retry-after"]) == (503, "not_ready", "1")
            assert told.headers["connection"] == "close"
            served.thread.join(5)
            assert not served.thread.is_alive()

    def test_a_deadline_is_kept(self, fast_lane: bool):
        for model in (models.many_at_once, models.in_threads):
            with serving(model, fast_lane=fast_lane, deadline_s=0.2) as served, connect(served.port) as sock:
                begun = time.monotonic()
                reply = ask(sock, post('{"milliseconds": 600}'))
                assert (reply.status, reply.code) == (504, "deadline_exceeded")
                reply = ask(sock, post('[{"milliseconds": 1}, {"milliseconds": 600}]'))
                assert (reply.status, reply.code) == (504, "deadline_exceeded")
                assert time.monotonic() - begun < 5
                assert ask(sock, post('{"milliseconds": 1}')).json == {"prediction": "done"}

    def test_idle_connections_end_and_busy_ones_do_not(self, fast_lane: bool):
        with serving(models.many_at_once, fast_lane=fast_lane, keep_alive_s=0.3) as served:
            with connect(served.port) as sock:
                assert ask(sock, post('{"milliseconds": 700}')).status == 200
                time.sleep(0.15)
                assert ask(sock, post('{"milliseconds": 1}')).status == 200
                assert everything(sock) == b""
            with connect(served.port) as sock:
                assert everything(sock) == b""
            for cut in (30, -5):
                with connect(served.port) as sock:
                    sock.sendall(post('{"milliseconds": 1}')[:cut])
                    (reply,) = replies(everything(sock))
                    assert (reply.status, reply.code) == (408, "request_timeout")

    def test_many_wait_at_once_while_health_answers(self, fast_lane: bool):
        with serving(models.many_at_once, fast_lane=fast_lane) as served, ThreadPoolExecutor(33) as threads:
            begun = time.monotonic()
            asked = [threads.submit(ask_once, served.port, post('{"milliseconds": 500}')) for _ in range(32)]
            time.sleep(0.1)
            assert ask_once(served.port, get("/health/live")).status == 200
            assert not asked[0].done()
            assert {f.result().status for f in asked} == {200}
            assert time.monotonic() - begun < 10
