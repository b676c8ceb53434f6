"""twofold init: what it writes serves, runs in batch, and passes ruff and mypy."""

from __future__ import annotations

import csv
import datetime as dt
import keyword
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import twofold as package
from tests.cli.commands import twofold
from twofold._cli.app import run
from twofold._signature import Field, Int
from twofold._starter.baseline import Baseline
from twofold._starter.names import attribute_names
from twofold._starter.source import source_of

TRAIN = """amount,currency,zip,when,row id,class,note,date,label
12.5,EUR,04103,2026-11-01T12:30:00Z,1,a,,2026-11-01,0
3,USD,04105,2026-11-02T12:30:00Z,2,b,"late, twice",2026-11-01,1
7.25,EUR,00001,2026-11-03T12:30:00Z,3,a,,2026-11-01,0
"""

WRITTEN = '''"""Predicts label from a row of train.csv."""

import datetime as dt

import msgspec
import twofold

# A baseline, no model yet: the most frequent value of label
# in the 3 rows of train.csv.
BASELINE: int = 0


class Row(msgspec.Struct, kw_only=True):
    """One row of train.csv, without label."""

    amount: float
    currency: str
    zip: str
    when: dt.datetime
    row_id: int = msgspec.field(name="row id")
    class_: str = msgspec.field(name="class")
    note: str | None = None
    date: dt.date


@twofold.model
def predict(row: Row) -> int:
    """Answer one row with label."""
    # YOUR MODEL GOES HERE: answer with what it makes of row.amount, row.currency, row.zip, …
    return BASELINE
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.csv").write_text(TRAIN)
    return tmp_path


def check(path: Path) -> None:
    """ruff's own rules and format, and mypy at its strictest."""
    for words in (["check", "--isolated"], ["format", "--isolated", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, path.name], capture_output=True, text=True, cwd=path.parent
        )
        assert done.returncode == 0, done.stdout + done.stderr + path.read_text()
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", path.parent.parent / "mypy", path],
        capture_output=True,
        text=True,
        cwd=path.parent,
    )
    assert done.returncode == 0, done.stdout + path.read_text()


def test_what_it_writes_and_says(folder: Path):
    done = twofold("init", "--from", "train.csv", "--drop", "label", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "model.py").read_text() == WRITTEN
    assert done.stdout.splitlines() == [
        "Wrote model.py: 8 fields, as they are in 3 rows.",
        "",
        "Next:",
        "  twofold describe model.py",
        "  twofold serve model.py",
        "  twofold batch model.py train.csv predictions.csv",
    ]


@pytest.mark.skipif(find_spec("ruff") is None, reason="ruff is not installed")
def test_the_file_is_clean(folder: Path):
    twofold("init", "--from", "train.csv", "--drop", "label", cwd=folder)
    check(folder / "model.py")


def test_it_runs_in_both_modes_as_it_stands(folder: Path):
    told = twofold("init", "--from", "train.csv", "--drop", "label", cwd=folder).stdout
    batch = next(line.split()[1:] for line in told.splitlines() if " batch " in line)
    done = twofold(*batch, cwd=folder)
    assert done.returncode == 0, done.stderr
    with (folder / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == ["0", "0", "0"]
    assert [row["row id"] for row in rows] == ["1", "2", "3"]
    with package.serve(folder / "model.py", background=True, workers=1) as served:
        client = package.connect(served.url)
        row: dict[str, Any] = {
            "amount": 1,
            "currency": "EUR",
            "zip": "00001",
            "when": dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
            "row id": 7,
            "class": "a",
            "date": dt.date(2026, 11, 1),
        }
        assert client(row) == 0
        assert client(**row, note="x") == 0
        with pytest.raises(package.RowsDoNotFit, match="row id"):
            client({**row, "row id": "seven"})


def test_typed_data_with_everything(tmp_path: Path):
    stamp = dt.datetime(2026, 11, 1)
    table = pa.table(
        {
            "id": pa.array([1, 2], pa.uint64()),
            "small": pa.array([None, 2], pa.int8()),
            "vector": pa.array([[1, 2, 3]] * 2, pa.list_(pa.float32(), 3)),
            "flags": pa.array([[True, False]] * 2, pa.list_(pa.bool_(), 2)),
            "words": pa.array([["a", None], []], pa.list_(pa.string())),
            "sent to": pa.array([{"street name": "s", "at": stamp}] * 2),
            "row": pa.array([{"a": 1}] * 2),
            "raw": pa.array([b"a", b"b"]),
            "took": pa.array([dt.timedelta(1)] * 2),
            "prediction": pa.array([0.5, 1.5], pa.float32()),
            "a name so long that the line which says it must be broken in two to stay readable": [1, 2],
            "": [1, 2],
        }
    )
    pq.write_table(table, tmp_path / "data.parquet")
    done = twofold("init", "new model.py", "--from", "data.parquet", "--drop", "prediction", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:2] == [
        "Wrote new model.py: 10 fields, as they are in 2 rows.",
        "Left out, as no field can hold them: took.",
    ]
    expected = "twofold batch 'new model.py' data.parquet predictions.parquet --rename prediction=predicted"
    assert expected in done.stdout
    written = (tmp_path / "new model.py").read_text()
    assert "BASELINE: float = 1.0\n" in written
    assert "# left out: took (duration[us])" in written
    words = ["new model.py", "data.parquet", "predictions.parquet", "--rename", "prediction=predicted"]
    ran = twofold("batch", *words, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert pq.read_table(tmp_path / "predictions.parquet")["predicted"].to_pylist() == [1.0, 1.0]
    (tmp_path / "new model.py").rename(tmp_path / "model.py")
    check(tmp_path / "model.py")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--from", "train.csv", "--drop", "lable"], "no column 'lable'. Its columns are amount, currency, zip, when,"),
        (["--from", "train.csv", "--drop", ","], "needs a column in --drop"),
        (["--from", "train.csv"], "Missing option '--drop'"),
        (["--drop", "label"], "Missing option '--from'"),
        (["model", "--from", "train.csv", "--drop", "label"], "Give one such as model.py"),
        (["sub/model.py", "--from", "train.csv", "--drop", "label"], "there is no folder 'sub'"),
        (["--from", "train.csv", "--drop", "label", "there.py"], "there.py is there already"),
        (
            ["--from", "train.csv", "--drop", "label,amount,currency,zip,when,row id,class,note,date"],
            "leaves no column to answer from",
        ),
    ],
)
def test_usage_errors(
    folder: Path, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    (folder / "there.py").write_text("mine")
    monkeypatch.chdir(folder)
    assert run(["init", *words]) == 2
    out, err = capsys.readouterr()
    assert says in err
    assert out == ""
    assert (folder / "there.py").read_text() == "mine"
    assert sorted(path.name for path in folder.iterdir()) == ["there.py", "train.csv"]


def test_an_input_that_is_not_there(folder: Path):
    done = twofold("init", "--from", "trian.csv", "--drop", "label", cwd=folder)
    assert done.returncode == 1
    assert "'trian.csv' is not there" in done.stderr


names = st.text(st.sampled_from("aB1 _-.'`#{}é²ﬁ名"), max_size=6)
ODD = ["class", "class_", "int", "a b", "a-b", "__x", "1st", "", "²", "ﬁ", "None", "dt", "a'b", "a\u2028b", "row_"]


@settings(max_examples=80, deadline=None)
@given(st.lists(names, min_size=1, max_size=5, unique=True), names | st.text())
@example(ODD, '"""')
@example(["prediction", "BASELINE", "Row", "predict", "self"], "\\")
def test_any_names_make_a_file_that_python_reads(columns: list[str], dropped: str):
    attributes = attribute_names(columns)
    assert len(set(attributes.values())) == len(columns)
    assert all(name.isidentifier() and not keyword.iskeyword(name) for name in attributes.values())
    fields = [Field(name, Int(), nullable=at % 2 == 0) for at, name in enumerate(columns)]
    text = source_of(fields, {dropped: dropped}, Baseline(dropped, "most frequent value", 1, Int(), 3), dropped)
    written: Any = ModuleType("written")
    sys.modules["written"] = written
    try:
        exec(compile(text, "written.py", "exec"), vars(written))
        model = package.load(written.predict)
        assert [field.name for field in model.signature.inputs] == columns
        assert package.batch(model, [dict.fromkeys(columns, 1)]) == [1]
    finally:
        del sys.modules["written"]
