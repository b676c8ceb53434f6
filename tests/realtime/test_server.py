"""How a server starts: layouts, what it says, what it refuses."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.processes import marked, wait_for
from tests.served import MODEL, serving, serving_on, started

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")


def write(folder: Path, code: str) -> Path:
    path = folder / "given.py"
    path.write_text("import os, sys, time\nimport twofold\n" + code)
    return path


def fails(*arguments: str | Path) -> tuple[int, str]:
    """The exit code and what is said, of `twofold serve ARGUMENTS`, which cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "twofold", "serve", *map(str, arguments)], capture_output=True, text=True, timeout=60
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def one_paragraph(text: str) -> bool:
    return "Traceback" not in text and len(text.strip().splitlines()) == 1


def test_neither_front_nor_model_process_imports_pandas(tmp_path: Path) -> None:
    """pyarrow would, at its first conversion."""
    file = tmp_path / "fickle.py"
    file.write_text(MODEL)
    with serving(f"{file}:fickle", "--isolate", "--workers", "1") as server:
        assert server.ask({"text": "pid"})[0] == 200
        for pid in [*server.workers(), *server.workers("front")]:
            assert "pandas" not in Path(f"/proc/{pid}/maps").read_text()


def test_a_cheap_model_runs_in_server_processes_which_share_the_connections(tmp_path: Path) -> None:
    file = tmp_path / "fickle.py"
    file.write_text(MODEL)
    with serving(f"{file}:fickle", "--workers", "2") as server:
        wait_for(lambda: len(server.workers()) == 2)
        assert not server.workers("front")
        pids = [str(pid) for pid in server.workers()]
        wait_for(lambda: {server.ask({"text": "pid"})[1]["prediction"] for _ in range(8)} == set(pids))
        connections = [http.client.HTTPConnection("127.0.0.1", server.port, timeout=30) for _ in range(32)]
        for connection in connections:
            connection.connect()
        taken: Counter[str] = Counter()
        for connection in connections:
            connection.request("POST", "/predict", json.dumps({"text": "pid"}), {"Content-Type": "application/json"})
            taken[json.loads(connection.getresponse().read())["prediction"]] += 1
            connection.close()
        assert sorted(taken) == sorted(pids)
        assert min(taken.values()) >= 8, taken
        # the parent has loaded neither the model nor what computes
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert not any(name in maps for name in ("numpy", "pyarrow", "msgspec", "uvloop", "pandas"))
        assert server.stop() == 0
        assert len(server.lines) == 1  # the one that says where
        assert not marked(server.mark)


def test_cheap_models_may_be_isolated_and_dear_ones_inline(tmp_path: Path) -> None:
    file = tmp_path / "fickle.py"
    file.write_text(MODEL)
    with serving(f"{file}:fickle", "--workers", "1", "--isolate") as server:
        assert (len(server.workers("front")), len(server.workers("model"))) == (1, 1)
        assert server.ask([{"text": "a"}, {"text": "b"}]) == (200, [{"prediction": "a!"}, {"prediction": "b!"}])
        assert server.status("/health/ready") == 200


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_models_that_wait_stay_in_the_server_process(tmp_path: Path, loop: str) -> None:
    file = write(
        tmp_path,
        "import asyncio\n"
        "@twofold.model\n"
        "async def waits(n: int) -> int:\n"
        "    await asyncio.sleep(0.01)\n"
        "    return n + 1\n",
    )
    with serving_on(loop, file) as server:
        assert (len(server.workers("front")), len(server.workers("model"))) == (0, 1)
        assert server.ask([{"n": n} for n in range(50)])[1] == [{"prediction": n + 1} for n in range(50)]


@pytest.mark.parametrize(
    ("first", "code", "status"),
    [("time.sleep(1000)", "deadline_exceeded", 504), ("os._exit(5)", "worker_lost", 503)],
)
def test_a_model_that_cannot_take_a_first_row_is_served(tmp_path: Path, first: str, code: str, status: int) -> None:
    file = write(tmp_path, f"@twofold.model\ndef never(n: int) -> int:\n    {first}\n    return n\n")
    with serving(file, "--workers", "1", "--deadline", "0.5") as server:
        answer = server.ask({"n": 1})
        assert (answer[0], answer[1]["code"]) == (status, code)
        wait_for(lambda: server.status("/health/ready") == 200)


def test_a_stop_while_the_model_loads_ends_the_start(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "time.sleep(1000)\n@twofold.model\ndef parity(n: int) -> int: return n % 2\n",
    )
    with started("serve", file, "--port", "0") as server:
        wait_for(lambda: server.workers())
        assert server.stop() == 0
        assert not marked(server.mark)
        assert server.lines == []


