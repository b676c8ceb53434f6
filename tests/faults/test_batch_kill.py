"""A run that is killed, anywhere, and started again ends as if nothing had been."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.batch.runs import PICKY, numbers, run, write
from twofold._errors import UsageError

ROOT = Path(__file__).parents[2]


FORKS = pytest.mark.skipif(not hasattr(os, "fork"), reason="the kill points are tried in forked processes")
HEAVY = [pytest.mark.heavy, pytest.mark.timeout(900)]


def every_step(folder: Path, name: str, step: int) -> None:
    (folder / "model.py").write_text(PICKY)
    write(folder / "in.csv", numbers(20))
    command = [sys.executable, "-m", "tests.faults.kill_points", str(folder), name, str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=890)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["code"], found["last"], found["problems"]) == (3, 3, []), done.stderr
    assert found["points"] > 30 / step  # all that were tried


@FORKS
@pytest.mark.parametrize(
    ("name", "replaces", "step"),
    [
        ("out.csv", False, 5),
        ("out.parquet", True, 7),
        ("out/", True, 6),
        *(
            pytest.param(name, replaces, 1, marks=HEAVY)
            for name in ("out.csv", "out.arrow", "out/")
            for replaces in (False, True)
        ),
    ],
)
def test_killed_before_every_step(name: str, replaces: bool, step: int, tmp_path: Path):
    if replaces and name.endswith("/"):
        (tmp_path / "before").mkdir()
        (tmp_path / "before" / "old.parquet").write_text("old")
    elif replaces:
        (tmp_path / "before").write_text("old")
    every_step(tmp_path, name, step)


@FORKS
@pytest.mark.parametrize(
    ("database", "adds", "step"),
    [
        ("sqlite", False, 31),
        ("postgres", True, 61),
        *(pytest.param(kind, adds, 1, marks=HEAVY) for kind in ("sqlite", "postgres") for adds in (False, True)),
    ],
    indirect=["database"],
)
def test_killed_before_every_step_into_a_table(database: str, adds: bool, step: int, tmp_path: Path):
    if adds:
        (tmp_path / "before").touch()
    every_step(tmp_path, database, step)


@FORKS
@pytest.mark.parametrize(
    ("name", "replaces", "step"),
    [
        ("out.csv", True, 29),
        ("out/", False, 23),
        *(pytest.param(name, replaces, 1, marks=HEAVY) for name in ("out.csv", "out/") for replaces in (False, True)),
    ],
)
def test_killed_before_every_step_into_an_object_store(
    name: str, replaces: bool, step: int, bucket: str, tmp_path: Path
):
    if replaces:
        (tmp_path / "before").touch()
    every_step(tmp_path, f"{bucket}/{name}", step)


SLOW = """
import time
import twofold

@twofold.model
def slow(number: int) -> str:
    time.sleep(0.0005)
    if number % 100 == 7:
        raise twofold.BadRow("seven")
    return str(number)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    words = ["slow.py", "in.csv", "out.csv", "--split-rows", "50", "--batch-rows", "20"]
    return subprocess.Popen(
        [sys.executable, "-m", "twofold", "batch", *words], cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )


def workers_of(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_at_random_moments(tmp_path: Path):
    """Parents and workers, in turn; what the seed hides, the night's runs with other seeds find."""
    (tmp_path / "slow.py").write_text(SLOW)
    write(tmp_path / "in.csv", numbers(1500))
    moment = random.Random(20261124)
    ended = early = None
    for turn in range(5):
        with start(tmp_path) as process:
            time.sleep(moment.uniform(0.3, 1.0))
            victims = workers_of(process.pid) if turn % 2 else []
            for pid in victims or [process.pid]:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if victims:
                assert process.wait(30) == 3
            ended = process.wait(30)
        assert ended in (3, -signal.SIGKILL)
        if (tmp_path / "out.csv").exists():
            early = (tmp_path / "out.csv").read_bytes()
            break
        assert ended != 3
    with start(tmp_path) as process:
        assert process.wait(60) == 3
    found = (tmp_path / "out.csv").read_bytes(), (tmp_path / "out.csv.twofold" / "quarantine.jsonl").read_bytes()
    assert early in (None, found[0])  # what is there is complete
    shutil.rmtree(tmp_path / "out.csv.twofold")
    (tmp_path / "out.csv").unlink()
    with start(tmp_path) as process:
        assert process.wait(60) == 3
    assert found == (
        (tmp_path / "out.csv").read_bytes(),
        (tmp_path / "out.csv.twofold" / "quarantine.jsonl").read_bytes(),
    )


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_a_second_run_on_the_same_output_is_refused_until_the_first_is_dead(tmp_path: Path):
    (tmp_path / "slow.py").write_text(SLOW)
    write(tmp_path / "in.csv", numbers(20_000))
    with start(tmp_path) as process:
        until = time.monotonic() + 30
        while not (tmp_path / "out.csv.twofold" / "run.json").exists():
            assert time.monotonic() < until
            time.sleep(0.02)
        with pytest.raises(UsageError, match=rf"another run \(process {process.pid}\) is writing .*out.csv"):
            run(tmp_path / "slow.py", tmp_path / "in.csv", tmp_path / "out.csv", limit_rows=5)
        process.kill()
        process.wait()
    report = run(tmp_path / "slow.py", tmp_path / "in.csv", tmp_path / "out.csv", limit_rows=5, overwrite=True)
    assert report.rows_out == 5
