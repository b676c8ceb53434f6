"""Counts of several processes, added up and shown as Prometheus text."""

from __future__ import annotations

import http.client
import os
import socket
import urllib.request
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.processes import wait_for
from tests.realtime.models import parity
from tests.realtime.serving import serving
from tests.served import started
from twofold._realtime.board import Board
from twofold._realtime.counters import GAUGES, OUTCOMES, SECOND_BOUNDS, Counters
from twofold._realtime.exposition import exposition
from twofold._realtime.http.problems import PROBLEMS
from twofold._realtime.oip.errors import STATUSES


def samples(board: Board, *models: tuple[str, str]) -> dict[tuple[str, ...], float]:
    """(name, label values…) -> value, read by prometheus-client's own parser."""
    families = text_string_to_metric_families(exposition(board, models).decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


def count_something(counters: Counters) -> None:
    counters.arrived()
    counters.arrived()
    counters.called(rows=3, failed_rows=1, model_s=0.004, began=9.0, came=[9.0 - 0.0002, 8.9])
    counters.left(9.004, [9.0 - 0.0002])
    counters.succeeded()
    counters.ended("bad_row")
    counters.refused("queue")
    counters.waiting(5)


def test_the_counts_of_all_processes_are_added_up_for_each_model() -> None:
    board = Board.create(2)
    for slot in (0, 7):
        board.enter(slot, os.getpid())
        count_something(Counters(board.cells(slot, 1)))
    found = samples(board, ("fraud", "1a"), ("parity", "2b"))
    assert found["twofold_requests_total", "ok", "parity"] == 2
    assert found["twofold_requests_total", "bad_row", "parity"] == 2
    assert found["twofold_requests_total", "ok", "fraud"] == 0
    assert found["twofold_refused_total", "parity", "queue"] == 2
    assert found["twofold_rows_total", "parity"] == 6
    assert found["twofold_failed_rows_total", "parity"] == 2
    assert found["twofold_requests_in_flight", "parity"] == 2
    assert found["twofold_queue_rows", "parity"] == 10
    assert found["twofold_batch_rows_bucket", "2", "parity"] == 0
    assert (
        found["twofold_batch_rows_bucket", "4", "parity"] == found["twofold_batch_rows_bucket", "+Inf", "parity"] == 2
    )
    assert found["twofold_model_seconds_bucket", "0.003", "parity"] == 0
    assert found["twofold_model_seconds_bucket", "0.005", "parity"] == 2
    assert found["twofold_queue_seconds_count", "parity"] == 4
    assert abs(found["twofold_queue_seconds_sum", "parity"] - 0.2004) < 1e-9
    assert found["twofold_model_info", "parity", "2b"] == 1
    assert found[("twofold_resident_memory_bytes",)] > 1e6


def test_counters_do_not_fall_when_a_process_ends_and_its_slot_is_used_again() -> None:
    board = Board.create()
    board.enter(3, os.getpid())
    count_something(Counters(board.cells(3, 0)))
    before = samples(board, ("m", "1"))
    board.clear(3)
    after = samples(board, ("m", "1"))
    gauges = {("twofold_requests_in_flight", "m"), ("twofold_queue_rows", "m"), ("twofold_resident_memory_bytes",)}
    assert {key: value for key, value in before.items() if key not in gauges} == {
        key: value for key, value in after.items() if key not in gauges
    }
    assert after["twofold_requests_in_flight", "m"] == after["twofold_queue_rows", "m"] == 0
    board.enter(3, os.getpid())
    count_something(Counters(board.cells(3, 0)))
    assert samples(board, ("m", "1"))["twofold_rows_total", "m"] == 6


def count_in_another_process(fd: int, slot: int) -> None:
    count_something(Counters(Board(fd).cells(slot, 0)))


def test_another_process_counts_on_the_same_board() -> None:
    board = Board.create()
    board.enter(1, os.getpid())
    child = get_context("fork").Process(target=count_in_another_process, args=(board.fd, 1))
    child.start()
    child.join()
    assert board.sums(0)[0] == 1


def test_only_slots_that_are_used_are_looked_at() -> None:
    board = Board.create()
    seen_by_another = Board(board.fd)
    assert board.used == 0
    for slot, connections in ((0, 3), (1, 2), (4, 5)):
        board.enter(slot, os.getpid())
        board.put(slot, connections)
    assert seen_by_another.used == 5
    assert [board.someone_has_fewer(slot) for slot in (0, 1, 4)] == [True, False, True]
    board.clear(4)
    assert seen_by_another.used == 2
    assert len(board.pids()) == 2
    board.clear(1)
    assert seen_by_another.used == 1
    assert seen_by_another.alone(0)
    assert not seen_by_another.someone_has_fewer(0)
    board.clear(0)
    assert board.used == 0
    board.close()


def test_every_problem_has_a_counter() -> None:
    assert {*PROBLEMS, *STATUSES} <= set(OUTCOMES)


def test_a_value_on_a_bound_belongs_to_its_bucket() -> None:
    board = Board.create()
    board.enter(0, os.getpid())
    Counters(board.cells(0, 0)).left(0.0, [-SECOND_BOUNDS[0], -1e9])
    found = samples(board, ("m", "1"))
    assert found["twofold_request_seconds_bucket", f"{SECOND_BOUNDS[0]:g}", "m"] == 1
    assert found["twofold_request_seconds_bucket", f"{SECOND_BOUNDS[-1]:g}", "m"] == 1
    assert found["twofold_request_seconds_bucket", "+Inf", "m"] == 2
    assert board.sums(0)[GAUGES[0]] == -2


# ---- of a server


FILE = """
import os, signal, twofold


@twofold.model
def parity(number: int) -> str:
    if number == 13:
        raise twofold.BadRow("not this one")
    if number == 666:
        os.kill(os.getpid(), signal.SIGKILL)
    return "Even" if number % 2 == 0 else "Odd"
"""


def scraped(port: int) -> dict[tuple[str, ...], float]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
        families = text_string_to_metric_families(answer.read().decode())
    return {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}


@pytest.mark.parametrize("layout", ["--inline", "--isolate"])
def test_a_server_counts_over_all_its_processes_and_forgets_nothing(tmp_path: Path, layout: str) -> None:
    (tmp_path / "parity.py").write_text(FILE)
    with started("serve", tmp_path / "parity.py", "--port", "0", "--workers", "2", layout) as server:
        server.wait_until_ready()
        bodies = [*({"number": n} for n in range(20)), {"number": "x"}, [{"number": 13}, {"number": 2}]]
        assert [server.ask(body)[0] for body in bodies].count(200) == 20
        found = scraped(server.port)
        assert found["twofold_requests_total", "ok", "parity"] == 20
        assert found["twofold_requests_total", "bad_row", "parity"] == 1
        assert found["twofold_requests_total", "row_does_not_fit", "parity"] == 1
        assert (found["twofold_rows_total", "parity"], found["twofold_failed_rows_total", "parity"]) == (22, 2)
        assert found["twofold_request_seconds_count", "parity"] == 21
        assert found["twofold_requests_in_flight", "parity"] == 0
        wait_for(lambda: len(server.workers("" if layout == "--inline" else "model")) == 2)
        before = set(server.workers())
        with suppress(OSError, http.client.HTTPException):
            server.ask({"number": 666})
        wait_for(lambda: before - set(server.workers()))  # one has died
        wait_for(lambda: server.status("/health/ready") == 200)
        assert scraped(server.port)["twofold_requests_total", "ok", "parity"] == 20


def test_metrics_on_a_port_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "parity.py").write_text(FILE)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with started("serve", tmp_path / "parity.py", "--port", "0", "--metrics-port", port) as server:
        server.wait_until_ready()
        assert server.ask({"number": 7})[0] == 200
        assert server.status("/metrics") == 404
        assert scraped(port)["twofold_requests_total", "ok", "parity"] == 1
        assert server.stop() == 0


def test_requests_that_go_the_apps_way_and_other_protocols_are_counted() -> None:
    infer = {"inputs": [{"name": "number", "shape": [1], "datatype": "INT64", "data": [7]}]}
    with (
        serving(parity, fast_lane=False) as server,
        httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client,
    ):
        assert client.post("/predict", json={"number": 7}).status_code == 200
        assert client.post("/predict", json={"number": 7.5}).status_code == 422
        assert client.post("/v2/models/parity/infer", json=infer).status_code == 200
        assert client.post("/v2/models/parity/infer", json={}).status_code == 400
        assert client.post("/predict", content=b"{", headers={"content-type": "text/plain"}).status_code == 415
        found = scraped(server.port)
    codes = {key[1]: value for key, value in found.items() if key[0] == "twofold_requests_total"}
    assert codes == {"ok": 2, "row_does_not_fit": 1, "bad_request": 1, "unsupported_media_type": 1}