def test_an_end_before_it_is_ready_three_times_is_the_end(tmp_path: Path) -> None:
    file = write(tmp_path, "os._exit(7)\n@twofold.model\ndef parity(n: int) -> int: return n % 2\n")
    code, said = fails(file, "--port", "0")
    assert code == 1
    assert one_paragraph(said)
    assert "3 times" in said
    assert "exited with code 7" in said
    assert str(file) in said


def test_a_constructor_that_raises_is_not_tried_again(tmp_path: Path) -> None:
    tried = tmp_path / "tried"
    file = write(
        tmp_path,
        "@twofold.model\n"
        "class Broken:\n"
        "    def __init__(self) -> None:\n"
        f"        open({str(tried)!r}, 'a').write('x')\n"
        "        raise ValueError('no weights')\n"
        "    def predict(self, n: int) -> int: return n\n",
    )
    code, said = fails(file, "--port", "0")
    assert code == 1
    assert one_paragraph(said)
    assert "no weights" in said
    assert tried.read_text() == "x"
    _, said = fails(file, "--port", "0", "--traceback")
    assert "Traceback" in said
    assert "in __init__" in said


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "no model"),
        ("@twofold.model\ndef a(n: int) -> int: return n\n@twofold.model\ndef b(n: int) -> int: return n\n", "a"),
        ("@twofold.model\ndef a(n): return n\n", "n"),
        ("raise SystemExit(4)\n", "SystemExit"),
        ("def (", "given.py"),
    ],
)
def test_files_that_hold_no_model_to_serve(tmp_path: Path, content: str, words: str) -> None:
    code, said = fails(write(tmp_path, content), "--port", "0")
    assert code == 1
    assert one_paragraph(said), said
    assert words in said


def test_there_is_no_such_file(tmp_path: Path) -> None:
    code, said = fails(tmp_path / "nothing.py")
    assert code == 1
    assert one_paragraph(said)
    assert "nothing.py" in said


def test_a_call_at_the_top_of_the_models_file_is_refused_with_the_line_to_write(tmp_path: Path) -> None:
    file = write(tmp_path, "@twofold.model\ndef a(n: int) -> int: return n\ntwofold.serve(a, port=0)\n")
    for start in ([sys.executable, file], [sys.executable, "-m", "twofold", "serve", file, "--port", "0"]):
        done = subprocess.run(list(map(str, start)), capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert 'if __name__ == "__main__":' in done.stderr


def test_a_script_serves_its_own_model(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "@twofold.model\ndef a(n: int) -> int: return n\n"
        'if __name__ == "__main__":\n    sys.exit(twofold.serve(a, port=0, workers=1))\n',
    )
    process = subprocess.Popen([sys.executable, str(file)], stderr=subprocess.PIPE, text=True)
    with process:
        assert process.stderr is not None
        assert "twofold serving a (version" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        assert process.stderr.read() == ""


def test_the_address(tmp_path: Path) -> None:
    file = write(tmp_path, "@twofold.model\ndef a(n: int) -> int: return n\n")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = fails(file, "--port", str(port))
    assert code == 2
    assert one_paragraph(said)
    assert f"Port {port} of 127.0.0.1 is in use" in said
    assert "--port" in said
    for host, words in (("192.0.2.1", "not an address of this machine"), ("no such host", "cannot be resolved")):
        code, said = fails(file, "--host", host, "--port", "0", "--no-auth")
        assert code == 2
        assert one_paragraph(said)
        assert words in said
        assert "--host" in said


def test_ipv6(tmp_path: Path) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    file = write(tmp_path, "@twofold.model\ndef a(n: int) -> int: return n\n")
    with started("serve", file, "--host", "::1", "--port", "0", "--workers", "1") as server:
        wait_for(lambda: any("http://[::1]:" in line for line in server.lines))
        assert server.stop() == 0


def test_a_replacement_that_cannot_load_is_tried_again_while_others_serve(tmp_path: Path) -> None:
    file = write(tmp_path, "@twofold.model\ndef pid(n: int) -> int: return os.getpid()\n")
    content = file.read_text()

    seen: set[int] = set()

    def answering() -> int:
        seen.add(server.ask({"n": 1})[1]["prediction"])
        return len(seen)

    with serving(file, "--workers", "2", "--inline") as server:
        wait_for(lambda: answering() == 2)
        first, second = seen
        file.write_text("raise ValueError('half saved')\n")
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: any("half saved" in line for line in server.lines))
        assert server.ask({"n": 1}) == (200, {"prediction": second})
        file.write_text(content)
        wait_for(lambda: answering() == 3)
        assert second in server.workers()
