"""What happens to a server, in real processes: models that crash, hang and hold the GIL, and kills of every process."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.processes import alive, marked, wait_for
from tests.served import MODEL, Load, Server, serving, serving_on

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "fickle.py"
    path.write_text(MODEL)
    return path


@pytest.fixture(scope="module")
def isolated(file: Path) -> Iterator[Server]:
    """One front and two model processes, which tests may kill."""
    with serving(f"{file}:slow", "--workers", "2", "--deadline", "1.5") as server:
        yield server


def request(body: object) -> bytes:
    text = json.dumps(body)
    head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n"
    return (head + text).encode()


def answers_again(server: Server) -> None:
    assert wait_for(lambda: server.ask({"text": "b"}) == (200, {"prediction": "b!"}))


def both_answer(server: Server) -> None:
    """Two requests at once are answered by two model processes."""

    def pids() -> set[str]:
        with ThreadPoolExecutor(2) as pool:
            return {answer[1].get("prediction") for answer in pool.map(server.ask, [{"text": "pid later"}] * 2)} - {
                None
            }

    wait_for(lambda: len(pids()) == 2)


def test_a_slow_model_runs_beside_the_server(isolated: Server) -> None:
    assert len(isolated.workers("front")) == 1
    wait_for(lambda: len(isolated.workers("model")) == 2)
    status, answer = isolated.ask({"text": "pid"})
    assert status == 200
    assert int(answer["prediction"]) in isolated.workers("model")


def test_a_crash_costs_its_call(isolated: Server) -> None:
    answers_again(isolated)
    status, problem = isolated.ask({"text": "crash"})
    assert (status, problem["code"]) == (503, "worker_lost")
    answers_again(isolated)
    wait_for(lambda: len(isolated.workers("model")) == 2)


def test_sys_exit_is_a_failure_like_any_other(isolated: Server) -> None:
    before = isolated.workers("model")
    status, problem = isolated.ask({"text": "exit"})
    assert (status, problem["code"]) == (500, "model_failed")
    assert isolated.workers("model") == before


@pytest.mark.parametrize("how", ["hang", "hold"])
def test_a_hang_is_killed_at_the_deadline_and_health_answers_meanwhile(isolated: Server, how: str) -> None:
    both_answer(isolated)
    answers: list[tuple[int, dict[str, str]]] = []
    asking = threading.Thread(target=lambda: answers.append(isolated.ask({"text": how})))
    began = time.monotonic()
    asking.start()
    time.sleep(0.3)
    assert isolated.status("/health/live") == isolated.status("/health/ready") == 200
    assert isolated.ask({"text": "c"})[0] == 200  # the other model process
    assert not answers
    asking.join()
    assert 1.3 < time.monotonic() - began < 10
    assert (answers[0][0], answers[0][1]["code"]) == (504, "deadline_exceeded")
    answers_again(isolated)
    wait_for(lambda: any("did not answer before the deadline" in line for line in isolated.lines))


def test_a_killed_model_process_is_replaced(isolated: Server) -> None:
    answers_again(isolated)
    wait_for(lambda: len(isolated.workers("model")) == 2)
    for pid in isolated.workers("model"):
        os.kill(pid, signal.SIGKILL)
    answers_again(isolated)
    wait_for(lambda: len(isolated.workers("model")) == 2)


def test_a_killed_front_is_replaced_and_keeps_its_model_processes(isolated: Server) -> None:
    both_answer(isolated)
    models = isolated.workers("model")
    (front,) = isolated.workers("front")
    os.kill(front, signal.SIGKILL)
    answers_again(isolated)
    assert isolated.workers("front") != [front]
    assert sorted(isolated.workers("model")) == sorted(models)


def test_without_a_model_process_it_is_not_ready_and_requests_wait(tmp_path: Path) -> None:
    path = tmp_path / "loads.py"
    path.write_text(
        "import os, time, twofold\n@twofold.model\nclass Loads:\n    def __init__(self) -> None: time.sleep(0.7)\n"
        "    def predict(self, n: int) -> int: return os.getpid()\n"
    )
    with serving(path, "--workers", "1", "--isolate") as server:
        (before,) = server.workers("model")
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: server.status("/health/ready") == 503)
        assert server.status("/health/live") == 200
        status, answer = server.ask({"n": 1})
        assert (status, answer["prediction"]) == (200, *server.workers("model"))
        assert answer["prediction"] != before
        assert server.status("/health/ready") == 200


def test_inline_a_crash_moves_the_model_to_model_processes(file: Path) -> None:
    with serving(f"{file}:fickle", "--workers", "2") as server:
        wait_for(lambda: len(server.workers("model")) == 2)
        assert not server.workers("front")
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            server.ask({"text": "crash"})
        answers_again(server)
        wait_for(lambda: server.workers("front"))
        wait_for(lambda: len(server.workers()) == 3)
        wait_for(lambda: server.ask({"text": "crash"})[0] == 503)
        answers_again(server)
        said = [line for line in server.lines if "from now on the model runs in model processes" in line]
        assert len(said) == 1
        assert "exited with code 9" in said[0]
        assert server.stop() == 0
        assert not marked(server.mark)


@pytest.mark.parametrize(("loop", "how"), [("uvloop", "hold"), ("asyncio", "hang")])
def test_inline_a_hang_is_noticed(file: Path, loop: str, how: str) -> None:
    with serving_on(loop, f"{file}:fickle", workers=1, deadline_s=0.2) as server:
        (before,) = server.workers()
        with pytest.raises((http.client.RemoteDisconnected, ConnectionError)):
            server.ask({"text": how})
        answers_again(server)
        wait_for(lambda: not alive(before))
        assert any("gave no sign of life" in line for line in server.lines)
        status, problem = server.ask({"text": how})
        assert (status, problem["code"]) == (504, "deadline_exceeded")
        answers_again(server)
        assert server.stop() == 0


def test_inline_by_hand_stays_inline(file: Path) -> None:
    with serving(f"{file}:slow", "--workers", "1", "--inline") as server:
        (before,) = server.workers()
        os.kill(before, signal.SIGKILL)
        answers_again(server)
        (after,) = server.workers()
        assert after != before
        assert not server.workers("front")


@pytest.mark.parametrize(("name", "how"), [("fickle", "hold"), ("slow", "hold")])
def test_no_orphan_when_the_parent_is_killed(
    file: Path, name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    with serving(f"{file}:{name}", "--workers", "2") as server:
        wait_for(lambda: len(server.workers("model")) == 2)
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request({"text": how}))
            time.sleep(0.3)  # the model holds the GIL now
            server.process.kill()
            server.process.wait()
            wait_for(lambda: not marked(server.mark), timeout_s=2.0)
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


@pytest.mark.parametrize(
    ("loop", "name", "number"),
    [("uvloop", "fickle", signal.SIGTERM), ("asyncio", "fickle", signal.SIGINT), ("uvloop", "slow", signal.SIGINT)],
)
def test_a_drain_under_load_loses_nothing(file: Path, loop: str, name: str, number: signal.Signals) -> None:
    with serving_on(loop, f"{file}:{name}", workers=2) as server:
        wait_for(lambda: len(server.workers("model")) == 2)
        loads = [Load(server) for _ in range(8)]
        for load in loads:
            load.start()
        in_flight: list[tuple[int, dict[str, str]]] = []
        slow = threading.Thread(target=lambda: in_flight.append(server.ask({"text": "sleep 0.7"})))
        time.sleep(0.3)
        slow.start()
        time.sleep(0.2)
        assert server.stop(number) == 0
        slow.join()
        for load in loads:
            load.enough.set()
            load.join(10)
        assert in_flight == [(200, {"prediction": "sleep 0.7!"})]
        assert [load.lost for load in loads] == [[]] * len(loads)
        assert all(load.answered for load in loads)
        assert not marked(server.mark)
        assert len(server.lines) == 1, server.lines


def test_a_service_manager_signals_every_process(file: Path) -> None:
    with serving(f"{file}:slow", "--workers", "1") as server:
        in_flight: list[tuple[int, dict[str, str]]] = []
        asking = threading.Thread(target=lambda: in_flight.append(server.ask({"text": "sleep 0.5"})))
        asking.start()
        time.sleep(0.2)
        for pid in marked(server.mark):
            os.kill(pid, signal.SIGTERM)
        assert server.process.wait(30) == 0
        asking.join()
        assert in_flight == [(200, {"prediction": "sleep 0.5!"})]
        assert not marked(server.mark)


def test_a_second_ctrl_c_ends_at_once(file: Path) -> None:
    with serving(f"{file}:slow", "--workers", "1") as server:
        hanging = socket.create_connection(("127.0.0.1", server.port))
        hanging.sendall(request({"text": "hang"}))
        time.sleep(0.3)
        server.process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert server.process.poll() is None
        began = time.monotonic()
        assert server.stop(signal.SIGINT) == 130
        assert time.monotonic() - began < 3
        assert not marked(server.mark)
        hanging.close()
