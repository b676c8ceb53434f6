"""Folders named `country=DE` are columns, in every format; a filter leaves whole folders unread."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.batch.runs import PARITY, quarantine, read, run, write, write_model
from twofold._batch.sources import cut, expand_inputs, parse_where, scan_inputs
from twofold._errors import InputError

FOLDERS = ["year=2023/country=DE", "year=2023/country=FR", "year=2024/country=DE", "year=2024/country=a%2Fb"]


def partitioned(root: Path, suffix: str, folders: list[str] = FOLDERS) -> Path:
    for at, folder in enumerate(folders):
        (root / folder).mkdir(parents=True)
        write(root / folder / f"part{suffix}", pa.table({"number": pa.array(range(at * 10, at * 10 + 10), pa.int64())}))
    return root


@pytest.mark.parametrize("suffix", [".parquet", ".arrow", ".csv", ".csv.gz", ".jsonl"])
def test_folders_are_columns(tmp_path, suffix):
    source = partitioned(tmp_path / "sales", suffix)
    report = run(write_model(tmp_path, PARITY), source, tmp_path / "out.jsonl", split_rows=7)
    assert report.rows_in == 40
    out = read(tmp_path / "out.jsonl")
    assert out.column_names == ["number", "year", "country", "prediction"]
    numbers = out.column("number").to_pylist()
    assert [int(number) for number in numbers] == list(range(40))
    assert out.column("country").to_pylist() == ["DE"] * 10 + ["FR"] * 10 + ["DE"] * 10 + ["a/b"] * 10
    year = [2023] * 20 + [2024] * 20
    assert out.column("year").to_pylist() == ([str(y) for y in year] if "csv" in suffix else year)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_folders_that_are_ruled_out_are_not_opened(tmp_path, suffix):
    source = partitioned(tmp_path / "sales", suffix)
    (source / "year=2023/country=DE" / f"part{suffix}").write_bytes(b"\xff broken")
    where = "year > 2023 and country = 'DE' and number != 25"
    assert [Path(file.path).parent.name for file in expand_inputs(source, parse_where(where))] == ["country=DE"]
    report = run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv", where=where)
    assert report.rows_in == 9
    assert read(tmp_path / "out.csv").column("number").to_pylist() == [str(i) for i in range(20, 30) if i != 25]


def test_no_folder_passes(tmp_path):
    source = partitioned(tmp_path / "sales", ".parquet")
    report = run(write_model(tmp_path, PARITY), source, tmp_path / "out.parquet", where="year = 1999")
    assert report.rows_in == 0
    assert read(tmp_path / "out.parquet").column_names == ["number", "year", "country", "prediction"]


def test_a_folder_feeds_the_model_and_quarantine(tmp_path):
    source = partitioned(tmp_path / "sales", ".parquet", ["shop=3", "shop=__HIVE_DEFAULT_PARTITION__"])
    model = write_model(
        tmp_path, "import twofold\n\n@twofold.model\ndef m(number: int, shop: int) -> int:\n    return number * shop\n"
    )
    report = run(model, source, tmp_path / "out.parquet")
    assert (report.rows_out, report.rows_quarantined) == (10, 10)
    assert read(tmp_path / "out.parquet").column("prediction").to_pylist() == [3 * i for i in range(10)]
    line = quarantine(report)[0]
    assert (line["number"], line["shop"], line["_position"]["row"]) == (10, None, 0)


@pytest.mark.parametrize("pattern", ["sales/year=*/*/*.parquet", "sales/**/*.parquet", "sales"])
def test_globs(tmp_path, pattern):
    partitioned(tmp_path / "sales", ".parquet")
    assert scan_inputs(str(tmp_path / pattern)).schema.names == ["number", "year", "country"]
    assert all(set(split.constants) == {"year", "country"} for split in cut(scan_inputs(str(tmp_path / pattern)), 100))


def test_only_the_folders_below_the_input_count(tmp_path):
    source = partitioned(tmp_path / "run=5" / "sales", ".parquet")
    assert scan_inputs(source / "year=2023").schema.names == ["number", "country"]
    assert scan_inputs(source / "year=2023" / "country=DE" / "part.parquet").schema.names == ["number"]


def test_a_column_of_the_file_stays_as_it_is(tmp_path):
    source = partitioned(tmp_path / "sales", ".parquet", ["number=7"])
    assert scan_inputs(source).schema.names == ["number"]
    assert read(source).column("number").to_pylist() == list(range(10))


def test_folders_that_differ_are_refused(tmp_path):
    source = partitioned(tmp_path / "sales", ".parquet", ["country=DE", "land=FR"])
    with pytest.raises(InputError, match="a folder country=… is above only one of"):
        scan_inputs(source)
