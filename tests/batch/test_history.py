"""Records and logs of runs, read where they lie."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.batch.runs import PARITY, PICKY, numbers, run, write, write_model
from twofold._batch.history import find_runs, read_run, timeline
from twofold._batch.stores.locks import holder_of, locked
from twofold._errors import RunStopped


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.csv", numbers(60))


def test_runs_beside_their_outputs(tmp_path: Path, source: Path) -> None:
    deep = tmp_path / "deep" / "er"
    deep.mkdir(parents=True)
    run(write_model(tmp_path, PARITY), source, tmp_path / "a.csv")
    run(write_model(tmp_path, PICKY), source, f"{deep}/b/", split_rows=20)
    (tmp_path / "run.json").write_text("{}")
    (tmp_path / ".hidden").mkdir()
    newest, oldest = find_runs(tmp_path)
    assert (newest.output, oldest.output) == (f"{deep}/b", str(tmp_path / "a.csv"))
    assert (newest.state, newest.rows_in, newest.rows_out, newest.rows_quarantined) == ("done", 60, 48, 12)
    assert (newest.splits, newest.splits_total, newest.model) == (3, 3, "picky")
    assert newest.quarantine == f"{deep}/b.twofold/quarantine.jsonl"
    assert newest.starts[0].ended == "done"
    assert newest.options["split_rows"] == 20
    json.dumps(newest.to_json())


def test_a_run_that_was_stopped_and_one_that_works(tmp_path: Path, source: Path) -> None:
    model = write_model(tmp_path, PICKY)
    with pytest.raises(RunStopped):
        run(model, source, tmp_path / "a.csv", split_rows=20, max_bad_rows=7)
    state = tmp_path / "a.csv.twofold"
    found = read_run(state)
    assert found is not None
    assert (found.state, found.rows_in, found.rows_quarantined, found.rows_total) == ("stopped", 20, 4, 60)
    assert (found.splits, found.splits_total) == (1, 3)
    assert sum(found.reasons.values()) == 4
    assert found.starts[0].ended == "stopped"
    assert "8 rows are bad" in found.starts[0].message
    with locked(state, "a.csv"):
        found = read_run(state)
        assert found is not None
        assert (found.state, found.process) == ("working", os.getpid())
    assert holder_of(state) is None

    run(model, source, tmp_path / "a.csv", split_rows=20)
    found = read_run(state)
    assert found is not None
    assert (found.state, found.rows_in, len(found.starts)) == ("done", 60, 2)
    assert (found.starts[1].splits_done, found.starts[1].splits, found.starts[1].rows) == (1, 2, 40)
    rates = timeline(state)
    assert sum(rate.rows for rate in rates) == 60
    assert sum(rate.rows_quarantined for rate in rates) == 12
    assert {rate.start for rate in rates} == {0, 1}


def test_a_record_without_a_log(tmp_path: Path, source: Path) -> None:
    run(write_model(tmp_path, PARITY), source, tmp_path / "a.csv")
    (tmp_path / "a.csv.twofold" / "log.jsonl").unlink()
    (found,) = find_runs(tmp_path)
    assert (found.state, found.rows_in, found.splits, found.splits_total) == ("done", 60, 1, 1)
    assert (found.starts, timeline(tmp_path / "a.csv.twofold")) == ((), [])


def test_a_table_has_its_record_in_the_state_folder(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    table = f"sqlite:///{tmp_path}/a.db?table=scores"
    run(write_model(tmp_path, PICKY), source, table, quarantine="bad.jsonl", split_rows=20)
    (found,) = find_runs(tmp_path)
    assert found.output == f"sqlite:///{tmp_path}/a.db?table=scores"
    assert Path(found.folder).parent == tmp_path / ".twofold" / "runs"
    assert (found.state, found.rows_in, found.rows_quarantined) == ("done", 60, 12)
    assert found.quarantine == str(tmp_path / "bad.jsonl")
