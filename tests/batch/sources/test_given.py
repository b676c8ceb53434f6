"""Inputs that are no plain files: tables and queries, standard input, files as rows."""

from __future__ import annotations

import datetime as dt
import json
import os
import sqlite3
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tests.batch.runs import PARITY, PICKY, numbers, quarantine, read, run, write, write_model
from tests.batch.stores.databases import sql
from twofold._batch.sources import cut, read_split, scan_inputs
from twofold._batch.sources import files as files_source
from twofold._batch.sources.given import input_files
from twofold._batch.sources.spool import Spool
from twofold._errors import InputError, OverwriteRefused, RunStopped, UsageError
from twofold._model import model_ref
from twofold._options import BatchOptions


def table_of(given: str, folder: Path) -> pa.Table:
    files = input_files(given, None, Spool(folder / "spool"))
    scan = scan_inputs(files)
    tables = [
        pa.table(piece.arrow(scan.schema.names), schema=scan.schema)
        for split in cut(scan, 1000)
        for piece in read_split(split, scan.schema, scan.schema.names, 100)
    ]
    return pa.concat_tables(tables) if tables else scan.schema.empty_table()


def fill(database: str, n_rows: int = 500) -> None:
    sql(database, "CREATE TABLE users (number INTEGER PRIMARY KEY, name TEXT)")
    values = ", ".join(f"({i}, 'it''s {i}')" for i in range(n_rows))
    sql(database, f"INSERT INTO users VALUES {values}")


def test_a_table_and_a_query(database, tmp_path):
    fill(database)
    model = write_model(tmp_path, PICKY)
    report = run(model, f"{database}table=users", tmp_path / "out.parquet", split_rows=90, max_bad_rows=100)
    assert (report.rows_in, report.rows_out, report.rows_quarantined) == (500, 400, 100)
    out = read(tmp_path / "out.parquet")
    assert out.column("number").to_pylist() == [i for i in range(500) if i % 10 not in (3, 7)]
    assert out.column("name")[0].as_py() == "it's 0"
    place = quarantine(report)[0]["_position"]
    assert place["row"] == 3
    assert place["file"].endswith("table=users")
    query = (
        f"{database}query=select name, number + 1 as number from users where name like '%1' and number < 50 order by 2"
    )
    report = run(model, query, tmp_path / "some.csv")
    assert read(tmp_path / "some.csv").column("number").to_pylist() == ["2", "12", "22", "32", "42"]
    encoded = f"{database}query=select%20number%20from%20users%20where%20number%20%3D%205"
    assert run(model, encoded, tmp_path / "one.csv").rows_in == 1


def test_a_run_that_goes_on_reads_the_rows_it_began_with(database, tmp_path):
    fill(database)
    model = write_model(tmp_path, PICKY)
    given = f"{database}table=users"
    with pytest.raises(RunStopped):
        run(model, given, tmp_path / "out.csv", split_rows=50, max_bad_rows=35)
    sql(database, "UPDATE users SET number = number + 10000")
    report = run(model, given, tmp_path / "out.csv", split_rows=50, max_bad_rows=100)
    assert report.splits_resumed > 0
    assert read(tmp_path / "out.csv").column("number").to_pylist()[-1] == "499"
    assert not (tmp_path / "out.csv.twofold" / "spool").exists()
    with pytest.raises(OverwriteRefused, match="users was written since"):
        run(model, given, tmp_path / "out.csv", split_rows=50, max_bad_rows=100)
    report = run(model, given, tmp_path / "out.csv", split_rows=50, overwrite=True)
    assert read(tmp_path / "out.csv").column("number").to_pylist()[0] == "10000"


def test_an_unchanged_table_is_done(database, tmp_path):
    fill(database)
    model = write_model(tmp_path, PARITY)
    assert run(model, f"{database}table=users", tmp_path / "out.csv").splits_resumed == 0
    assert run(model, f"{database}table=users", tmp_path / "out.csv").splits_resumed == 1


@pytest.mark.parametrize(
    ("ending", "words"),
    [
        ("table=nothing", "nothing"),
        ("query=select * from users where", "the database says"),
        ("query=select number, number from users", "more than once"),
        ("query=delete from users returning number", "cannot be read"),
    ],
)
def test_what_a_database_refuses(database, tmp_path, ending, words):
    fill(database)
    with pytest.raises(InputError, match=words):
        run(write_model(tmp_path, PARITY), f"{database}{ending}", tmp_path / "out.csv")
    assert sql(database, "SELECT count(*) FROM users") == [(500,)]


def test_secrets_stay_out(postgres, tmp_path):
    host = postgres.partition("?host=")[2].rstrip("&")
    given = f"postgresql://postgres:geheim123@/nowhere?host={host}&table=users"
    with pytest.raises(InputError) as caught:
        run(write_model(tmp_path, PARITY), given, tmp_path / "out.csv")
    assert "geheim123" not in caught.value.message
    assert "postgres:" not in caught.value.message
    assert "nowhere" in caught.value.message
    fill(postgres)
    given = postgres.replace("postgresql://postgres:", "postgresql://postgres:geheim123")
    report = run(write_model(tmp_path, PICKY), f"{given}table=users", tmp_path / "out.csv")
    kept = "".join(path.read_text() for path in (tmp_path / "out.csv.twofold").iterdir() if path.is_file())
    assert "geheim123" not in kept + repr(report)


