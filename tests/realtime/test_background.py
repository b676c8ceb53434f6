"""twofold.serve(background=True): real workers for a model in a file, threads for one that only this process has."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import twofold
from tests.processes import alive, marked, wait_for
from tests.realtime import models
from twofold._errors import ModelError, Unreachable, UsageError, WorkerLost
from twofold._wire.steps import run

FILE = """
import os
import twofold

@twofold.model
def parity(number: int) -> str:
    if number == 13:
        os._exit(1)
    return f"{'Even' if number % 2 == 0 else 'Odd'} by {os.getpid()}"
"""


def local(function: Callable[..., Any]) -> Any:
    """The function as a model that no other process can find, as one typed in a notebook."""
    function.__qualname__ = f"test.<locals>.{function.__name__}"
    return twofold.model(function)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "parity.py"
    path.write_text(FILE)
    return path


class TestWorkers:
    def test_a_file_is_served_by_worker_processes(self, file: Path, capsys: pytest.CaptureFixture[str]):
        with twofold.serve(str(file), background=True, workers=1) as served:
            assert served.url.startswith("http://127.0.0.1:")
            assert repr(served) == f"<Served at {served.url}>"
            answer, _, pid = twofold.connect(served.url)(number=7).rpartition(" by ")
            assert answer == "Odd"
            assert int(pid) != os.getpid()
            assert alive(int(pid))
        assert not alive(int(pid))
        assert "Stopped" in repr(served)
        with pytest.raises(Unreachable):
            twofold.connect(served.url)
        served.stop()
        assert capsys.readouterr().err == ""

    def test_a_function_of_a_module_has_a_file(self):
        with twofold.serve(twofold.load(models.parity), background=True, workers=1, layout="inline") as served:
            assert twofold.connect(served.url)(8) == "Even"

    def test_several_models_each_under_its_name(self, file: Path):
        both: dict[str, Any] = {"first": file, "second": twofold.load(models.parity)}
        with twofold.serve(both, background=True, workers=1, layout="inline") as served:
            assert twofold.connect(served.url)(7).startswith("Odd by ")
            assert twofold.connect(served.url, model="second")(8) == "Even"
        wrong: dict[str, Any]
        for wrong in ({}, {"a/b": file}):
            with pytest.raises(UsageError):
                twofold.serve(wrong, background=True)

    def test_a_lost_worker_is_told_and_replaced(self, file: Path):
        with twofold.serve(file, background=True, workers=1, layout="isolate") as served:
            client = twofold.connect(served.url)
            with pytest.raises(WorkerLost):
                client(13)

            def answered() -> bool:
                try:
                    return str(client(7)).startswith("Odd")
                except twofold.RequestFailed:
                    return False

            wait_for(answered)

    def test_a_model_that_does_not_load(self, tmp_path: Path):
        path = tmp_path / "broken.py"
        path.write_text("import twofold\nraise ValueError('no licence')\n")
        before = threading.active_count()
        with pytest.raises(ModelError, match="no licence"):
            twofold.serve(path, background=True)
        wait_for(lambda: threading.active_count() <= before)

    def test_a_port_that_is_taken(self, file: Path):
        with twofold.serve(local(lambda_like), background=True) as served:
            port = int(served.url.rpartition(":")[2])
            with pytest.raises(UsageError, match=f"Port {port} of 127.0.0.1 is in use"):
                twofold.serve(file, background=True, port=port)
            with pytest.raises(UsageError, match=f"Port {port} of 127.0.0.1 is in use"):
                twofold.serve(local(lambda_like), background=True, port=port)


def lambda_like(number: int) -> int:
    return number


class TestThreads:
    def test_one_line_says_so(self, capsys: pytest.CaptureFixture[str]):
        def half(number: float) -> float:
            return number / 2

        with twofold.serve(local(half), background=True) as served:
            client = twofold.connect(served.url)
            assert client(3) == 1.5
            assert client.name == "half"
            assert client.batch([1, 2]) == [0.5, 1.0]
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("twofold: half was defined in this session, so that threads of this process serve it.")
        with pytest.raises(Unreachable):
            client(3)

    def test_several_one_of_them_in_a_file(self, file: Path, capsys: pytest.CaptureFixture[str]):
        def half(number: float) -> float:
            return number / 2

        both: dict[str, Any] = {"half": local(half), "parity": file}
        with twofold.serve(both, background=True) as served:
            assert twofold.connect(served.url)(3) == 1.5
            assert twofold.connect(served.url, model="parity")(3) == f"Odd by {os.getpid()}"
        assert "half was defined in this session, so that threads of this process serve them" in capsys.readouterr().err

    def test_it_has_no_file_to_watch(self):
        def half(number: float) -> float:
            return number / 2

        with pytest.raises(UsageError, match="defined in this session"):
            twofold.serve(local(half), background=True, reload=True)

    def test_it_sees_what_this_process_has(self):
        seen: list[int] = []

        def remember(number: int) -> int:
            seen.append(number)
            return len(seen)

        model = twofold.load(local(remember))
        assert model.ref is None
        with twofold.serve(model, background=True) as served:
            assert [twofold.connect(served.url)(n) for n in (5, 6)] == [1, 2]
        assert seen == [5, 6]

    def test_what_is_in_flight_is_answered_at_the_stop(self):
        begun = threading.Event()

        def slow(number: int) -> int:
            begun.set()
            time.sleep(0.4)
            return number

        served = twofold.serve(local(slow), background=True)
        client = twofold.connect(served.url)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client, 7)
            begun.wait(10)
            served.stop()
            assert waiting.result(10) == 7
        client.close()

    def test_a_slow_call_holds_up_no_health(self):
        release = threading.Event()

        def wait(number: int) -> int:
            release.wait(20)
            return number

        with twofold.serve(local(wait), background=True) as served, ThreadPoolExecutor(1) as pool:
            client = twofold.connect(served.url)
            waiting = pool.submit(client, 7)
            assert run(client._asking("GET", "/health/ready")).status == 200
            release.set()
            assert waiting.result(10) == 7
            client.close()

    @pytest.mark.parametrize("pause_s", [0, 0.02, 0.3])
    def test_an_end_at_once(self, pause_s: float):
        """A second stop, which Ctrl-C in the first one makes, does not wait for what is in flight."""
        begun, release = threading.Event(), threading.Event()

        def wait(number: int) -> int:
            begun.set()
            release.wait(20)
            return number

        served = twofold.serve(local(wait), background=True)
        client = twofold.connect(served.url)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(client, 7)
            begun.wait(10)
            served._server.stop()
            time.sleep(pause_s)
            served._server.stop()
            served.stop()
            with pytest.raises(twofold.RequestFailed):
                waiting.result(10)
            release.set()


SCRIPT = """
import sys
import twofold

