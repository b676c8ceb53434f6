"""Batch on a Ray cluster: two nodes on this machine, each with one place."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.batch.runs import numbers, quarantine, read, run, write, write_model
from twofold._batch.report import BatchReport, Progress
from twofold._batch.run import run_batch
from twofold._errors import ModelError, UsageError
from twofold._model import model_ref
from twofold._options import BatchOptions

ray = pytest.importorskip("ray")

pytestmark = [
    pytest.mark.clusters,
    pytest.mark.timeout(180),
    pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"),
]

SLOW = """
import time
import twofold

@twofold.model
def slow(number: int) -> str:
    time.sleep(0.002)
    if number % 100 == 3:
        raise twofold.BadRow("three is unlucky")
    return "Even" if number % 2 == 0 else "Odd"
"""


FAST = SLOW.replace("    time.sleep(0.002)\n", "")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    found = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(address=found.address, log_to_driver=False)
    yield found
    ray.shutdown()
    found.shutdown()


@pytest.fixture
def nodes(cluster: Any) -> Any:
    """The cluster, with two nodes."""
    while len(cluster.list_all_nodes()) < 2:
        cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    return cluster


def on_ray(model: Path, source: Path, output: Path | str, on_progress: Any = None, **options: Any) -> BatchReport:
    ref = model_ref(model)
    return run_batch(ref, str(source), str(output), BatchOptions(executor="ray", **options), on_progress=on_progress)


def test_the_output_is_that_of_one_process_and_the_model_is_shipped(nodes: Any, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "words_of_it.py").write_text("from pathlib import Path\nHERE = str(Path(__file__).parent)\n")
    (folder / "odd.txt").write_text("Odd")
    model = write_model(
        folder,
        f"""
from typing import TypedDict

import twofold
from words_of_it import HERE

ODD = twofold.artifact("odd.txt").read_text()

class Answer(TypedDict):
    answer: str
    elsewhere: bool

@twofold.model
def shipped(number: int) -> Answer:
    return {{"answer": "Even" if number % 2 == 0 else ODD, "elsewhere": HERE != {str(folder)!r}}}
""",
    )
    source = write(tmp_path / "in.parquet", numbers(3000))
    report = on_ray(model, source, tmp_path / "out.parquet", split_rows=500)
    assert (report.rows_in, report.rows_out, report.splits) == (3000, 3000, 6)
    assert report.model_calls >= 6
    table = read(tmp_path / "out.parquet")
    assert table.column("number").to_pylist() == list(range(3000))
    assert set(table.column("answer").to_pylist()) == {"Even", "Odd"}
    assert set(table.column("elsewhere").to_pylist()) == {True}


def test_a_node_that_dies_costs_nothing(nodes: Any, tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", numbers(3000))
    removed: list[int] = []

    def remove(progress: Progress) -> None:
        if not removed and progress.rows_done > 1000:
            removed.append(progress.rows_done)
            nodes.remove_node(next(node for node in nodes.list_all_nodes() if not node.head), allow_graceful=False)

    report = on_ray(write_model(tmp_path, SLOW), source, tmp_path / "out.parquet", remove, split_rows=200)
    assert removed
    assert (report.rows_in, report.rows_quarantined) == (3000, 30)
    here = run(write_model(tmp_path, FAST), source, tmp_path / "here.parquet", split_rows=200)
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()
    assert quarantine(report) == quarantine(here)


def test_the_pool_grows_with_the_cluster(nodes: Any, tmp_path: Path) -> None:
    """From row 600 on, the model waits until three processes have loaded it."""
    added: list[Any] = []

    def grow(progress: Progress) -> None:
        if not added and progress.rows_done > 200:
            added.append(nodes.add_node(num_cpus=1))

    model = write_model(
        tmp_path,
        f"""
import os, pathlib, time, twofold

@twofold.model
class Crowd:
    def __init__(self) -> None:
        self.there = pathlib.Path({str(tmp_path / "there")!r})
        self.there.mkdir(exist_ok=True)

    def predict(self, number: int) -> int:
        (self.there / str(os.getpid())).touch()
        while number >= 600 and len(list(self.there.iterdir())) < 3:
            time.sleep(0.1)
        time.sleep(0.001)
        return os.getpid()