def test_types_of_sqlite(tmp_path):
    connection = sqlite3.connect(tmp_path / "app.db")
    connection.execute("CREATE TABLE t (i, r REAL, m, s TEXT, b BLOB, ok BOOLEAN, n INTEGER, x, huge)")
    connection.executemany(
        "INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(1, 1.5, 1, "", b"\x00", 1, None, 1, 2**60), (None, None, 2.5, None, b"", 0, None, "a", 1.5)],
    )
    connection.commit()
    found = table_of(f"sqlite:///{tmp_path}/app.db?table=t", tmp_path)
    assert [str(field.type) for field in found.schema] == [
        *("int64", "double", "double", "string", "binary", "bool", "int64", "string", "string")
    ]
    assert [tuple(row.values()) for row in found.to_pylist()] == [
        (1, 1.5, 1.0, "", b"\x00", True, None, "1", str(2**60)),
        (None, None, 2.5, None, b"", False, None, "a", "1.5"),
    ]


def test_types_of_postgres(postgres, tmp_path):
    sql(
        postgres,
        "CREATE TABLE t (b boolean, s smallint, i int, l bigint, f real, d double precision, "
        "p numeric(9, 2), n numeric, t text, c varchar(9), y bytea, a date, w timestamptz, z timestamp, "
        "h time, j jsonb, r int[])",
    )
    sql(
        postgres,
        "INSERT INTO t VALUES (true, 1, 2, 9007199254740993, 0.1, 0.1, 1.10, 12345678901234567890.5, "
        "E'a\"b,\\n', '', "
        "'\\x00ff', '2024-02-29', '2024-01-01 12:00:00.5+02', '2024-01-01', '12:00', '{\"a\": 1}', '{1,2}'), "
        "(null, null, null, null, 'NaN', 'Infinity', null, 0.125" + 9 * ", null" + ")",
    )
    found = table_of(f"{postgres}table=public.t", tmp_path)
    assert [str(field.type) for field in found.schema] == [
        *("bool", "int16", "int32", "int64", "float", "double", "decimal128(9, 2)", "decimal128(23, 3)"),
        *("string", "string", "binary", "date32[day]", "timestamp[us, tz=UTC]", "timestamp[us]", "time64[us]"),
        *("string", "string"),
    ]
    first, second = found.to_pylist()
    assert first["l"] == 2**53 + 1
    assert first["d"] == 0.1
    assert (first["p"], first["n"]) == (Decimal("1.10"), Decimal("12345678901234567890.500"))
    assert (first["t"], first["c"], first["y"]) == ('a"b,\n', "", b"\x00\xff")
    assert first["w"] == dt.datetime(2024, 1, 1, 10, 0, 0, 500000, dt.UTC)
    assert (first["j"], first["r"]) == ('{"a": 1}', "{1,2}")
    assert second["d"] == float("inf")
    assert all(value is None for name, value in second.items() if name not in "fdn")


def test_rows_of_a_database_are_streamed(tmp_path):
    connection = sqlite3.connect(tmp_path / "app.db")
    connection.execute("CREATE TABLE t (b BLOB)")
    connection.executemany("INSERT INTO t VALUES (zeroblob(1000000))", [()] * 60)
    connection.commit()
    (file,) = input_files(f"sqlite:///{tmp_path}/app.db?table=t", None, Spool(tmp_path / "spool"))
    with pa.memory_map(file.path) as stored:
        reader = pa.ipc.open_file(stored)
        sizes = [reader.get_batch(at).num_rows for at in range(reader.num_record_batches)]
    assert sum(sizes) == 60
    assert max(sizes) <= 16


def command(*words: str | Path, given: bytes, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "twofold", "batch", *map(str, words)], input=given, capture_output=True, cwd=folder
    )