if __name__ == "__main__":
    names = {"twofold": twofold, "__name__": "__main__"}
    exec('''
@twofold.model
def half(number: float) -> float:
    return number / 2
''', names)
    first = twofold.serve(sys.argv[1], background=True, workers=2)
    second = twofold.serve(names["half"], background=True)
    print(twofold.connect(first.url)(7).partition(" ")[0], twofold.connect(second.url)(7), flush=True)
    if len(sys.argv) > 2:
        raise SystemExit("enough")
"""


@pytest.mark.parametrize(("words", "code"), [((), 0), (("fail",), 1)])
def test_the_end_of_the_process_ends_it_all(tmp_path: Path, file: Path, words: tuple[str, ...], code: int):
    script, mark = tmp_path / "script.py", f"background-{os.getpid()}-{code}"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "-X", "dev", script, file, *words],
        env=os.environ | {"TWOFOLD_TEST_MARK": mark},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (code, "Odd 3.5\n")
    # on a busy machine asyncio's debug mode finds a step of the loop slow
    said = [line for line in done.stderr.splitlines() if line != "enough" and not line.startswith("Executing <")]
    assert len(said) == 1, said
    (line,) = said
    assert line.startswith("twofold: half was defined in this session")
    assert marked(mark) == []


UNGUARDED = """
import sys
import twofold

@twofold.model
def half(number: float) -> float:
    return number / 2

model = twofold.load(half) if "loaded" in sys.argv else half
with twofold.serve(model, background=True) as served:
    print(twofold.connect(served.url)(7))
"""


@pytest.mark.parametrize("words", [(), ("loaded",)])
def test_a_script_that_serves_its_own_model_at_its_top_level(tmp_path: Path, words: tuple[str, ...]):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    done = subprocess.run([sys.executable, script, *words], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "3.5\n"), done.stderr
    assert done.stderr == (
        "twofold: script.py calls twofold.serve at its top level, so that threads of this process serve it. "
        'Put the call below if __name__ == "__main__": to have worker processes.\n'
    )


UNGUARDED_SEVERAL = """
import twofold

@twofold.model
def half(number: float) -> float:
    return number / 2

@twofold.model
def twice(number: float) -> float:
    return number * 2

with twofold.serve({"a": half, "b": twofold.load(twice)}, background=True) as served:
    print(twofold.connect(served.url)(7), twofold.connect(served.url, model="b")(7))
"""


def test_a_script_that_serves_several_of_its_own_models_at_its_top_level(tmp_path: Path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED_SEVERAL)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "3.5 14.0\n"), done.stderr
    assert done.stderr.startswith(
        "twofold: script.py calls twofold.serve at its top level, so that threads of this process serve them. "
    )


def test_a_script_that_serves_a_file_that_serves(tmp_path: Path):
    (tmp_path / "loop.py").write_text(FILE + "\ntwofold.serve(parity, background=True)\n")
    (tmp_path / "script.py").write_text("import twofold\ntwofold.serve('loop.py', background=True)\n")
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "CalledAtImport: loop.py calls twofold.serve when it is imported" in done.stderr


def test_a_file_that_serves_when_it_is_imported(tmp_path: Path):
    path = tmp_path / "loop.py"
    path.write_text(FILE + "\ntwofold.serve(parity, background=True)\n")
    with pytest.raises(ModelError, match='if __name__ == "__main__":'):
        twofold.load(str(path))
