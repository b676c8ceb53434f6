"""A run that is killed, anywhere, and started again ends as if nothing had been."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from benchmarks.faults import Job, batter, workers_of
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
    assert found["points"] >= 30 // step  # all that were tried


@FORKS
@pytest.mark.parametrize(
    ("name", "replaces", "step"),
    [
        ("out.csv", False, 11),
        ("out.parquet", True, 13),
        ("out/", True, 9),
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
        *(pytest.param("sqlite", adds, 3, marks=HEAVY) for adds in (False, True)),
        *(pytest.param("postgres", adds, 11, marks=HEAVY) for adds in (False, True)),
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
        *(pytest.param(name, replaces, 7, marks=HEAVY) for name in ("out.csv", "out/") for replaces in (False, True)),
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


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("name", "kills"),
    [("out.csv", 6), *(pytest.param(n, 30, marks=pytest.mark.heavy) for n in ("out.parquet", "out/"))],
)
def test_killed_and_stopped_at_random_moments(name: str, kills: int, tmp_path: Path):
    """Command and workers, in turn; what the seed hides, `python -m benchmarks.faults` finds with others."""
    track = batter(Job(tmp_path, name, 1200).prepare(), kills, seed=20261124)
    assert track.problems == []
    assert sum(track.blows.values()) == kills
    assert len(track.blows) > 1  # which ones is up to the seed, and to how far the run has come


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="what /proc says")
def test_who_is_stopped_longer_than_a_row_may_take_loses_no_row(tmp_path: Path):
    """The command: its own clock stood still. A worker: no row of it is to blame."""
    job = Job(tmp_path, "out.csv", 600).prepare()
    for of_worker in (False, True):
        job.clear()
        with job.start("--row-timeout", "0.5") as process:
            until = time.monotonic() + 30
            while job.computed() < 100:
                assert time.monotonic() < until
                time.sleep(0.01)
            pid = workers_of(process.pid)[0] if of_worker else process.pid
            os.kill(pid, signal.SIGSTOP)
            time.sleep(1.5)
            with suppress(ProcessLookupError):  # a worker was replaced
                os.kill(pid, signal.SIGCONT)
            assert process.wait(60) == 3
        lines = [json.loads(line) for line in (job.state / "quarantine.jsonl").read_text().splitlines()]
        assert {line["_error"]["code"] for line in lines} == {"bad_row"}
        assert len(lines) == 6


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
