"""twofold jobs: what it prints and how it ends. What jobs do is tested in tests/jobs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import PARITY, twofold
from tests.jobs.schedulers import history
from tests.processes import wait_for

JOBS = """
[[job]]
name = "daily"
model = "parity.py"
input = "{time:%Y-%m-%d}.csv"
output = "out/{time:%Y-%m-%d}.csv"
schedule = "30 2 * * *"
timezone = "Europe/Berlin"
window = "02:00-06:00"

[[job]]
name = "report"
run = ["sh", "-c", "cat out/{time:%Y-%m-%d}.csv > report-{time:%Y-%m-%d}.txt"]
after = "daily"

[[job]]
name = "sleep"
run = "sleep 60"

[[job]]
name = "each"
model = "parity.py"
watch = "in"
output = "{file.stem}.jsonl"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parity.py").write_text(PARITY)
    (tmp_path / "jobs.toml").write_text(JOBS)
    for day, rows in (("2026-03-28", "1\n2\n"), ("2026-03-29", "3\nx\n"), ("2026-03-30", "4\n")):
        (tmp_path / f"{day}.csv").write_text("number\n" + rows)
    return tmp_path


def test_check(folder: Path) -> None:
    done = twofold("jobs", "check", "jobs.toml", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "daily: 30 2 * * * Europe/Berlin"
    assert [line.count(" -> out/") for line in lines[1:6]] == [1] * 5
    assert lines[6:] == ["report: after daily", "sleep: by hand", "each: files in in"]
    shown = json.loads(twofold("jobs", "check", "jobs.toml", "--json", cwd=folder).stdout)
    assert [len(job["next"]) for job in shown] == [5, 0, 0, 0]

    (folder / "jobs.toml").write_text(JOBS.replace("30 2 *", "30 26 *"))
    for words in (["check", "jobs.toml"], ["up", "jobs.toml"], ["status"], ["run", "daily"]):
        wrong = twofold("jobs", *words, cwd=folder)
        assert (wrong.returncode, wrong.stdout) == (2, "")
        assert "jobs.toml, line 7, job 'daily': schedule: '30 26 * * *' is no cron line: bad hour" in wrong.stderr


def test_backfill_gives_the_same_files_again(folder: Path) -> None:
    """Over the change of clocks; each firing's followers, too."""
    words = ("jobs", "backfill", "daily", "--from", "2026-03-28", "--to", "2026-03-31", "--now")
    done = twofold(*words, cwd=folder)
    assert done.returncode == 3, done.stderr  # one row is in quarantine
    files = {path: path.read_bytes() for path in [*folder.glob("out/*.csv"), *folder.glob("report-*.txt")]}
    assert len(files) == 6
    assert [one["time"] for one in history(folder, "daily")] == [
        "2026-03-28T01:30:00Z",
        "2026-03-29T01:00:00Z",
        "2026-03-30T00:30:00Z",
    ]
    again = twofold(*words, cwd=folder)
    assert (again.returncode, again.stderr) == (0, "daily: all firings of that time are done\n")
    for path in files:
        path.unlink()
    one = twofold("jobs", "run", "daily", "--time", "2026-03-29T03:00", "--now", cwd=folder)
    assert one.returncode == 3
    path = folder / "out" / "2026-03-29.csv"
    assert path.read_bytes() == files[path]


def test_a_file_that_fails_says_why(folder: Path) -> None:
    done = twofold("jobs", "run", "daily", "--time", "2026-04-01T02:30", "--now", "--json", cwd=folder)
    assert done.returncode == 1
    (shown,) = json.loads(done.stdout)
    assert shown["state"] == "failed"
    assert "2026-04-01.csv' is not there" in shown["reason"]
    assert Path(shown["log"]).exists()
    assert history(folder, "report") == []


def test_run_for_a_file(folder: Path) -> None:
    assert "Say which: --for FILE" in twofold("jobs", "run", "each", cwd=folder).stderr
    done = twofold("jobs", "run", "each", "--for", "2026-03-28.csv", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "2026-03-28.jsonl").read_text().count("\n") == 2
    assert twofold("jobs", "run", "daly", cwd=folder).stderr == (
        "twofold: jobs.toml has no job 'daly'. Did you mean 'daily'?\n"
    )


def test_status_pause_and_cancel(folder: Path) -> None:
    assert twofold("jobs", "pause", "daily", cwd=folder).stderr == "daily: paused now\n"
    shown = json.loads(twofold("jobs", "status", "daily", "--json", cwd=folder).stdout)
    assert (shown["paused"], shown["running"], shown["last"]) == (True, [], None)
    assert twofold("jobs", "resume", "daily", cwd=folder).stderr == "daily: not paused now\n"
    running = subprocess.Popen(
        [sys.executable, "-m", "twofold", "jobs", "run", "sleep"], cwd=folder, stderr=subprocess.PIPE, text=True
    )
    wait_for(lambda: (folder / ".twofold").exists() and "runs 000001-1" in status(folder))
    assert twofold("jobs", "cancel", "sleep", cwd=folder).stderr == "sleep: 1 running and 0 waiting cancelled\n"
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 1
    assert "cancelled" in errors
    (firing,) = history(folder, "sleep")
    assert (firing["state"], firing["exit_code"]) == ("cancelled", 143)


def status(folder: Path) -> str:
    return twofold("jobs", "status", "sleep", cwd=folder).stdout
