"""Rows in memory: what comes in decides what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest

import twofold
from twofold._errors import InputError, RowsDoNotFit, RunStopped, UsageError


@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"


@dataclass
class Split:
    half: float
    rest: int


@twofold.model
def split(number: int, by: int = 2) -> Split:
    if number == 13:
        raise twofold.BadRow("thirteen is unlucky")
    return Split(number / by, number % by)


def test_lists():
    assert twofold.batch(parity, [2, 3, 4, 5, 6]) == ["Even", "Odd", "Even", "Odd", "Even"]
    assert twofold.batch(parity, [{"number": 7}, {"number": 8}]) == ["Odd", "Even"]
    assert twofold.batch(split, [{"number": 3}, {"number": 4, "by": 4}]) == [
        {"half": 1.5, "rest": 1},
        {"half": 1.0, "rest": 0},
    ]
    assert twofold.batch(parity, []) == []
    assert twofold.batch(parity, list(range(20_001)), batch_rows=7, limit_rows=3) == ["Even", "Odd", "Even"]


def test_arrow_tables_and_batches():
    table = pa.table({"id": ["a", "b"], "n": [1, 2]})
    found = twofold.batch(parity, table, map={"number": "n"}, rename={"prediction": "kind"})
    assert found.to_pydict() == {"id": ["a", "b"], "n": [1, 2], "kind": ["Odd", "Even"]}
    kept = twofold.batch(parity, table, map={"number": "n"}, keep=["id"], limit_rows=1)
    assert kept.to_pydict() == {"id": ["a"], "prediction": ["Odd"]}
    batch = twofold.batch(split, pa.record_batch({"number": [5]}))
    assert isinstance(batch, pa.RecordBatch)
    assert batch.to_pydict() == {"number": [5], "half": [2.5], "rest": [1]}
    chunked = pa.concat_tables([pa.table({"number": [1]}), pa.table({"number": [2]})])
    assert twofold.batch(parity, chunked)["prediction"].to_pylist() == ["Odd", "Even"]
    assert twofold.batch(parity, pa.table({"number": pa.array([], pa.int64())})).column_names == [
        "number",
        "prediction",
    ]


def test_pandas_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"number": [1, 2], "other": [object(), object()]}, index=["x", "y"])
    found = twofold.batch(parity, frame)
    assert found.index.tolist() == ["x", "y"]
    assert found["prediction"].tolist() == ["Odd", "Even"]
    assert found["other"].tolist() == frame["other"].tolist()
    assert frame.columns.tolist() == ["number", "other"]
    with pytest.raises(RowsDoNotFit, match="row 1"):
        twofold.batch(parity, pd.DataFrame({"number": pd.array([1, None], dtype="Int64")}))
    with pytest.raises(InputError, match="several kinds"):
        twofold.batch(parity, pd.DataFrame({"number": [1, "a"]}))


def test_polars_frames():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"id": ["a", "b"], "number": [1, 2]})
    found = twofold.batch(parity, frame, keep=["id"])
    assert found.to_dict(as_series=False) == {"id": ["a", "b"], "prediction": ["Odd", "Even"]}


def test_rows_without_an_answer():
    with pytest.raises(RowsDoNotFit) as misfit:
        twofold.batch(parity, [1, "x", 2.5])
    assert [error.row for error in misfit.value.errors] == [1, 2]
    with pytest.raises(RunStopped, match=r"(?s)2 of 3 rows have no answer.*row 0: thirteen is unlucky") as stopped:
        twofold.batch(split, [{"number": n} for n in (13, 1, 13)])
    assert sorted(stopped.value.data["failures"]) == [0, 2]
    with pytest.raises(RowsDoNotFit):
        twofold.batch(parity, pa.table({"number": [1, None]}))


def test_what_has_no_meaning():
    with pytest.raises(InputError, match="it was given int"):
        twofold.batch(parity, 7)
    with pytest.raises(UsageError, match="a list of rows has none"):
        twofold.batch(parity, [1], keep=["id"])
    table = pa.table({"prediction": [1], "number": [1]})
    with pytest.raises(UsageError, match="has a column 'prediction' already"):
        twofold.batch(parity, table)
    with pytest.raises(UsageError, match="no output 'answer'"):
        twofold.batch(parity, pa.table({"number": [1]}), rename={"answer": "x"})
    with pytest.raises(InputError, match="the table has no column 'number'"):
        twofold.batch(parity, pa.table({"n": [1]}))
    with pytest.raises(UsageError, match="no column 'id'"):
        twofold.batch(parity, pa.table({"number": [1]}), keep=["id"])


def test_paths_start_workers_for_the_function(tmp_path: Path):
    (tmp_path / "in.csv").write_text("number\n1\n2\n")
    report = twofold.batch(parity, tmp_path / "in.csv", tmp_path / "out.csv")
    assert isinstance(report, twofold.BatchReport)
    assert (tmp_path / "out.csv").read_text() == "number,prediction\n1,Odd\n2,Even\n"
