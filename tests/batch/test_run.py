"""Runs over stored data: what comes out, what is put aside, what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.batch.runs import PARITY, PICKY, numbers, quarantine, read, run, write, write_model
from twofold._batch.stores import joined
from twofold._errors import InputError, OverwriteRefused, RunStopped, UsageError

SUFFIXES = [".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.zst", ".arrow"]


@pytest.fixture
def parity(tmp_path: Path) -> Path:
    return write_model(tmp_path, PARITY)


def state(folder: Path, name: str) -> list[str]:
    return sorted(entry.name for entry in (folder / f"{name}.twofold").iterdir())


@pytest.mark.parametrize("into", SUFFIXES)
@pytest.mark.parametrize("out_of", SUFFIXES)
def test_every_format_into_every_other(out_of: str, into: str, parity: Path, tmp_path: Path):
    source = write(tmp_path / f"in{out_of}", numbers(100))
    report = run(parity, source, tmp_path / f"out{into}", split_rows=30, batch_rows=8)
    assert (report.rows_in, report.rows_out, report.rows_quarantined, report.exit_code) == (100, 100, 0, 0)
    assert report.splits > 1 or out_of.endswith((".gz", ".zst", ".parquet", ".arrow"))
    table = read(tmp_path / f"out{into}")
    assert table.column_names == ["id", "number", "prediction"]
    assert table["id"].to_pylist() == [f"r{i}" for i in range(100)]
    assert [int(n) for n in table["number"].to_pylist()] == list(range(100))
    assert table["prediction"].to_pylist() == ["Even", "Odd"] * 50
    if not into.startswith(".csv"):
        assert table.schema.field("number").type == pa.int64()
    assert state(tmp_path, f"out{into}") == ["lock", "log.jsonl", "run.json"]


def test_a_folder_of_parts_holds_nothing_but_parts(parity: Path, tmp_path: Path):
    source = write(tmp_path / "in.csv", numbers(100))
    report = run(parity, source, f"{tmp_path}/out/", split_rows=30)
    parts = sorted(entry.name for entry in (tmp_path / "out").iterdir())
    assert len(parts) == report.splits == 4
    assert all(name.startswith("part-00000") and name.endswith(".parquet") for name in parts)
    assert read(tmp_path / "out")["id"].to_pylist() == [f"r{i}" for i in range(100)]
    assert state(tmp_path, "out") == ["lock", "log.jsonl", "run.json"]
    again = run(parity, source, f"{tmp_path}/out/", split_rows=30)
    assert (again.splits_resumed, again.rows_out) == (4, 100)


def test_an_input_folder_and_a_glob(parity: Path, tmp_path: Path):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, first in (("b.csv", 2), ("a.csv", 0), ("_skipped.csv", 9)):
        (folder / name).write_text(f"number\n{first}\n{first + 1}\n")
    run(parity, folder, tmp_path / "out.csv")
    assert read(tmp_path / "out.csv")["number"].to_pylist() == ["0", "1", "2", "3"]
    run(parity, tmp_path / "in" / "[ab].csv", tmp_path / "glob.csv")
    assert (tmp_path / "glob.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.jsonl", "out/"])
def test_an_input_without_rows(name: str, parity: Path, tmp_path: Path):
    source = write(tmp_path / "in.parquet", numbers(0))
    report = run(parity, source, f"{tmp_path}/{name}")
    assert (report.rows_in, report.exit_code) == (0, 0)
    if name != "out.jsonl":
        assert read(tmp_path / name.rstrip("/")).column_names == ["id", "number", "prediction"]


def test_text_that_the_model_does_not_read_stays_byte_for_byte(parity: Path, tmp_path: Path):
    (tmp_path / "in.csv").write_text('code,number,empty,nothing\n007,1,"",\n"a,""b",02,"",\n')
    run(parity, tmp_path / "in.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == (
        'code,number,empty,nothing,prediction\n007,1,"",,Odd\n"a,""b",02,"",,Even\n'
    )
    run(parity, tmp_path / "in.csv", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.to_pydict() == {
        "code": ["007", 'a,"b'],
        "number": [1, 2],
        "empty": ["", ""],
        "nothing": [None, None],
        "prediction": ["Odd", "Even"],
    }


def test_a_null_stays_null_where_the_model_got_a_default(tmp_path: Path):
    model = write_model(
        tmp_path, "import twofold\n@twofold.model\ndef f(a: int, b: int | None = 5) -> int:\n    return a + (b or 0)\n"
    )
    (tmp_path / "in.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 1}\n{"a": 1, "b": null}\n')
    run(model, tmp_path / "in.jsonl", tmp_path / "out.parquet")
    table = pq.read_table(tmp_path / "out.parquet")
    assert table["b"].to_pylist() == [2, None, None]
    assert table["prediction"].to_pylist() == [3, 6, 1]


def test_keep_map_rename_and_limit(parity: Path, tmp_path: Path):
    write(tmp_path / "in.parquet", numbers(50).rename_columns(["prediction", "n"]))
    report = run(
        parity,
        tmp_path / "in.parquet",
        tmp_path / "out.parquet",
        map={"number": "n"},
        keep=("n",),
        rename={"prediction": "kind"},
        limit_rows=7,
        batch_rows=2,
        split_rows=3,
    )
    assert report.rows_in == 7
    assert pq.read_table(tmp_path / "out.parquet").to_pydict() == {
        "n": list(range(7)),
        "kind": (["Even", "Odd"] * 4)[:7],
    }


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({}, UsageError, "--rename prediction=NAME"),
        ({"keep": ("id",)}, UsageError, "--keep id: the input .* has no such column. Its columns: prediction, n"),
        ({"map": {"numbr": "n"}}, UsageError, "no field 'numbr'. Its fields: number"),
        ({"map": {"number": "m"}}, UsageError, "no column 'm'. Its columns: prediction, n"),
        ({"map": {}}, InputError, "no column 'number', which the model needs. .* --map number=COLUMN"),
        ({"rename": {"answer": "x"}}, UsageError, "no output 'answer'. Its outputs: prediction"),
        ({"max_bad_rows": "many"}, UsageError, "neither a number of rows"),
        ({"batch_rows": 0}, UsageError, "more than 0"),
    ],
)
def test_options_that_name_what_is_not_there(
    options: dict, kind: type[Exception], words: str, parity: Path, tmp_path: Path
):
    write(tmp_path / "in.parquet", numbers(5).rename_columns(["prediction", "n"]))
    with pytest.raises(kind, match=words):
        run(parity, tmp_path / "in.parquet", tmp_path / "out.csv", **{"map": {"number": "n"}, **options})
    assert sorted(entry.name for entry in tmp_path.iterdir() if entry.name.startswith("out")) == []


def test_failing_rows_are_put_aside_and_can_be_run_again(tmp_path: Path):
    write(tmp_path / "in.parquet", numbers(40))
    report = run(
        write_model(tmp_path, PICKY), tmp_path / "in.parquet", tmp_path / "out.csv", split_rows=9, batch_rows=4
    )
    assert (report.rows_out, report.rows_quarantined, report.exit_code) == (32, 8, 3)
    assert report.reasons == {"bad_row BadRow": 4, "model_failed ZeroDivisionError": 4}
    assert [error["row"] for error in report.first_errors] == [3, 7, 13, 17, 23]
    lines = quarantine(report)
    assert lines[0] == {
        "id": "r3",
        "number": 3,
        "_position": {"file": str(tmp_path / "in.parquet"), "row": 3},
        "_error": {"code": "bad_row", "message": "three is unlucky"},
    }
    assert [line["_position"]["row"] for line in lines] == [3, 7, 13, 17, 23, 27, 33, 37]
    repaired = run(write_model(tmp_path, PARITY), Path(report.quarantine or ""), tmp_path / "rest.csv")
    assert (repaired.rows_out, repaired.exit_code) == (8, 0)
    assert (tmp_path / "rest.csv").read_text().splitlines()[:2] == ["id,number,prediction", "r3,3,Odd"]


def test_rows_that_do_not_fit_keep_what_fits_typed_and_the_rest_as_it_came(tmp_path: Path):
    model = write_model(
        tmp_path, "import twofold\n@twofold.model\ndef f(a: int, b: float) -> float:\n    return a + b\n"
    )
    (tmp_path / "in.csv").write_text("code,a,b\n007,1,1.50\n008,x,2.50\n009,3\n010,,1e999\n")
    report = run(model, tmp_path / "in.csv", tmp_path / "out.csv")
    first, second, third = quarantine(report)
    assert (first["code"], first["a"], first["b"]) == ("008", "x", 2.5)
    assert (first["_error"]["code"], first["_error"]["field"]) == ("row_does_not_fit", "a")
    assert (second["_raw"], second["_position"]["row"]) == ("009,3", 2)
    assert set(second) == {"_position", "_error", "_raw"}
    assert (third["a"], third["b"]) == (None, "1e999")
    (tmp_path / "in.jsonl").write_text('{"a": 7.0, "b": 1}\n{"a": 7.5, "b": "NaN"}\n{"a": 1,\n{"a": 2}\n')
    report = run(model, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    first, second, third = quarantine(report)
    assert (first["a"], first["b"], first["_error"]["field"]) == (7.5, "NaN", "a")
    assert second["_raw"] == '{"a": 1,'
    assert (third["a"], "b" in third, third["_error"]["field"]) == (2, False, "b")


def test_more_bad_rows_than_allowed_stop_the_run_and_a_higher_limit_goes_on(tmp_path: Path):
    model = write_model(tmp_path, PICKY)
    write(tmp_path / "in.csv", numbers(100))
    with pytest.raises(RunStopped, match="more than --max-bad-rows 11 allows") as stopped:
        run(model, tmp_path / "in.csv", tmp_path / "out.csv", split_rows=10, max_bad_rows="11")
    assert (
        stopped.value.exit_code,
        "× bad_row BadRow" in str(stopped.value),
        "row 3: three is" in str(stopped.value),
    ) == (1, True, True)
    assert not (tmp_path / "out.csv").exists()
    report = run(model, tmp_path / "in.csv", tmp_path / "out.csv", split_rows=10, max_bad_rows="20%")
    assert (report.splits_resumed, report.rows_quarantined, report.exit_code) == (5, 20, 0)
    assert run(model, tmp_path / "in.csv", tmp_path / "out.csv", split_rows=10).exit_code == 3
    with pytest.raises(RunStopped, match="more than"):
        run(model, tmp_path / "in.csv", tmp_path / "out.csv", split_rows=10, max_bad_rows=3)


BROKEN_ROWS = """
import twofold

