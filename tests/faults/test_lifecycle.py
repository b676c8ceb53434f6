"""A server whose processes are replaced while it serves: reload, SIGHUP, another layout, a drain; in real processes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.processes import alive, marked, wait_for
from tests.served import Server, serving, started

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")

HEADERS = {"Content-Type": "application/json"}


class Busy(threading.Thread):
    """Asks again and again on one connection, which may end only where an answer says so; every second time on a new
    one. Anything but a 200 is a failure."""

    def __init__(self, server: Server, path: str = "/predict") -> None:
        super().__init__(daemon=True)
        self.server = server
        self.path = path
        self.answers: list[tuple[str, str]] = []  # what was predicted, and the version that says so
        self.failures: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        kept = self._connection()
        while not self.enough.is_set():
            self._ask(kept)
            new = self._connection()
            self._ask(new)
            new.close()
        kept.close()

    def _connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)

    def _ask(self, connection: http.client.HTTPConnection) -> None:
        try:
            connection.request("POST", self.path, '{"n": 1}', HEADERS)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.failures.append(repr(error))
            connection.close()
            return
        if answer.status != 200:
            self.failures.append(f"{answer.status}: {text!r}")
        else:
            self.answers.append((json.loads(text)["prediction"], answer.headers["Model-Version"]))


class Clients:
    """Three of them, from `with` to its end; no request may have failed."""

    def __init__(self, server: Server, path: str = "/predict") -> None:
        self.busy = [Busy(server, path) for _ in range(3)]

    def __enter__(self) -> Clients:
        for one in self.busy:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in self.busy:
            one.enough.set()
        for one in self.busy:
            one.join(30)
        assert [one.failures for one in self.busy] == [[]] * len(self.busy)
        assert all(one.answers for one in self.busy)

    def answers(self) -> set[tuple[str, str]]:
        return {answer for one in self.busy for answer in list(one.answers)}


def write(path: Path, answer: str, hints: str = "n: int", before: str = "") -> Path:
    """A model that answers `answer`; put in place at once, as editors do."""
    text = (
        f"import os, time\nimport twofold\n{before}\n@twofold.model\ndef told({hints}) -> str:\n    return {answer}\n"
    )
    fresh = path.with_suffix(".new")
    fresh.write_text(text)
    fresh.replace(path)
    return path


@pytest.mark.parametrize("layout", ["--inline", "--isolate"])
def test_a_changed_file_is_served_without_a_lost_request(tmp_path: Path, layout: str) -> None:
    file = write(tmp_path / "told.py", "'old'")
    with serving(file, layout, "--workers", "2", "--reload") as server:
        wait_for(lambda: len(server.workers("model")) == 2)
        before = set(server.workers())
        with Clients(server) as clients:
            wait_for(lambda: len(clients.answers()) == 1)
            ((_, old),) = clients.answers()
            write(file, "'new'")
            wait_for(lambda: server.said("now serving told (version"))
            wait_for(lambda: not before & set(server.workers()))
            after = server.ask({"n": 1})
        assert after == (200, {"prediction": "new"})
        versions = dict(clients.answers())
        assert sorted(versions) == ["new", "old"]
        assert versions["old"] == old != versions["new"]
        line = next(line for line in server.lines if "now serving" in line)
        assert versions["new"] in line
        assert f"it was told (version {old})" in line
        assert server.stop() == 0
        assert not marked(server.mark)


def test_an_artifact_counts_as_the_models_file(tmp_path: Path) -> None:
    (tmp_path / "weights.txt").write_text("1")
    file = tmp_path / "told.py"
    file.write_text(
        "import twofold\nWEIGHTS = twofold.artifact('weights.txt').read_text()\n"
        "@twofold.model\ndef told(n: int) -> str:\n    return WEIGHTS\n"
    )
    with serving(file, "--workers", "1", "--reload") as server:
        (tmp_path / "weights.txt").write_text("22")
        wait_for(lambda: server.ask({"n": 1})[1]["prediction"] == "22")
        os.utime(tmp_path / "weights.txt")  # touched, and the same: nothing happens
        time.sleep(2.5)
        assert len(server.lines) == 2, server.lines


def test_a_reload_that_fails_keeps_the_old_model_and_says_why(tmp_path: Path) -> None:
    file = write(tmp_path / "told.py", "'old'")
    with serving(file, "--workers", "1", "--reload") as server:
        with Clients(server) as clients:
            write(file, "'new'", before="raise ValueError('no licence')")
            wait_for(lambda: server.said("no licence"))
            (line,) = (line for line in server.lines if "no licence" in line)
            assert "and nothing changes" in line
            write(file, "'new'", hints="n: int, amount: float")
            wait_for(lambda: server.said("the input 'amount' is new and required"))
            write(file, "1 / 0", before="twofold.model, model = twofold.model(example={'n': 3}), twofold.model")
            wait_for(lambda: server.said("fails on its own example"))
            write(file, "os._exit(3)")
            wait_for(lambda: server.said("exited with code 3"))
            assert {answer for answer, _ in clients.answers()} == {"old"}
            write(file, "'new'", hints="n: int, amount: float = 0.0")  # what is optional breaks no promise
            wait_for(lambda: server.said("now serving"))
        assert server.ask({"n": 1, "amount": 2.5}) == (200, {"prediction": "new"})
        wait_for(lambda: len(server.workers()) == 1)


def test_a_broken_model_ends_the_start(tmp_path: Path) -> None:
    file = tmp_path / "told.py"
    file.write_text("import twofold\n@twofold.model(example={'n': 3})\ndef told(n: int) -> str:\n    return 1 / 0\n")
    with started("serve", file, "--port", "0") as server:
        assert server.process.wait(30) == 1
        wait_for(lambda: server.said("fails on its own example: "))


def test_sighup_replaces_one_process_after_the_other(tmp_path: Path) -> None:
    """What `benchmarks/restarts.py` does 200 times."""
    file = write(tmp_path / "told.py", "str(os.getpid())")
    with serving(file, "--inline", "--workers", "4") as server:
        wait_for(lambda: len(server.workers()) == 4)
        most = 0
        with Clients(server) as clients:
            for turn in (1, 2):
                before = set(server.workers())
                server.process.send_signal(signal.SIGHUP)
                while not server.said("has been replaced", turn):
                    most = max(most, len(server.workers()))
                    time.sleep(0.02)
                wait_for(lambda before=before: not before & set(server.workers()))  # type: ignore[misc]
        assert len(clients.answers()) >= 8  # processes that answered, all of one version
        assert len({version for _, version in clients.answers()}) == 1
        assert most <= 6  # the new one, and one that still drains; all at once they would be 8
        assert server.stop() == 0


def test_sighup_replaces_one_model_process_after_the_other(tmp_path: Path) -> None:
    """There are never fewer than before, and hardly more."""
    file = write(tmp_path / "told.py", "time.sleep(0.3 * (n > 5)) or str(os.getpid())")
    with serving(file, "--isolate", "--workers", "3") as server:
        wait_for(lambda: len(server.workers("model")) == 3)
        before, counts = set(server.workers()), set()
        with Clients(server) as clients:
            server.process.send_signal(signal.SIGHUP)
            slow = threading.Thread(target=lambda: [server.ask({"n": 6}) for _ in range(10)])
            slow.start()
            while not server.said("has been replaced"):
                counts.add(len(server.workers("model")))
            slow.join()
            wait_for(lambda: not before & set(server.workers()))
            wait_for(lambda: len(server.workers()) == 4)
            after = {str(pid) for pid in server.workers("model")}
            wait_for(lambda: after <= {answer for answer, _ in clients.answers()})  # they went over to the new server
        assert min(counts) >= 3
        assert max(counts) <= 4
        assert len(server.lines) == 2, server.lines
        assert server.stop() == 0


def test_a_model_process_that_cannot_be_replaced_ends_the_replacing(tmp_path: Path) -> None:
    counter = tmp_path / "loads"
    file = write(
        tmp_path / "told.py",
        "str(os.getpid())",
        before=f"open({str(counter)!r}, 'a').write('x')\n"
        f"if len(open({str(counter)!r}).read()) == 4: os._exit(3)\n"
        "time.sleep(0.2)",
    )
    with serving(file, "--isolate", "--workers", "2") as server:
        wait_for(lambda: counter.read_text() == "xx")
        server.process.send_signal(signal.SIGHUP)  # the third is the first new one, the fourth fails
        wait_for(lambda: server.said("could not be replaced, and the others stay: process"))
        wait_for(lambda: len(server.workers("model")) == 2 and len(server.workers("front")) == 1)
        with Clients(server) as clients:
            wait_for(lambda: len(clients.answers()) == 2)
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.said("has been replaced"))
        assert server.stop() == 0


def test_sighup_takes_what_the_file_is_now(tmp_path: Path) -> None:
    file = write(tmp_path / "told.py", "'old'")
    with serving(file, "--isolate", "--workers", "1") as server:
        before = set(server.workers())
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.said("has been replaced") and not before & set(server.workers()))
        write(file, "'new'")
        time.sleep(1.0)
        assert server.ask({"n": 1}) == (200, {"prediction": "old"})
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.ask({"n": 1}) == (200, {"prediction": "new"}))


def test_a_process_that_ended_does_not_bring_in_another_version_alone(tmp_path: Path) -> None:
    file = write(tmp_path / "told.py", "'old'")
    with serving(file, "--inline", "--workers", "2") as server:
        wait_for(lambda: len(server.workers()) == 2)
        first, second = server.workers()
        write(file, "'new'")
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: server.said("now serving"))
        wait_for(lambda: not alive(second))
        assert {server.ask({"n": 1})[1]["prediction"] for _ in range(6)} == {"new"}


def test_a_model_that_turns_slow_moves_to_model_processes(tmp_path: Path) -> None:
    file = write(tmp_path / "told.py", "time.sleep(0.02 * n) or 'done'", hints="n: int = 0")
    with serving(file, "--workers", "1") as server:
        assert not server.workers("front")
        with Clients(server):
            wait_for(lambda: server.workers("front"))
            wait_for(lambda: len(server.workers()) == 2)
        assert server.said("one row of told takes too long; from now on the model runs in model processes")
        assert server.ask({"n": 1}) == (200, {"prediction": "done"})


def test_several_models_one_of_them_isolated(tmp_path: Path) -> None:
    cheap = write(tmp_path / "told.py", "f'cheap {os.getpid()}'")
    dear = tmp_path / "dear.py"
    dear.write_text(
        "import os, time\nimport twofold\n@twofold.model\nclass Dear:\n"
        "    def __init__(self, sleep_s: float = 0.0) -> None:\n        self.sleep_s = sleep_s\n"
        "    def predict(self, n: int) -> str:\n        time.sleep(self.sleep_s)\n"
        "        return f'dear {os.getpid()}'\n"
    )
    models = ("quick=" + str(cheap), f"{dear}:Dear")
    with started("serve", *models, "--port", "0", "--workers", "2", "--set", "Dear.sleep_s=0.003") as server:
        server.wait_until_ready()
        assert server.said("twofold serving quick (version ")
        assert server.said(" and Dear (version ")
        wait_for(lambda: len(server.workers()) == 3)
        with Clients(server), Clients(server, "/models/quick/predict") as on_quick:
            with Clients(server, "/models/Dear/predict") as on_dear:
                wait_for(lambda: len(on_dear.answers()) == 2)
            (quick,) = {answer for answer, _ in on_quick.answers()}
            pids = {int(answer.partition(" ")[2]) for answer, _ in on_dear.answers()}
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: server.said("has been replaced") and not pids & set(server.workers()))
        assert quick.startswith("cheap ")
        with Clients(server, "/models/Dear/predict") as on_dear:
            wait_for(lambda: len(on_dear.answers()) == 2)
        os.kill(int(on_dear.answers().pop()[0].partition(" ")[2]), signal.SIGKILL)
        wait_for(lambda: len(server.workers()) == 3)
        wait_for(lambda: server.status("/health/ready") == 200)
        assert server.stop() == 0
        assert not marked(server.mark)


def test_several_models_inline_are_in_every_process(tmp_path: Path) -> None:
    one, two = (write(tmp_path / f"{name}.py", f"'{name}'") for name in ("one", "two"))
    with started("serve", f"one={one}", f"two={two}", "--port", "0", "--inline", "--workers", "2") as server:
        server.wait_until_ready()
        with Clients(server, "/models/two/predict") as clients:
            wait_for(lambda: len(server.workers()) == 2)
            before = set(server.workers())
            server.process.send_signal(signal.SIGHUP)
            wait_for(lambda: server.said("has been replaced") and not before & set(server.workers()))
        assert {answer for answer, _ in clients.answers()} == {"two"}
        assert server.ask({"n": 1}) == (200, {"prediction": "one"})
        assert len(server.workers()) == 2
        assert server.stop() == 0


def test_two_models_of_one_name(tmp_path: Path) -> None:
    one, two = (write(tmp_path / f"{name}.py", "'x'") for name in ("one", "two"))
    for models in ((one, two), (f"told={one}", two), (f"same={one}", f"same={two}")):
        with started("serve", *models, "--port", "0") as server:
            assert server.process.wait(30) == 2
            wait_for(lambda server=server: server.said("Two models have the name"))  # type: ignore[misc]


def test_a_drain_delay_keeps_accepting(tmp_path: Path) -> None:
    file = write(tmp_path / "told.py", "'fine'")
    with serving(file, "--workers", "1", "--drain-delay", "2") as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        kept.request("GET", "/health/live")
        kept.getresponse().read()
        assert server.status("/health/ready") == 200
        server.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        wait_for(lambda: server.status("/health/ready") == 503)
        while time.monotonic() - began < 1.5:
            assert server.ask({"n": 1}) == (200, {"prediction": "fine"})
        kept.request("POST", "/predict", '{"n": 1}', HEADERS)
        answer = kept.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        answer.read()
        kept.close()
        assert server.process.wait(10) == 0
        assert 1.9 < time.monotonic() - began < 8


def test_the_next_request_on_a_connection_is_its_last_in_a_drain(tmp_path: Path) -> None:
    file = write(tmp_path / "told.py", "'fine'")
    with serving(file, "--workers", "1") as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
        kept.request("POST", "/predict", '{"n": 1}', HEADERS)
        assert kept.getresponse().read() == b'{"prediction":"fine"}'
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.4)
        kept.request("POST", "/predict", '{"n": 1}', HEADERS)
        answer = kept.getresponse()
        assert (answer.status, answer.headers["Connection"]) == (200, "close")
        assert server.process.wait(10) == 0
        kept.close()


@pytest.mark.parametrize(
    ("layout", "mark"),
    [("--inline", ""), ("--isolate", ""), ("--inline", "(threads=1)")],
    ids=["inline", "isolated", "threads"],
)
def test_a_drain_ends_when_it_has_to(tmp_path: Path, layout: str, mark: str) -> None:
    """Who still waits is told so, where the event loop is free to do it; a call that runs holds nothing up."""
    file = tmp_path / "told.py"
    file.write_text(
        f"import time, twofold\n@twofold.model{mark}\ndef told(n: int) -> str:\n"
        "    return time.sleep(100) if n > 5 else 'fine'\n"
    )
    with serving(file, "--workers", "1", layout, "--drain-timeout", "1") as server:
        waiting = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(4)]
        for number, connection in enumerate(waiting):  # the first is computed, the others wait for it
            connection.request("POST", "/predict?" if number == 3 else "/predict", '{"n": 6}', HEADERS)
            time.sleep(0.15)
        began = time.monotonic()
        assert server.stop() == 0
        assert 0.9 < time.monotonic() - began < 3
        for connection in waiting:
            if layout == "--inline" and not mark:
                with pytest.raises((OSError, http.client.HTTPException)):
                    connection.getresponse()
            else:
                answer = connection.getresponse()
                assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
                assert json.loads(answer.read())["code"] == "not_ready"
            connection.close()
        assert len(server.lines) == 1, server.lines
        assert not marked(server.mark)
