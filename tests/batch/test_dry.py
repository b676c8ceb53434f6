"""A dry run says what a run would do, and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import twofold
from tests.batch.runs import PICKY, numbers, run, write, write_model
from twofold._batch.dry import DryRun
from twofold._errors import OverwriteRefused, RunStopped, UsageError
from twofold._model import model_ref

TWO = """
import twofold

@twofold.model
def two(number: int, times: int = 3) -> int:
    if number == 7:
        raise ValueError("seven")
    return number * times
"""


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".pyc" not in path.name}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.csv", numbers(400))


def dry(model: Path, source: Path, output: Path | str, **options: object) -> DryRun:
    return twofold.batch(model_ref(model), source, output, dry_run=True, in_process=True, **options)  # type: ignore[call-overload,no-any-return]


def test_it_says_what_a_run_would_do_and_writes_nothing(tmp_path: Path, source: Path) -> None:
    model = write_model(tmp_path, TWO)
    before = tree(tmp_path)
    found = dry(model, source, tmp_path / "out.parquet", split_rows=100, keep=["number"], rename={"prediction": "p"})
    assert tree(tmp_path) == before
    assert (found.state, found.files, found.rows, found.splits, found.splits_done) == ("begins", 1, 400, 4, 0)
    assert (found.columns, found.defaults) == ({"number": "number"}, ("times",))
    assert (found.kept, found.unread, found.answers) == (("number",), ("id",), {"prediction": "p"})
    assert found.types == {"number": "int64", "p": "int64"}
    assert found.sample is not None
    assert (found.sample.rows_in, found.sample.rows_quarantined) == (100, 1)
    assert found.sample.reasons == {"model_failed ValueError": 1}
    assert found.seconds is not None
    assert 0 < found.seconds < 60
    json.dumps(found.to_json())


def test_a_run_that_goes_on_and_one_that_is_done(tmp_path: Path, source: Path) -> None:
    model, output = write_model(tmp_path, PICKY), tmp_path / "out.csv"
    with pytest.raises(RunStopped):
        run(model, source, output, split_rows=100, max_bad_rows=30)
    before = tree(tmp_path)
    found = dry(model, source, output, split_rows=100)
    assert (found.state, found.splits, found.splits_done, found.rows_left) == ("goes on", 4, 1, 300)
    with pytest.raises(OverwriteRefused, match="--split-rows"):
        dry(model, source, output, split_rows=50)
    assert tree(tmp_path) == before

    run(model, source, output, split_rows=100)
    found = dry(model, source, output, split_rows=100)
    assert (found.state, found.rows_left, found.seconds, found.sample) == ("done", 0, 0.0, None)


def test_tables_and_queries_are_looked_at_only(tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    model = write_model(tmp_path, TWO)
    before = tree(tmp_path)
    table = f"sqlite:///{tmp_path}/a.db?table=t"
    found = dry(model, source, table, quarantine="bad.jsonl")
    assert (found.state, found.output) == ("begins", table)
    assert tree(tmp_path) == before

    run(model, source, table, quarantine="bad.jsonl")
    before = tree(tmp_path)
    assert dry(model, source, table, quarantine="bad.jsonl").state == "done"
    query = f"sqlite:///{tmp_path}/a.db?query=select number from t where number < 50"
    found = twofold.batch(model_ref(model), query, "rest.csv", dry_run=True, in_process=True)
    assert (found.rows, found.splits) == (49, 1)
    assert tree(tmp_path) == before


def test_workers_compute_the_sample(tmp_path: Path, source: Path) -> None:
    model = write_model(tmp_path, PICKY)
    before = tree(tmp_path)
    found = twofold.batch(model_ref(model), source, tmp_path / "out.csv", dry_run=True, split_rows=50, workers=2)
    assert tree(tmp_path) == before
    assert found.places == 2
    assert found.sample is not None
    assert (found.sample.rows_in, found.sample.rows_quarantined) == (100, 20)


def test_a_model_that_only_fails_is_shown(tmp_path: Path, source: Path) -> None:
    model = write_model(tmp_path, TWO.replace("number == 7", "True"))
    found = dry(model, source, tmp_path / "out.csv", split_rows=100)
    assert found.sample is None or found.sample.rows_out == 0


def test_what_does_not_go_with_it(tmp_path: Path, source: Path) -> None:
    model = write_model(tmp_path, TWO)
    with pytest.raises(UsageError, match="--events"):
        dry(model, source, tmp_path / "out.csv", events="-")
    with pytest.raises(UsageError, match="dry_run"):
        twofold.batch(model_ref(model), [{"number": 1}], dry_run=True)  # type: ignore[call-overload]
