"""Inputs in an object store: read by ranges and streams, listed by folder and glob; on a real S3 server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import obstore
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.batch.runs import PARITY, PICKY, numbers, quarantine, read, run, write, write_model
from twofold._batch import opening
from twofold._batch.sources import cut, expand_inputs, parse_where, read_split, scan_inputs
from twofold._batch.sources.listing import glob_regex
from twofold._errors import InputError, OverwriteRefused, UsageError

pytest.importorskip("obstore")
SUFFIXES = [".parquet", ".arrow", ".arrows", ".csv", ".csv.gz", ".jsonl", ".jsonl.zst"]


def put(bucket: str, name: str, content: bytes | Path) -> str:
    from obstore.store import from_url

    obstore.put(from_url(bucket), name, content if isinstance(content, bytes) else content.read_bytes())
    return f"{bucket}/{name}"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format(bucket, tmp_path, suffix):
    local = write(tmp_path / f"in{suffix}", numbers(5000))
    given = put(bucket, f"data/in{suffix}", local)
    assert read(given).equals(read(local))
    report = run(write_model(tmp_path, PICKY), given, tmp_path / "out.csv", split_rows=900, where="number < 3000")
    assert (report.rows_in, report.rows_out) == (3000, 2400)
    assert quarantine(report)[0]["_position"] == {"file": given, "row": 3}


def test_folders_globs_and_partitions(bucket, tmp_path):
    for at, name in enumerate(["a/2.csv", "a/1.csv", "a/_x.csv", "a/.y.csv", "a/deep/3.csv", "b/4.csv", "a/note.txt"]):
        put(bucket, name, f"number\n{at}\n".encode())
    for given, names in {
        "a/*.csv": ["a/1.csv", "a/2.csv", "a/_x.csv"],
        "*/*.csv": ["a/1.csv", "a/2.csv", "a/_x.csv", "b/4.csv"],
        "a/**/*.csv": ["a/1.csv", "a/2.csv", "a/_x.csv", "a/deep/3.csv"],
        "b": ["b/4.csv"],
        "b/": ["b/4.csv"],
        "a/[12].csv": ["a/1.csv", "a/2.csv"],
    }.items():
        found = [file.path.removeprefix(f"{bucket}/") for file in expand_inputs(f"{bucket}/{given}")]
        assert [name for name in found if "/." not in name] == names, given
    with pytest.raises(InputError, match="do not say which format they are"):
        expand_inputs(f"{bucket}/a")
    for country in ("DE", "FR"):
        put(bucket, f"sales/country={country}/in.csv", b"number\n1\n2\n")
    assert scan_inputs(f"{bucket}/sales").schema.names == ["number", "country"]
    files = expand_inputs(f"{bucket}/sales/", parse_where("country = 'FR'"))
    assert [file.constants for file in files] == [{"country": "FR"}]


def test_of_a_parquet_file_only_the_columns_that_are_needed_are_fetched(bucket, tmp_path, monkeypatch):
    wide = pa.table(
        {"number": pa.array(range(20_000), pa.int64()), "blob": [bytes([i % 251] * 400) for i in range(20_000)]}
    )
    pq.write_table(wide, tmp_path / "in.parquet", row_group_size=5000, use_dictionary=False, compression="none")
    given = put(bucket, "in.parquet", tmp_path / "in.parquet")
    fetched = []
    get_range = obstore.get_range

    def counted(store: Any, name: str, **where: Any) -> Any:
        fetched.append(where["length"])
        return get_range(store, name, **where)

    monkeypatch.setattr(obstore, "get_range", counted)
    where = parse_where("number >= 15000")
    scan = scan_inputs(given, where=where)
    rows = [piece.n_rows for split in cut(scan, 5000) for piece in read_split(split, scan.schema, ["number"], 1000)]
    assert sum(rows) == 5000
    assert sum(fetched) < 500_000  # of 8 MB


def test_a_split_of_a_text_reads_its_own_bytes(bucket, tmp_path, monkeypatch):
    local = write(tmp_path / "in.csv", numbers(100_000))
    given = put(bucket, "in.csv", local)
    scan = scan_inputs(given)
    asked = []
    stream = opening._Stream

    def noted(path: str, start: int, stop: int | None) -> Any:
        asked.append((start, stop))
        return stream(path, start, stop)

    monkeypatch.setattr(opening, "_Stream", noted)
    split = cut(scan, 10_000)[5]
    pieces = list(read_split(split, scan.schema, ["number"], 20_000))
    assert pieces[0].columns["number"][0].as_py() == "50000"
    ((start, stop),) = [bounds for bounds in asked if bounds[1] is not None]
    assert stop is not None
    assert stop - start < local.stat().st_size / 5


def test_an_object_that_changes(bucket, tmp_path):
    given = put(bucket, "in.csv", b"number\n1\n")
    model = write_model(tmp_path, PARITY)
    run(model, given, tmp_path / "out.csv")
    assert run(model, given, tmp_path / "out.csv").splits_resumed == 1
    put(bucket, "in.csv", b"number\n2\n")
    with pytest.raises(OverwriteRefused, match=r"in.csv was written since"):
        run(model, given, tmp_path / "out.csv")


def test_workers_read_objects_and_write_them(bucket, tmp_path):
    given = put(bucket, "in.parquet", write(tmp_path / "in.parquet", numbers(1000)))
    report = run(write_model(tmp_path, PARITY), given, f"{bucket}/out.parquet", here=False, split_rows=300)
    assert report.rows_out == 1000
    assert read(f"{bucket}/out.parquet").column("number").to_pylist() == list(range(1000))


def test_files_as_rows(bucket, tmp_path):
    for name in ("a.png", "b.png"):
        put(bucket, f"scans/{name}", name.encode())
    model = write_model(
        tmp_path, "import twofold\n\n@twofold.model\ndef text(bytes: bytes) -> str:\n    return bytes.decode()\n"
    )
    report = run(model, f"files:{bucket}/scans/*.png", tmp_path / "out.csv")
    assert report.rows_out == 2
    assert read(tmp_path / "out.csv").column("prediction").to_pylist() == ["a.png", "b.png"]


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("nothing.csv", InputError, "no object has the name"),
        ("none/*.csv", InputError, "no object matches"),
    ],
)
def test_objects_that_are_not_there(bucket, tmp_path, name, error, words):
    with pytest.raises(error, match=words):
        run(write_model(tmp_path, PARITY), f"{bucket}/{name}", tmp_path / "out.csv")


def test_keys_do_not_belong_into_urls(tmp_path):
    with pytest.raises(UsageError, match="taken from the environment") as caught:
        run(write_model(tmp_path, PARITY), "s3://key:geheim@bucket/in.csv", tmp_path / "out.csv")
    assert "geheim" not in caught.value.message


def test_globs_are_those_of_the_shell():
    def matches(pattern: str, *names: str) -> list[bool]:
        return [glob_regex(pattern).fullmatch(name) is not None for name in names]

    assert matches("*.csv", "a.csv", "a/b.csv", "acsv") == [True, False, False]
    assert matches("**/*.csv", "a.csv", "a/b/c.csv", ".a/b.csv") == [True, True, False]
    assert matches("a?[!b].c", "axc.c", "axb.c", "a/c.c") == [True, False, False]
