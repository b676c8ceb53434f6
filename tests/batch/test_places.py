"""How many workers there are, and what they may hold."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.batch.runs import numbers, quarantine, read, run, write, write_model
from twofold._batch.executors import trying
from twofold._batch.executors.shares import Shares, held_by
from twofold._batch.executors.trying import Trying
from twofold._errors import RunStopped, UsageError

MIB = 1 << 20

CRASHES = """
import os
from dataclasses import dataclass
import numpy as np
import twofold

@dataclass
class Row:
    number: int

@twofold.model(row=Row, result=int)
def f(rows: dict[str, np.ndarray]) -> np.ndarray:
    if set(rows["number"].tolist()) & {5, 300, 700}:
        with open(COUNT, "a") as file:
            file.write(f"{len(rows['number'])}\\n")
        os._exit(3)
    return rows["number"] + 1
"""

GREEDY = """
import time
import numpy as np
import twofold

@twofold.model
def f(number: int) -> int:
    if number == 41:
        held = np.ones(100 << 20)
        time.sleep(5)
    return number
"""


def test_rows_that_crash_cost_few_calls_and_are_put_aside_once(tmp_path: Path):
    """k (log2 n + 1) of them at most, and in quarantine once, though the run was stopped between."""
    count = tmp_path / "crashed"
    model = write_model(tmp_path, CRASHES.replace("COUNT", repr(str(count))))
    source = write(tmp_path / "in.parquet", numbers(1000))
    settings: dict[str, Any] = {"here": False, "batch_rows": 128, "split_rows": 250, "workers": 1}
    with pytest.raises(RunStopped, match="2 rows are bad"):
        run(model, source, tmp_path / "out.parquet", max_bad_rows=1, **settings)
    report = run(model, source, tmp_path / "out.parquet", **settings)
    guilty = [5, 300, 700]
    assert [line["_position"]["row"] for line in quarantine(report)] == guilty
    assert len(count.read_text().splitlines()) <= len(guilty) * (math.log2(128) + 1)
    assert read(tmp_path / "out.parquet")["prediction"].to_pylist() == [n + 1 for n in range(1000) if n not in guilty]
    assert report.splits_resumed == 1


def beside_us(mib: int) -> int:
    """So many MiB more than this process holds, which is the command here and has run other tests."""
    held = held_by(os.getpid())
    return mib * MIB + (100 * MIB if held is None else held.own + held.shared)


class _Machine:
    """Workers of which each uses so much of a core."""

    def __init__(self, busy: float, monkeypatch: pytest.MonkeyPatch) -> None:
        self.busy, self.now = busy, 0.0
        monkeypatch.setattr(trying, "_cpu_s", lambda _: self.busy * self.now)

    def runs(self, tried: Trying, rate: dict[int, float]) -> list[int]:
        found = []
        for _ in range(100):
            self.now += 0.1
            tried.computed(int(0.1 * rate[tried.n_workers]))
            found.append(tried.look(self.now, range(tried.n_workers), 1_000_000))
        return found


def test_more_workers_are_tried_where_they_wait_and_kept_where_they_help(monkeypatch: pytest.MonkeyPatch):
    scales = {n: 1000.0 * n for n in range(1, 17)}
    assert _Machine(0.1, monkeypatch).runs(Trying(2, 8), scales)[-1] == 8
    found = _Machine(0.1, monkeypatch).runs(Trying(2, 8), dict.fromkeys(range(17), 2000.0))
    assert (max(found), found[-1]) == (4, 2)
    assert set(_Machine(0.9, monkeypatch).runs(Trying(2, 8), scales)) == {2}


def test_what_fits_into_a_memory():
    shares = Shares(1000 * MIB, model_bytes=200 * MIB, rest_bytes=100 * MIB)
    assert (shares.workers(8), shares.workers(2)) == (3, 2)
    assert shares.room(2, 1) == 200 * MIB
    with pytest.raises(UsageError, match=r"too little.*Give at least"):
        Shares(300 * MIB, 200 * MIB, 100 * MIB).workers(1)


@pytest.mark.skipif(held_by(os.getpid()) is None, reason="this system does not say what a process holds")
def test_a_worker_above_the_memory_is_ended_and_its_row_put_aside(tmp_path: Path):
    source = write(tmp_path / "in.csv", numbers(120))
    model = write_model(tmp_path, GREEDY)
    settings: dict[str, Any] = {"here": False, "split_rows": 60, "batch_rows": 30, "workers": 2}
    report = run(model, source, tmp_path / "out.csv", memory_bytes=beside_us(600), **settings)
    (line,) = quarantine(report)
    assert (line["_position"]["row"], report.rows_out) == (41, 119)
    assert "more memory than --memory allows" in line["_error"]["message"]


def test_large_rows_are_cut_to_the_memory(tmp_path: Path):
    """The same answers; fewer rows at a time."""
    table = pa.table({"id": range(40), "data": [bytes(MIB) for _ in range(40)]})
    pq.write_table(table, tmp_path / "in.parquet", compression="none", use_dictionary=False)
    model = write_model(
        tmp_path, "import twofold\n@twofold.model\ndef size(data: bytes) -> int:\n    return len(data)\n"
    )
    run(model, tmp_path / "in.parquet", tmp_path / "out.parquet", here=False, keep=("id",), memory_bytes=beside_us(400))
    shape = json.loads((tmp_path / "out.parquet.twofold" / "run.json").read_text())["shape"]
    assert shape["piece_rows"] <= 10
    assert read(tmp_path / "out.parquet")["prediction"].to_pylist() == [MIB] * 40


@pytest.mark.heavy  # on a busy machine it waits until nobody else wants to compute
@pytest.mark.skipif(not hasattr(os, "SCHED_IDLE"), reason="Linux")
def test_idle_priority(tmp_path: Path):
    """The command, its workers and all their threads; the session of each worker steps back as well."""
    (tmp_path / "model.py").write_text(
        "import os, twofold\n@twofold.model\ndef f(number: int) -> str:\n"
        "    threads = {os.sched_getscheduler(int(t)) for t in os.listdir('/proc/self/task')}\n"
        "    try:\n        group = open('/proc/self/autogroup').read().split()[-1]\n"
        "    except OSError:\n        group = '19'\n"
        "    return f'{threads == {os.SCHED_IDLE}} {os.sched_getscheduler(os.getppid())} {group}'\n"
    )
    write(tmp_path / "in.csv", numbers(3))
    command = [sys.executable, "-m", "twofold", "batch", "model.py", "in.csv", "out.csv", "--priority", "idle"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert set(read(tmp_path / "out.csv")["prediction"].to_pylist()) == {f"True {os.SCHED_IDLE} 19"}