@twofold.model
def f(number: int) -> int:
    raise ConnectionError("no database")
"""
BROKEN_COLUMNS = """
from dataclasses import dataclass
import numpy as np
import twofold

@dataclass
class Row:
    number: int

@twofold.model(row=Row, result=int)
def f(rows: dict[str, np.ndarray]) -> np.ndarray:
    raise ConnectionError("no database")
"""


@pytest.mark.parametrize("source", [BROKEN_ROWS, BROKEN_COLUMNS], ids=["rows", "columns"])
def test_three_batches_lost_to_one_exception_stop_the_run(source: str, tmp_path: Path):
    model = write_model(tmp_path, source)
    write(tmp_path / "in.csv", numbers(100))
    with pytest.raises(RunStopped, match=r"3 batches in a row, always with ConnectionError: .*no database") as stopped:
        run(model, tmp_path / "in.csv", tmp_path / "out.csv", batch_rows=10)
    assert stopped.value.exit_code == 1
    assert not (tmp_path / "out.csv").exists()
    two = run(model, tmp_path / "in.csv", tmp_path / "two.csv", batch_rows=10, limit_rows=20)
    assert (two.rows_quarantined, two.exit_code) == (20, 3)


def test_a_model_that_fails_on_three_tiny_files_is_not_taken_for_broken(tmp_path: Path):
    for name in "abcd":
        (tmp_path / f"{name}.csv").write_text("number\n7\n")
    report = run(write_model(tmp_path, PICKY), tmp_path / "?.csv", tmp_path / "out.parquet")
    assert (report.rows_quarantined, report.rows_out) == (4, 0)
    assert pq.read_table(tmp_path / "out.parquet").num_rows == 0


def test_a_finished_run_started_again_rewrites_nothing(tmp_path: Path):
    model = write_model(tmp_path, PICKY)
    write(tmp_path / "in.csv", numbers(40))
    first = run(model, tmp_path / "in.csv", tmp_path / "out.csv", split_rows=15)
    before = {
        path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.name not in ("lock", "out.csv.twofold")
    }
    again = run(model, tmp_path / "in.csv", tmp_path / "out.csv", split_rows=15, workers=7)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert (again.exit_code, again.rows_in, again.splits_resumed) == (3, 40, first.splits)
    assert (again.reasons, again.first_errors, again.quarantine) == (
        first.reasons,
        first.first_errors,
        first.quarantine,
    )


@pytest.mark.parametrize("change", ["model", "input", "options", "output"])
def test_something_changed_is_refused_and_replaced_when_allowed(change: str, tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    source = write(tmp_path / "in.csv", numbers(10))
    run(model, source, tmp_path / "out.csv")
    options: dict = {}
    match change:
        case "model":
            model = write_model(tmp_path, PARITY.replace("Even", "even"))
            words = r"the model \(version \w{12}, now \w{12}\)"
        case "input":
            source.write_text("id,number\nx,1\n")
            words = r"the input \(.*in.csv was written since\)"
        case "options":
            options = {"keep": ("id",), "limit_rows": 3}
            words = r'--keep \(not given, now \["id"\]\); --limit \(not given, now 3\)'
        case _:
            (tmp_path / "out.csv").write_text("mine")
            words = "is not what the run that was started before made"
    with pytest.raises(OverwriteRefused, match=words) as refused:
        run(model, source, tmp_path / "out.csv", **options)
    assert refused.value.exit_code == 2
    assert "--overwrite" in str(refused.value)
    report = run(model, source, tmp_path / "out.csv", **options, overwrite=True)
    assert report.splits_resumed == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == report.rows_out + 1


def test_an_output_that_a_run_did_not_make_is_left_alone(parity: Path, tmp_path: Path):
    source = write(tmp_path / "in.csv", numbers(10))
    (tmp_path / "out.csv").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    for name in ("out.csv", "folder/"):
        with pytest.raises(OverwriteRefused, match="--overwrite"):
            run(parity, source, f"{tmp_path}/{name}")
        assert not (tmp_path / f"{name.rstrip('/')}.twofold").exists()
        assert run(parity, source, f"{tmp_path}/{name}", overwrite=True).rows_out == 10
    assert read(tmp_path / "folder")["prediction"].to_pylist() == ["Even", "Odd"] * 5
    assert state(tmp_path, "folder") == ["lock", "log.jsonl", "run.json"]
    (tmp_path / "new.csv.twofold").mkdir()
    (tmp_path / "new.csv.twofold" / "notes.txt").write_text("mine")
    with pytest.raises(OverwriteRefused, match=r"something else in it \(notes.txt\)"):
        run(parity, source, tmp_path / "new.csv", overwrite=True)


def test_an_output_that_is_gone_is_made_again(parity: Path, tmp_path: Path):
    source = write(tmp_path / "in.csv", numbers(10))
    run(parity, source, tmp_path / "out.csv")
    (tmp_path / "out.csv").unlink()
    assert run(parity, source, tmp_path / "out.csv").splits_resumed == 0
    assert (tmp_path / "out.csv").exists()


def test_the_input_is_never_the_output(parity: Path, tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir()
    source = write(folder / "in.csv", numbers(10))
    os.link(source, tmp_path / "linked.csv")
    pairs: list[tuple[Path, Path | str]] = [
        (source, source),
        (source, tmp_path / "linked.csv"),
        (source, f"{folder}/"),
        (folder, folder / "out.csv"),
        (folder / "*.csv", folder / "out.csv"),
    ]
    for given, output in pairs:
        with pytest.raises(UsageError, match="Choose"):
            run(parity, given, output, overwrite=True)
    report = run(write_model(tmp_path, PICKY), source, tmp_path / "out.csv")
    with pytest.raises(UsageError, match="which this run would replace"):
        run(parity, Path(report.quarantine or ""), tmp_path / "out.csv", overwrite=True)
    assert len(source.read_text().splitlines()) == 11


def test_an_output_without_a_format(parity: Path, tmp_path: Path):
    source = write(tmp_path / "in.csv", numbers(1))
    with pytest.raises(UsageError, match="does not say which format"):
        run(parity, source, tmp_path / "out.txt")
    (tmp_path / "out").write_text("")
    with pytest.raises(UsageError, match="names a folder"):
        run(parity, source, f"{tmp_path}/out/")


def test_an_input_that_changes_while_it_is_read(tmp_path: Path):
    model = write_model(
        tmp_path,
        "import twofold\nfrom pathlib import Path\n@twofold.model\ndef f(number: int) -> int:\n    if number == 5:\n"
        f"        with open({str(tmp_path / 'in.csv')!r}, 'a') as file:\n            file.write('x,1\\n')\n"
        "    return number\n",
    )
    source = write(tmp_path / "in.csv", numbers(100))
    with pytest.raises(InputError, match="was written while the run read it"):
        run(model, source, tmp_path / "out.csv", split_rows=10, batch_rows=2)
    assert not (tmp_path / "out.csv").exists()


def test_the_record_says_what_a_run_was(parity: Path, tmp_path: Path):
    source = write(tmp_path / "in.csv", numbers(10))
    run(parity, source, tmp_path / "out.csv", batch_rows=3)
    record = json.loads((tmp_path / "out.csv.twofold" / "run.json").read_text())
    assert record["fingerprint"]["batch_rows"] == 3
    assert record["finished"]["rows_in"] == 10


@pytest.mark.parametrize("name", ["out.parquet", "out.arrow", "out.csv", "out.jsonl"])
def test_what_is_joined_is_flushed_meanwhile(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(joined, "SYNC_BYTES", 1)
    source = write(tmp_path / "in.parquet", numbers(40))
    run(write_model(tmp_path, PARITY), source, tmp_path / name, split_rows=10)
    assert read(tmp_path / name).column("prediction").to_pylist() == ["Even", "Odd"] * 20
