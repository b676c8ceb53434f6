"""Runs in worker processes: several at once, lost, hanging, ended by the model."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest

from tests.batch.runs import PARITY, PICKY, numbers, quarantine, read, run, write, write_model
from twofold._errors import ModelError, RunStopped

DEADLY = """
import ctypes, os, time
import numpy as np
from dataclasses import dataclass
import twofold

def doom(number):
    if number == 41:
        os._exit(3)
    if number == 72:
        ctypes.string_at(0)
    if number == 98:
        time.sleep(60)
    return number + 1
"""
BY_ROW = """
@twofold.model
def f(number: int) -> int:
    return doom(number)
"""
BY_COLUMN = """
@dataclass
class Row:
    number: int

@twofold.model(row=Row, result=int)
def f(rows: dict[str, np.ndarray]) -> np.ndarray:
    return np.array([doom(number) for number in rows["number"].tolist()], dtype=np.int64)
"""

WAITING = """
import asyncio
import twofold

@twofold.model(concurrency=50)
async def f(number: int) -> int:
    await asyncio.sleep(0.01)
    return number
"""
SLOW = """
import time
import twofold

@twofold.model
def f(number: int) -> int:
    time.sleep(0.01)
    return number
"""


def test_workers_compute_what_one_process_computes(tmp_path: Path):
    model = write_model(tmp_path, PICKY)
    source = write(tmp_path / "in.csv", numbers(3000))
    there = run(model, source, tmp_path / "there.csv", here=False, split_rows=250, batch_rows=64, workers=2)
    here = run(model, source, tmp_path / "here.csv", split_rows=250, batch_rows=64)
    assert (tmp_path / "there.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert quarantine(there) == quarantine(here)
    assert (there.reasons, there.first_errors, there.splits) == (here.reasons, here.first_errors, 12)
    assert there.model_calls > 12


@pytest.mark.parametrize("form", [BY_ROW, BY_COLUMN], ids=["rows", "columns"])
def test_a_row_that_ends_or_hangs_its_process_is_found_and_put_aside(form: str, tmp_path: Path):
    model = write_model(tmp_path, DEADLY + form)
    source = write(tmp_path / "in.csv", numbers(120))
    report = run(
        *(model, source, tmp_path / "out.csv"), here=False, split_rows=60, batch_rows=30, workers=2, row_timeout_s=1.0
    )
    assert (report.rows_out, report.rows_quarantined, report.exit_code) == (117, 3, 3)
    found = {line["_position"]["row"]: line["_error"]["code"] for line in quarantine(report)}
    assert found == {41: "worker_lost", 72: "worker_lost", 98: "deadline_exceeded"}
    answers = [int(value) for value in read(tmp_path / "out.csv")["prediction"].to_pylist()]
    assert answers == [n + 1 for n in range(120) if n not in found]


def test_a_worker_killed_from_outside_costs_nothing(tmp_path: Path):
    flag = tmp_path / "killed"
    model = write_model(
        tmp_path,
        f"import os, signal, twofold\n@twofold.model\ndef f(number: int) -> int:\n"
        f"    if number == 50 and not os.path.exists({str(flag)!r}):\n"
        f"        open({str(flag)!r}, 'w').close()\n        os.kill(os.getpid(), signal.SIGKILL)\n    return number\n",
    )
    source = write(tmp_path / "in.csv", numbers(200))
    report = run(model, source, tmp_path / "out.csv", here=False, split_rows=40, workers=2)
    assert (report.rows_out, report.rows_quarantined) == (200, 0)
    assert [int(n) for n in read(tmp_path / "out.csv")["prediction"].to_pylist()] == list(range(200))


def test_a_model_that_cannot_be_loaded(tmp_path: Path):
    source = write(tmp_path / "in.csv", numbers(3))
    raising = write_model(tmp_path, PARITY + "\nraise ValueError('no weights')\n")
    with pytest.raises(ModelError, match="no weights"):
        run(raising, source, tmp_path / "out.csv", here=False)
    ending = write_model(tmp_path, "import os\nos._exit(7)\n" + PARITY)
    with pytest.raises(ModelError, match="exited with code 7 before it was ready, 3 times"):
        run(ending, source, tmp_path / "out.csv", here=False)
    assert not (tmp_path / "out.csv.twofold").exists()


def test_a_model_that_always_ends_its_process_stops_the_run(tmp_path: Path):
    model = write_model(tmp_path, "import os, twofold\n@twofold.model\ndef f(number: int) -> int:\n    os._exit(9)\n")
    source = write(tmp_path / "in.csv", numbers(500))
    with pytest.raises(RunStopped, match="exited with code 9"):
        run(model, source, tmp_path / "out.csv", here=False, split_rows=100, workers=1)


def test_several_threads_of_one_worker_where_the_model_drops_the_gil(tmp_path: Path):
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kinds = onnx.helper, onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x", "axes"], ["y"], keepdims=0)],
        "sum",
        [helper.make_tensor_value_info("x", kinds.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, ["n"])],
        [helper.make_tensor("axes", kinds.INT64, [1], [1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "sum.onnx")
    columns = {f"f{i}": [float(i * n) for n in range(2000)] for i in range(3)}
    source = write(tmp_path / "in.csv", pa.table(columns))
    report = run(
        *(tmp_path / "sum.onnx", source, tmp_path / "out.parquet"),
        here=False,
        map={"x": "f0..f2"},
        keep=(),
        rename={"prediction": "total"},
        split_rows=200,
        batch_rows=50,
        workers=2,
    )
    assert report.splits == 10
    assert read(tmp_path / "out.parquet").to_pydict() == {"total": [3.0 * n for n in range(2000)]}


def test_models_that_wait(tmp_path: Path):
    source = write(tmp_path / "in.csv", numbers(300))
    report = run(write_model(tmp_path, WAITING), source, tmp_path / "out.csv", here=False)
    assert report.rows_out == 300


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_no_worker_outlives_its_run(tmp_path: Path):
    model = write_model(tmp_path, SLOW)
    source = write(tmp_path / "in.csv", numbers(5000))
    arguments = f"model_ref({str(model)!r}), {str(source)!r}, {str(tmp_path / 'out.csv')!r}"
    code = (
        "from twofold._batch import run_batch\nfrom twofold._model import model_ref\n"
        f"from twofold._options import BatchOptions\nrun_batch({arguments}, BatchOptions(split_rows=50))"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as process:
        parts = tmp_path / "out.csv.twofold" / "parts"
        until = time.monotonic() + 30
        while not (parts.exists() and len(list(parts.iterdir())) > 1):
            assert time.monotonic() < until
            time.sleep(0.02)
        workers = _children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert workers
    until = time.monotonic() + 10
    while any(_alive(pid) for pid in workers):
        assert time.monotonic() < until
        time.sleep(0.02)
    assert not (tmp_path / "out.csv").exists()


def _children(pid: int) -> list[int]:
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def _alive(pid: int) -> bool:
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")