""",
    )
    source = write(tmp_path / "in.parquet", numbers(1500))
    on_ray(model, source, tmp_path / "out.parquet", grow, split_rows=50)
    nodes.remove_node(added[0], allow_graceful=False)
    assert len(set(read(tmp_path / "out.parquet").column("prediction").to_pylist())) == 3


def test_a_row_that_ends_its_process_is_found(nodes: Any, tmp_path: Path) -> None:
    model = write_model(
        tmp_path,
        "import os, time, twofold\n@twofold.model\ndef deadly(number: int) -> int:\n"
        "    if number == 777:\n        os._exit(9)\n"
        "    if number == 888:\n        time.sleep(60)\n    return -number\n",
    )
    source = write(tmp_path / "in.parquet", numbers(1500))
    report = on_ray(model, source, tmp_path / "out.parquet", split_rows=500, row_timeout_s=2)
    assert [(line["_position"]["row"], line["_error"]["code"]) for line in quarantine(report)] == [
        (777, "worker_lost"),
        (888, "deadline_exceeded"),
    ]
    assert (report.rows_out, report.rows_quarantined) == (1498, 2)


def test_a_stopped_command_goes_on(nodes: Any, tmp_path: Path) -> None:
    model = write_model(tmp_path, SLOW)
    source = write(tmp_path / "in.parquet", numbers(3000))
    command = [sys.executable, "-m", "twofold", "batch", model, source, tmp_path / "out.parquet", "--split-rows=300"]
    stopped = subprocess.Popen(
        [*map(str, command), "--executor", "ray", "--address", nodes.address], stderr=subprocess.PIPE, text=True
    )
    parts = tmp_path / "out.parquet.twofold" / "parts"
    until = time.monotonic() + 100
    while not (parts.is_dir() and list(parts.iterdir())) and time.monotonic() < until:
        time.sleep(0.1)
    stopped.terminate()
    _, said = stopped.communicate()
    assert (stopped.returncode, "start the same command again" in said) == (143, True), said
    assert not (tmp_path / "out.parquet").exists()
    report = on_ray(model, source, tmp_path / "out.parquet", split_rows=300)
    assert report.splits_resumed >= 1
    run(write_model(tmp_path, FAST), source, tmp_path / "here.parquet", split_rows=300)
    assert (tmp_path / "out.parquet").read_bytes() == (tmp_path / "here.parquet").read_bytes()


def test_a_model_that_cannot_be_loaded_is_said_with_its_node(nodes: Any, tmp_path: Path) -> None:
    model = write_model(
        tmp_path,
        f"import pathlib, twofold\nassert pathlib.Path(__file__).parent == pathlib.Path({str(tmp_path)!r}), 'moved'\n"
        "@twofold.model\ndef f(number: int) -> int:\n    return number\n",
    )
    source = write(tmp_path / "in.parquet", numbers(10))
    with pytest.raises(ModelError, match=r"on the node .*: .* cannot be imported: AssertionError: moved"):
        on_ray(model, source, tmp_path / "out.parquet")


def test_nodes_that_do_not_see_the_output_are_refused(nodes: Any, tmp_path: Path, monkeypatch) -> None:
    from twofold._batch.executors import ray as executor

    model = write_model(tmp_path, SLOW)
    source = write(tmp_path / "in.parquet", numbers(10))
    monkeypatch.setattr(executor, "write_token", lambda work: "never-written")
    with pytest.raises(UsageError, match=r"on the node .*: it does not see the output: .* has no file 'seen-never"):
        on_ray(model, source, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_table_as_output(nodes: Any, tmp_path: Path, postgres: str) -> None:
    psycopg = pytest.importorskip("psycopg")
    model = write_model(tmp_path, FAST)
    source = write(tmp_path / "in.parquet", numbers(500))
    quarantine, state = str(tmp_path / "bad.jsonl"), str(tmp_path / "state")
    output = f"{postgres}table=scores"
    report = on_ray(model, source, output, split_rows=100, quarantine=quarantine, state=state)
    assert (report.rows_in, report.rows_out, report.rows_quarantined) == (500, 495, 5)
    with psycopg.connect(postgres[:-1]) as connection:
        found = connection.execute("SELECT number, prediction FROM scores ORDER BY number").fetchall()
    assert found == [(n, "Even" if n % 2 == 0 else "Odd") for n in range(500) if n % 100 != 3]


@pytest.mark.parametrize("output", ["-", "sqlite:///scores.db?table=scores"])
def test_outputs_of_one_machine_are_refused(output: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = write(tmp_path / "in.parquet", numbers(5))
    with pytest.raises(UsageError, match="is one of this machine"):
        on_ray(write_model(tmp_path, FAST), source, output, quarantine=str(tmp_path / "bad.jsonl"))
