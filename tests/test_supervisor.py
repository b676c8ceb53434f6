"""Workers: messages, ends, and no orphans. The workers here are small modules written for the test."""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.processes import alive, wait_for
from twofold import _supervisor
from twofold._errors import MissingExtra, ModelError, RunStopped
from twofold._supervisor import (
    Backoff,
    Events,
    Message,
    Worker,
    available_cores,
    begin,
    end_workers,
    error_from_message,
    error_to_message,
    refuse_in_worker,
)

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")

# Sleeps in C with the GIL held: no thread of the process can run.
HOLD_THE_GIL = "import ctypes; ctypes.PyDLL(None).sleep(1000)"


@pytest.fixture
def events() -> queue.SimpleQueue[tuple[Worker, Message | None]]:
    return queue.SimpleQueue()


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Writes the code of a worker after it has its `channel`; gives the module's name."""

    def write(code: str) -> str:
        head = "from twofold._supervisor import worker_channel\nchannel = worker_channel()\n"
        (tmp_path / "test_worker_code.py").write_text(head + textwrap.dedent(code))
        monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
        return "test_worker_code"

    return write


def test_a_process_that_was_begun_early_gets_the_arguments_of_the_next_start(module, events) -> None:
    name = module("""
        import sys
        channel.send({"args": channel.args, "path": sys.path[0]})
        channel.receive()
    """)
    begin(name)
    waiting = next(iter(_supervisor._begun.values())).process
    worker = Worker.start(name, {"a": 1}, events=events)
    assert worker.pid == waiting.pid
    assert events.get(timeout=10)[1] == {"args": {"a": 1}, "path": sys.path[0]}
    another = Worker.start(name, {"a": 2}, events=events)
    assert another.pid != waiting.pid
    end_workers([worker, another])


@pytest.mark.skipif(os.name != "posix", reason="locks that are inherited")
@pytest.mark.parametrize("early", [True, False])
def test_a_worker_holds_what_its_parent_locked(early: bool, module, events, tmp_path: Path) -> None:
    import fcntl

    name = module("channel.send({}); channel.receive()")
    if early:
        begin(name)
    with (tmp_path / "lock").open("w") as ours, (tmp_path / "lock").open("w") as other:
        fcntl.flock(ours, fcntl.LOCK_EX)
        worker = Worker.start(name, {}, events=events, holds=[ours.fileno()])
        events.get(timeout=10)
        ours.close()
        with pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        end_workers([worker])
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.skipif(os.name != "posix", reason="locks that are inherited")
def test_a_process_that_was_begun_early_and_killed_is_a_worker_that_ended(module, events, tmp_path: Path) -> None:
    name = module("channel.receive()")
    begin(name)
    next(iter(_supervisor._begun.values())).process.kill()
    wait_for(lambda: not alive(next(iter(_supervisor._begun.values())).process.pid))
    with (tmp_path / "lock").open("w") as ours:
        worker = Worker.start(name, {}, events=events, holds=[ours.fileno()])
    assert events.get(timeout=10) == (worker, None)


def test_a_process_that_was_begun_early_is_not_taken_for_one_with_a_role_or_descriptors(module, events) -> None:
    name = module("channel.receive()")
    begin(name)
    waiting = next(iter(_supervisor._begun.values())).process
    with Path(os.devnull).open() as file:
        others = [
            Worker.start(name, {"role": "server"}, events=events),
            Worker.start(name, {}, events=events, pass_fds=[file.fileno()]),
        ]
    assert waiting.pid not in [worker.pid for worker in others]
    end_workers(others)
    _supervisor._end_begun()
    assert waiting.returncode == -signal.SIGKILL
    waiting.stdin.close(), waiting.stdout.close()  # type: ignore[union-attr]
    _supervisor._begun.clear()


def test_messages_go_both_ways_and_prints_do_not_disturb_them(module, events) -> None:
    name = module("""
        import os, sys
        print("printed by the model")
        os.write(1, b"written to descriptor 1")
        assert sys.stdin.read() == ""
        channel.send({"args": channel.args})
        while True:
            channel.send({"echo": channel.receive()})
    """)
    worker = Worker.start(name, {"a": [1, "é"]}, events=events)
    worker.send({"text": "zwei\nZeilen ✓"})
    worker.send({"big": "x" * 300_000})
    assert events.get(timeout=20) == (worker, {"args": {"a": [1, "é"]}})
    assert events.get(timeout=20) == (worker, {"echo": {"text": "zwei\nZeilen ✓"}})
    assert events.get(timeout=20) == (worker, {"echo": {"big": "x" * 300_000}})
    assert worker.returncode is None
    assert worker.how_it_ended() == "still runs"
    worker.terminate()
    assert events.get(timeout=20) == (worker, None)
    assert not alive(worker.pid)
    worker.send({"nobody": "there"})
    worker.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_a_command_line_shows_the_role_and_no_argument(module, events) -> None:
    worker = Worker.start(module("channel.receive()"), {"role": "front", "key": "s3cret"}, events=events)
    assert worker.pid
    command = Path(f"/proc/{worker.pid}/cmdline").read_text()
    assert "front" in command
    assert "s3cret" not in command
    worker.terminate()


