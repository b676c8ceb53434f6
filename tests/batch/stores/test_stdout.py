"""`-`: answers leave in order; a failing row has a place that was named, or ends the run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from tests.batch.runs import PARITY, PICKY, numbers, run, write, write_model
from twofold._errors import RunStopped, UsageError


def batch(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "twofold", "batch", *words], cwd=folder, capture_output=True, timeout=60, check=False
    )


@pytest.mark.parametrize("kind", ["jsonl", "csv", "arrow"])
def test_answers_leave_in_order(kind: str, tmp_path: Path):
    write_model(tmp_path, PARITY, "m.py")
    write(tmp_path / "in.csv", numbers(1000))
    words = [] if kind == "jsonl" else ["--output-format", kind]
    done = batch(tmp_path, "m.py", "in.csv", "-", "--split-rows", "100", "--workers", "2", *words)
    assert done.returncode == 0, done.stderr
    assert b"-: 1,000 rows" in done.stderr
    if kind == "arrow":
        table = pa.ipc.open_stream(done.stdout).read_all()
    else:
        table = None
        run(tmp_path / "m.py", tmp_path / "in.csv", tmp_path / f"out.{kind}")
        assert done.stdout == (tmp_path / f"out.{kind}").read_bytes()
    if table is not None:
        assert table["number"].to_pylist() == list(range(1000))
        assert table.column_names == ["id", "number", "prediction"]
    assert not (tmp_path / ".twofold").exists()
    assert not list(tmp_path.glob("*.twofold/tmp"))


def test_an_input_without_rows(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]):
    model = write_model(tmp_path, PARITY)
    (tmp_path / "in.csv").write_text("id,number\n")
    run(model, tmp_path / "in.csv", "-", output_format="arrow")
    assert pa.ipc.open_stream(io.BytesIO(capfdbinary.readouterr().out)).read_all().num_rows == 0
    run(model, tmp_path / "in.csv", "-", output_format="csv")
    assert capfdbinary.readouterr().out == b"id,number,prediction\n"


def test_the_first_failing_row_ends_the_run_and_names_the_option(tmp_path: Path):
    write_model(tmp_path, PICKY, "m.py")
    write(tmp_path / "in.csv", numbers(100))
    done = batch(tmp_path, "m.py", "in.csv", "-", "--split-rows", "10")
    assert done.returncode == 1
    assert b"--quarantine bad.jsonl" in done.stderr
    assert b"in.csv, row" in done.stderr
    assert b"Traceback" not in done.stderr


def test_failing_rows_go_where_they_are_told(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]):
    model = write_model(tmp_path, PICKY)
    write(tmp_path / "in.csv", numbers(50))
    report = run(model, tmp_path / "in.csv", "-", split_rows=20, quarantine=str(tmp_path / "bad.jsonl"))
    assert (report.rows_out, report.rows_quarantined, report.exit_code) == (40, 10, 3)
    rows = [json.loads(line)["number"] for line in capfdbinary.readouterr().out.splitlines()]
    bad = [json.loads(line)["number"] for line in (tmp_path / "bad.jsonl").read_text().splitlines()]
    assert sorted(rows + bad) == list(range(50))
    assert rows == sorted(rows)


def test_what_does_not_go_with_it(tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    write(tmp_path / "in.csv", numbers(5))
    with pytest.raises(UsageError, match="--output-format is for standard output"):
        run(model, tmp_path / "in.csv", tmp_path / "out.csv", output_format="csv")
    with pytest.raises(UsageError, match="--key id is for tables"):
        run(model, tmp_path / "in.csv", "-", key=("id",))
    with pytest.raises(RunStopped, match="--quarantine"):
        run(write_model(tmp_path, PICKY), tmp_path / "in.csv", "-")


def test_standard_input_is_spooled_into_the_folder_of_the_run(tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    (tmp_path / "temporary" / "spool").mkdir(parents=True)
    environment = {**os.environ, "TMPDIR": str(tmp_path / "temporary")}
    done = subprocess.run(
        [sys.executable, "-m", "twofold", "batch", str(model), "-", "-"],
        input=b'{"number": 1}\n{"number": 2}\n',
        capture_output=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["prediction"] for line in done.stdout.splitlines()] == ["Odd", "Even"]
    assert [path.name for path in (tmp_path / "temporary").iterdir()] == ["spool"]