@pytest.mark.parametrize("form", ["jsonl", "csv", "arrow"])
def test_standard_input(tmp_path, form):
    model = write_model(tmp_path, PARITY)
    suffix = {"arrow": ".arrows"}.get(form, f".{form}")
    content = write(tmp_path / f"in{suffix}", numbers(100)).read_bytes()
    options = () if form == "jsonl" else ("--input-format", form)
    done = command(model, "-", "out.parquet", *options, given=content, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [int(n) for n in read(tmp_path / "out.parquet").column("number").to_pylist()] == list(range(100))
    assert b"all done before" in command(model, "-", "out.parquet", *options, given=content, folder=tmp_path).stderr
    other = write(tmp_path / f"in{suffix}", numbers(99)).read_bytes()
    refused = command(model, "-", "out.parquet", *options, given=other, folder=tmp_path)
    assert refused.returncode == 2
    assert b"the input (- was written since)" in refused.stderr


def test_input_format_is_for_standard_input(tmp_path):
    source = write(tmp_path / "in.csv", numbers(3))
    with pytest.raises(UsageError, match="--input-format says what - "):
        run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv", input_format="csv")


SIZES = """
import twofold

@twofold.model
def size_of(bytes: bytes) -> int:
    if bytes == b"bad":
        raise twofold.BadRow("bad")
    return len(bytes)
"""


def some_files(folder: Path) -> Path:
    (folder / "deep").mkdir(parents=True)
    for name, content in {"b.bin": b"22", "a.bin": b"", "deep/c.bin": b"bad", "d.txt": b"4444", ".hidden": b""}.items():
        (folder / name).write_bytes(content)
        os.utime(folder / name, ns=(0, 1_700_000_000_123_456_789))
    return folder


def test_files_as_rows(tmp_path):
    folder = some_files(tmp_path / "scans")
    report = run(write_model(tmp_path, SIZES), f"files:{folder}", tmp_path / "out.parquet", split_rows=2)
    out = read(tmp_path / "out.parquet")
    assert out.column_names == ["path", "size", "modified", "prediction"]
    names = [str(Path(path).relative_to(folder)) for path in out.column("path").to_pylist()]
    assert names == ["a.bin", "b.bin", "d.txt"]
    assert out.column("prediction").to_pylist() == out.column("size").to_pylist() == [0, 2, 4]
    assert out.column("modified")[0].as_py() == dt.datetime(2023, 11, 14, 22, 13, 20, 123456, dt.UTC)
    (line,) = quarantine(report)
    assert line["path"].endswith("deep/c.bin")
    assert line["_position"] == {"file": f"files:{folder}", "row": 3}
    report = run(write_model(tmp_path, SIZES), f"files:{folder}/*.bin", tmp_path / "some.jsonl", keep=("bytes",))
    assert [json.loads(line)["bytes"] for line in (tmp_path / "some.jsonl").read_text().splitlines()] == ["", "MjI="]
    report = run(write_model(tmp_path, SIZES), f"files:{folder}", tmp_path / "large.jsonl", where="size >= 4")
    assert report.rows_in == 1


def test_files_that_change(tmp_path):
    folder = some_files(tmp_path / "scans")
    model = write_model(tmp_path, SIZES)
    run(model, f"files:{folder}", tmp_path / "out.csv")
    assert run(model, f"files:{folder}", tmp_path / "out.csv").splits_resumed == 1
    (folder / "e.txt").write_bytes(b"5")
    with pytest.raises(OverwriteRefused, match="was written since"):
        run(model, f"files:{folder}", tmp_path / "out.csv")
    with pytest.raises(InputError, match="no file matches"):
        run(model, f"files:{folder}/*.png", tmp_path / "out.csv")


def test_a_file_that_is_written_while_the_run_reads(tmp_path):
    folder = some_files(tmp_path / "scans")
    (file,) = input_files(f"files:{folder}", None, Spool(tmp_path / "spool"))
    scan = scan_inputs([file])
    (folder / "b.bin").write_bytes(b"23")
    with pytest.raises(InputError, match=r"b\.bin' was written since the run listed it"):
        list(read_split(cut(scan, 10)[0], scan.schema, ["bytes"], 10))
    assert [piece.n_rows for piece in read_split(cut(scan, 10)[0], scan.schema, ["path"], 3)] == [3, 1]


def test_pieces_of_files_hold_few_bytes(tmp_path, monkeypatch):
    monkeypatch.setattr(files_source, "PIECE_BYTES", 100)
    for at, size in enumerate([40, 40, 40, 300, 10, 90, 1]):
        (tmp_path / f"{at}.bin").write_bytes(bytes(size))
    (file,) = input_files(f"files:{tmp_path}/*.bin", None, Spool(tmp_path / "spool"))
    scan = scan_inputs([file])
    pieces = [piece for split in cut(scan, 5) for piece in read_split(split, scan.schema, ["bytes"], 10)]
    assert [(piece.first_row, piece.n_rows) for piece in pieces] == [(0, 2), (2, 1), (3, 1), (4, 1), (5, 2)]
    assert scan.files[0].n_bytes == 521


def run_(model: Path, given: str, output: Path, **options: Any) -> Any:
    from twofold._batch.run import run_batch

    return run_batch(model_ref(model), given, str(output), BatchOptions(**options))


def test_workers_read_what_was_spooled(tmp_path):
    fill(f"sqlite:///{tmp_path}/app.db?")
    model = write_model(tmp_path, PARITY)
    report = run_(model, f"sqlite:///{tmp_path}/app.db?table=users", tmp_path / "out.csv", split_rows=100, workers=2)
    assert (report.rows_in, report.rows_out, report.splits >= 5) == (500, 500, True)
    report = run_(write_model(tmp_path, SIZES), f"files:{some_files(tmp_path / 'scans')}", tmp_path / "sizes.csv")
    assert (report.rows_in, report.rows_out) == (4, 3)