def test_messages_to_a_handler_include_those_that_came_before_it(module, events) -> None:
    name = module("""
        import threading, time
        time.sleep(0.2)
        channel.on_message = lambda message: channel.send({"echo": message["n"]})
        threading.Event().wait()
    """)
    worker = Worker.start(name, {}, events=events)
    for n in range(3):
        worker.send({"n": n})
    assert [events.get(timeout=20)[1] for _ in range(3)] == [{"echo": n} for n in range(3)]
    end_workers([worker])
    assert not alive(worker.pid)


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os._exit(7)", "exited with code 7"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "was killed by SIGSEGV"),
        ("channel.send({'half': 1})", "exited with code 0"),
        ("raise ValueError('a traceback on standard error')", "exited with code 1"),
    ],
)
def test_how_it_ended(module, events, code: str, words: str) -> None:
    worker = Worker.start(module(code), {}, events=events)
    while events.get(timeout=20)[1] is not None:
        pass
    assert worker.how_it_ended() == words
    assert worker.join(1.0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_only_the_parent_ends_it(module, events, number: signal.Signals) -> None:
    """Service managers signal every process of a service; the parent decides what that means."""
    worker = Worker.start(module("while True: channel.send(channel.receive())"), {}, events=events)
    worker.send({"there": 1})
    assert events.get(timeout=20)[1] == {"there": 1}
    os.kill(worker.pid, number)
    worker.send({"still": 1})
    assert events.get(timeout=20)[1] == {"still": 1}
    assert os.getsid(worker.pid) == worker.pid  # out of reach of the terminal's Ctrl-C
    worker.kill()
    assert events.get(timeout=20)[1] is None


def test_children_of_the_model_go_with_it(module, events) -> None:
    name = module("""
        import os, subprocess, sys, time
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        forked = os.fork()  # holds the pipe to the parent open
        if forked == 0:
            time.sleep(1000)
        channel.send({"children": [child.pid, forked]})
        channel.receive()
        os._exit(3)
    """)
    worker = Worker.start(name, {}, events=events)
    _, message = events.get(timeout=20)
    assert all(alive(pid) for pid in message["children"])
    worker.send({"end": True})
    assert events.get(timeout=20) == (worker, None)
    assert worker.returncode == 3
    wait_for(lambda: not any(alive(pid) for pid in message["children"]))


@pytest.mark.parametrize("work", ["channel.receive()", "import time; time.sleep(1000)", HOLD_THE_GIL])
def test_no_orphan_when_the_parent_is_killed(module, tmp_path: Path, work: str) -> None:
    name = module(f"import os\nchannel.send({{'pid': os.getpid()}})\n{work}")
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import queue\n"
        "from twofold._supervisor import Worker\n"
        "events = queue.SimpleQueue()\n"
        f"worker = Worker.start({name!r}, {{}}, events=events)\n"
        "print(events.get()[1]['pid'], flush=True)\n"
        "events.get()\n"
    )
    process = subprocess.Popen([sys.executable, parent], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert alive(pid)
        process.kill()
    wait_for(lambda: not alive(pid), timeout_s=2.0)


def test_what_the_parent_can_import_the_worker_can(module, events, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "only_in_the_parents_path.py").write_text("ANSWER = 42")
    monkeypatch.syspath_prepend(str(tmp_path / "beside"))
    name = module("import only_in_the_parents_path as it; channel.send({'answer': it.ANSWER})")
    worker = Worker.start(name, {}, events=events)
    assert events.get(timeout=20)[1] == {"answer": 42}
    assert events.get(timeout=20)[1] is None
    assert worker.returncode == 0


def test_a_worker_refuses_to_start_more(module, events) -> None:
    name = module("""
        from twofold._supervisor import error_to_message, refuse_in_worker
        try:
            refuse_in_worker("twofold.serve")
        except Exception as error:
            channel.send(error_to_message(error))
    """)
    refuse_in_worker("twofold.serve")  # not here
    Worker.start(name, {}, events=events)
    error = error_from_message(events.get(timeout=20)[1])
    assert 'if __name__ == "__main__":' in str(error)
    assert "twofold.serve()" in str(error)
    assert error.exit_code == 2
    assert events.get(timeout=20)[1] is None


def test_errors_keep_their_kind_and_words() -> None:
    for error in (ModelError("no such model", ref="x"), RunStopped("stopped"), MissingExtra("polars", "polars", "It")):
        back = error_from_message(error_to_message(error))
        assert type(back) is type(error)
        assert str(back) == back.message == str(error)
    foreign = error_from_message(error_to_message(ZeroDivisionError("by zero")))
    assert type(foreign) is ModelError
    assert str(foreign) == "ZeroDivisionError: by zero"
    assert "ZeroDivisionError" in foreign.data["traceback"]


def test_backoff() -> None:
    backoff = Backoff(first_s=1.0, most_s=5.0)
    assert [backoff.next_s() for _ in range(4)] == [1.0, 2.0, 4.0, 5.0]
    backoff.reset()
    assert backoff.next_s() == 1.0


def test_available_cores() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)


def test_the_parent_stays_light() -> None:
    code = "import sys, twofold._supervisor, twofold._realtime.api; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"numpy", "pyarrow", "asyncio", "msgspec", "uvicorn", "starlette"} & set(loaded)


def test_events_may_be_any_queue(module) -> None:
    events: Events = queue.Queue()
    worker = Worker.start(module("pass"), {}, events=events)
    assert events.get(timeout=20) == (worker, None)  # type: ignore[attr-defined]
