"""The lock of a run: free when the last process that inherited it is dead, and not before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from twofold._batch.stores import locks
from twofold._batch.stores.locks import locked
from twofold._errors import UsageError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="locks that are inherited")

HOLDER = """
import subprocess, sys, time
from pathlib import Path
from twofold._batch.stores.locks import locked

with locked(Path(sys.argv[1]), "out.csv") as descriptor:
    (Path(sys.argv[1]) / "run.json").touch()
    worker = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    print(worker.pid, flush=True)
    time.sleep(60)
"""


def test_it_is_held_until_the_last_worker_is_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(locks, "DYING_S", 0.2)
    state = tmp_path / "out.csv.twofold"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(state)], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        with (
            pytest.raises(UsageError, match=rf"another run \(process {run.pid}\) is writing 'out.csv'"),
            locked(state, "out.csv"),
        ):
            pass
        run.kill()
        run.wait()
    named = rf"is dead \(process {run.pid}\), and a worker of it still lives"
    if Path("/proc/self/fd").exists():
        named += rf" \(process {worker}\)"
    try:
        with pytest.raises(UsageError, match=named), locked(state, "out.csv"):
            pass
    finally:
        os.kill(worker, signal.SIGKILL)
    monkeypatch.setattr(locks, "DYING_S", 10.0)
    with locked(state, "out.csv"):
        assert (state / "lock").read_text() == f"{os.getpid()}\n"


def test_who_starts_while_the_workers_of_a_dead_run_end_waits_for_them(tmp_path: Path):
    state = tmp_path / "out.csv.twofold"
    with subprocess.Popen([sys.executable, "-c", HOLDER, str(state)], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        worker = int(run.stdout.readline())
        run.kill()
        run.wait()
    began = time.monotonic()
    killer = subprocess.Popen(["sh", "-c", f"sleep 0.5; kill -9 {worker}"])
    with locked(state, "out.csv"):
        assert time.monotonic() - began >= 0.4
    assert killer.wait(10) == 0
