"""Both modes through real processes: what is printed, what is counted, and whether answers differ."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.cli.commands import twofold
from tests.compare.models import DRIFTS, SAME
from twofold._compare.usage import MEASURED, tree

QUICK = ("--seconds", "0.3", "--connections", "8", "--workers", "1")


def compare(folder: Path, model: str, rows: pa.Table, *more: object) -> tuple[int, Any]:
    (folder / "model.py").write_text(model)
    pq.write_table(rows, folder / "rows.parquet")
    done = twofold("compare", "model.py", "rows.parquet", "--json", *QUICK, *more, cwd=folder)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_the_same_answers(tmp_path: Path) -> None:
    numbers = pa.table({"id": list(range(600)), "n": pa.array([n if n != 5 else None for n in range(600)])})
    code, found = compare(tmp_path, SAME, numbers, "--map", "number=n", "--limit", 500)
    assert code == 0
    assert found["rows"] == 499
    assert found["rows_unfit"] == 1
    parity = found["parity"]
    assert (parity["rows"], parity["answered"]) == (499, 498)  # number 13 is refused by both
    assert (parity["differ_bytes"], parity["differ_beyond_tolerance"], parity["examples"]) == (0, 0, [])
    live, stored = found["real_time"], found["batch"]
    assert live["latency"]["samples"] >= 499
    assert 0 < live["latency"]["p50_ms"] <= live["latency"]["p99_ms"]
    assert live["rows_failed"] == 1
    assert live["rows_per_call"] >= 1
    assert live["rows_per_second"] > 0
    assert (stored["rows_in"], stored["rows_out"], stored["rows_quarantined"]) == (500, 498, 2)
    assert stored["seconds"] > 0
    assert stored["rows_per_call"] > 1
    assert found["alone"]["one_row_ms"] > 0
    if MEASURED:
        assert 10 < live["peak_mb"] < 2000
        assert 10 < stored["peak_mb"] < 2000
        assert live["cpu_s_per_million_rows"] > 0
        assert stored["cpu_s_per_million_rows"] > 0


def test_answers_that_differ_by_mode(tmp_path: Path) -> None:
    floats = pa.table({"x": [n / 7 for n in range(500)]})
    code, found = compare(tmp_path, DRIFTS, floats)
    parity = found["parity"]
    assert code == 4
    assert parity["rows"] == parity["answered"] == 500
    assert parity["differ_bytes"] > 450
    assert parity["largest_difference_field"] == "prediction"
    assert parity["largest_difference_row"] == 499
    assert parity["largest_difference"] == pytest.approx(499 / 7 * 1e-3, rel=0.01)
    assert parity["differ_beyond_tolerance"] == 499  # row 0 is zero, whatever it is multiplied with
    assert parity["examples"][0]["row"] == 1
    assert parity["examples"][0]["real_time"] == {"prediction": 1 / 7}
    assert parity["examples"][0]["batch"] == {"prediction": pytest.approx(1 / 7 * 1.001)}


@pytest.mark.parametrize(
    ("rows", "expected"),
    [("n\n1\n", "no column 'number'"), ("number\nx\n", "no row that fits"), (None, "is not there")],
    ids=["column", "fit", "file"],
)
def test_an_input_that_cannot_be_compared(rows: str | None, expected: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SAME)
    if rows is not None:
        (tmp_path / "rows.csv").write_text(rows)
    done = twofold("compare", "model.py", "rows.csv", *QUICK, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import twofold\nraise ValueError('oh no')\n")
    done = twofold("compare", "model.py", "rows.csv", cwd=tmp_path)
    assert done.returncode == 1
    assert "oh no" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopped_it_leaves_nothing_behind(number: signal.Signals, code: int, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(SAME)
    (tmp_path / "rows.csv").write_text("number\n1\n2\n")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command = [sys.executable, "-m", "twofold", "compare", "model.py", "rows.csv", "--seconds", "60"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=os.environ | {"TMPDIR": str(temporary)}, stderr=subprocess.PIPE, text=True
    ) as process:
        children: list[int] = []
        until = time.monotonic() + (30 if MEASURED else 3)
        while len(children) < 4 and time.monotonic() < until:  # itself, the host, the server process, the generator
            time.sleep(0.1)
            children = tree(process.pid) if MEASURED else []
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    assert list(temporary.iterdir()) == []
    until = time.monotonic() + 10
    while any(Path(f"/proc/{pid}").exists() for pid in children) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
