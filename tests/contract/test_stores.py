"""Every kind of input into every kind of output: rows in = rows out + rows in quarantine, in order, each once, over a
stop and a resume."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.batch.runs import PICKY, numbers, run, write, write_model
from tests.batch.stores.databases import sql
from twofold._errors import RunStopped

N_ROWS = 70
GOOD = [n for n in range(N_ROWS) if n % 10 not in (3, 7)]
SOURCES = ["in.csv", "in.parquet", "in.jsonl.gz", "sqlite"]
STORES = ["out.csv", "out/", "sqlite", "postgres", "s3://out.csv", "s3://out/"]


@pytest.fixture
def made(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        with closing(sqlite3.connect(tmp_path / "in.db")) as connection, connection:
            connection.execute("CREATE TABLE t (id TEXT, number INTEGER)")
            connection.executemany("INSERT INTO t VALUES (?, ?)", [(f"r{n}", n) for n in range(N_ROWS)])
        return f"sqlite:///{tmp_path}/in.db?table=t"
    return str(write(tmp_path / request.param, numbers(N_ROWS)))


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Callable[[], list[int]]]:
    """An OUTPUT, and what gives the numbers that stand there."""
    kind: str = request.param
    if kind in ("sqlite", "postgres"):
        url = f"sqlite:///{tmp_path}/app.db?" if kind == "sqlite" else request.getfixturevalue("postgres")
        return f"{url}table=out", lambda: [row[0] for row in sql(url, "SELECT number FROM out")]
    name = kind.removeprefix("s3://")
    if kind == name:
        return f"{tmp_path}/{name}", lambda: _numbers([_bytes(path) for path in _files(tmp_path / name)], name)
    bucket = request.getfixturevalue("bucket")

    def stored() -> list[int]:
        import obstore
        from obstore.store import from_url

        store = from_url(bucket)
        found = sorted(meta["path"] for page in obstore.list(store) for meta in page)
        keys = [key for key in found if key.startswith(name) and not key.startswith("out/_")]
        return _numbers([bytes(obstore.get(store, key).bytes()) for key in keys if ".twofold/" not in key], name)

    return f"{bucket}/{name}", stored


def _files(path: Path) -> list[Path]:
    return sorted(path.iterdir()) if path.is_dir() else [path]


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


def _numbers(contents: list[bytes], name: str) -> list[int]:
    import pyarrow.parquet as pq

    if name.endswith(".csv"):
        return [int(row["number"]) for row in csv.DictReader(io.StringIO(b"".join(contents).decode()))]
    return [int(n) for content in contents for n in pq.read_table(io.BytesIO(content))["number"].to_pylist()]


@pytest.mark.parametrize("place", STORES, indirect=True)
@pytest.mark.parametrize("made", SOURCES, indirect=True)
def test_each_row_once_and_in_order(
    made: str, place: tuple[str, Callable[[], list[int]]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    output, stands = place
    model, aside = write_model(tmp_path, PICKY), tmp_path / "bad.jsonl"
    options: dict[str, Any] = {
        "split_rows": 20,
        "batch_rows": 4,
        "quarantine": str(aside),
        "state": str(tmp_path / "state"),
    }
    with pytest.raises(RunStopped):
        run(model, made, output, max_bad_rows=5, **options)
    assert not aside.exists()
    report = run(model, made, output, **options)
    assert report.splits_resumed >= (1 if report.splits > 1 else 0)
    assert (report.rows_in, report.rows_out, report.rows_quarantined) == (N_ROWS, len(GOOD), N_ROWS - len(GOOD))
    assert stands() == GOOD
    bad = [int(json.loads(line)["number"]) for line in aside.read_text().splitlines()]
    assert bad == [n for n in range(N_ROWS) if n not in GOOD]
