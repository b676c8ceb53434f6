"""twofold batch: what it prints and how it ends. What it computes is tested in tests/batch."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.cli.commands import PARITY, twofold
from tests.processes import marked, wait_for

KEYS = ["rows_in", "rows_out", "rows_quarantined", "seconds", "rows_per_second", "splits", "splits_resumed", "output"]

SLOW = """
import time
import twofold

@twofold.model
def slow(number: int) -> int:
    time.sleep(0.05)
    return number
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parity.py").write_text(PARITY)
    (tmp_path / "good.csv").write_text("id,number\na,1\nb,2\n")
    (tmp_path / "bad.csv").write_text("id,number\na,1\nb,x\nc\n")
    return tmp_path


def test_done(folder: Path) -> None:
    done = twofold("batch", "parity.py", "good.csv", "out.csv", cwd=folder)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines()[-1].startswith("out.csv: 2 rows in ")
    assert (folder / "out.csv").read_text() == "id,number,prediction\na,1,Odd\nb,2,Even\n"

    again = twofold("batch", "parity.py", "good.csv", "out.csv", cwd=folder)
    assert again.returncode == 0
    assert again.stderr.splitlines()[-1] == "out.csv: 2 rows, all done before"

    other = twofold("batch", "parity.py", "good.csv", "out.csv", "--limit", 1, cwd=folder)
    assert other.returncode == 2
    assert other.stderr.startswith("twofold: ")
    assert "--overwrite" in other.stderr


def test_json_is_one_object_on_standard_output(folder: Path) -> None:
    done = twofold("batch", "parity.py", "good.csv", "out.parquet", "--json", cwd=folder)
    assert done.returncode == 0
    found = json.loads(done.stdout)
    assert list(found) == KEYS
    assert (found["rows_in"], found["rows_out"], found["rows_quarantined"], found["output"]) == (2, 2, 0, "out.parquet")


def test_rows_in_quarantine(folder: Path) -> None:
    done = twofold("batch", "parity.py", "bad.csv", "out.csv", cwd=folder)
    assert (done.returncode, done.stdout) == (3, "")
    assert "2 rows are in quarantine: " in done.stderr
    assert "out.csv.twofold/quarantine.jsonl" in done.stderr
    assert 'bad.csv, row 1: number: expected int64, got "x"' in done.stderr
    assert twofold("batch", "parity.py", "bad.csv", "out.csv", cwd=folder).returncode == 3
    assert twofold("batch", "parity.py", "bad.csv", "out.csv", "--max-bad-rows", "2", cwd=folder).returncode == 0
    too_many = twofold("batch", "parity.py", "bad.csv", "new.csv", "--max-bad-rows", "1", cwd=folder)
    assert too_many.returncode == 1
    assert not (folder / "new.csv").exists()


def test_options_reach_the_run(folder: Path) -> None:
    done = twofold(
        *("batch", "parity.py", "good.csv", "out.csv"),
        *("--map", "number=number", "--rename", "prediction=kind", "--keep", "id", "--workers", "1", "--limit", "1"),
        cwd=folder,
    )
    assert done.returncode == 0
    assert (folder / "out.csv").read_text() == "id,kind\na,Odd\n"
    by_environment = {"TWOFOLD_BATCH_RENAME": "prediction=kind", "TWOFOLD_BATCH_KEEP": "id", "TWOFOLD_BATCH_LIMIT": "1"}
    done = twofold("batch", "parity.py", "good.csv", "env.csv", cwd=folder, env=by_environment)
    assert (folder / "env.csv").read_text() == "id,kind\na,Odd\n"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_a_wrong_option_leaves_no_process(folder: Path) -> None:
    mark = uuid.uuid4().hex
    done = twofold(
        "batch", "parity.py", "good.csv", "out.csv", "--nonsense", cwd=folder, env={"TWOFOLD_TEST_MARK": mark}
    )
    assert done.returncode == 2
    assert "--nonsense" in done.stderr
    wait_for(lambda: not marked(mark))


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(("number", "code", "word"), [(signal.SIGINT, 130, "Ctrl-C"), (signal.SIGTERM, 143, "SIGTERM")])
def test_stopped(number: signal.Signals, code: int, word: str, folder: Path) -> None:
    (folder / "slow.py").write_text(SLOW)
    (folder / "many.csv").write_text("number\n" + "1\n" * 2000)
    command = [sys.executable, "-m", "twofold", "batch", "slow.py", "many.csv", "out.csv", "--workers", "1"]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 30
        while not (folder / "out.csv.twofold" / "run.json").exists():
            assert time.monotonic() < until
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "")
    assert err.splitlines()[-1].startswith("twofold: the run was stopped by " + word)
    assert "Traceback" not in err
    assert not (folder / "out.csv").exists()
