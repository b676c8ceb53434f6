"""Object stores as outputs, on a real S3 server: one object, or a folder of parts that ends with `_SUCCESS`."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import obstore
import pyarrow.parquet as pq
import pytest
from obstore.store import from_url

from tests.batch.runs import PARITY, PICKY, numbers, run, write, write_model
from twofold._batch.report import BatchReport
from twofold._batch.stores import object_lease
from twofold._errors import OutputError, OverwriteRefused, RunStopped, UsageError


def keys(bucket: str) -> list[str]:
    return sorted(found["path"] for page in obstore.list(from_url(bucket)) for found in page)


def content(bucket: str, key: str) -> bytes:
    return bytes(obstore.get(from_url(bucket), key).bytes())


def score(folder: Path, model: Path, output: str, n_rows: int = 100, **options: Any) -> BatchReport:
    source = folder / f"in{n_rows}.csv"
    if not source.exists():
        write(source, numbers(n_rows))
    settings = {"split_rows": 30, "batch_rows": 8, **options}
    return run(model, source, output, state=str(folder / "state"), **settings)


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.jsonl", "out.parquet", "out.arrow"])
def test_one_object_is_the_file_that_a_local_run_writes(name: str, bucket: str, tmp_path: Path):
    model = write_model(tmp_path, PICKY)
    report = score(tmp_path, model, f"{bucket}/deep/{name}")
    assert (report.rows_out, report.rows_quarantined, report.exit_code, report.splits) == (80, 20, 3, 4)
    score(tmp_path, model, str(tmp_path / name))
    assert content(bucket, f"deep/{name}") == (tmp_path / name).read_bytes()
    state = f"deep/{name}.twofold"
    assert keys(bucket) == [f"deep/{name}", f"{state}/quarantine.jsonl", f"{state}/run.json"]
    assert report.quarantine == f"{bucket}/{state}/quarantine.jsonl"
    aside = (tmp_path / f"{name}.twofold" / "quarantine.jsonl").read_bytes()
    assert content(bucket, f"{state}/quarantine.jsonl") == aside
    assert score(tmp_path, model, f"{bucket}/deep/{name}").splits_resumed == 4


def test_a_folder_ends_with_an_empty_success(bucket: str, tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    report = score(tmp_path, model, f"{bucket}/out/", here=False, workers=2, n_rows=1000, split_rows=100)
    assert (report.rows_out, report.splits) == (1000, 10)
    found = [key for key in keys(bucket) if key.startswith("out/")]
    assert found[0] == "out/_SUCCESS"
    assert content(bucket, "out/_SUCCESS") == b""
    tables = [pq.read_table(io.BytesIO(content(bucket, key))) for key in found[1:]]
    assert [n for table in tables for n in table["number"].to_pylist()] == list(range(1000))
    again = score(tmp_path, model, f"{bucket}/out/", n_rows=1000, split_rows=100)
    assert again.splits_resumed == 10


def test_what_stands_there_is_not_replaced_unless_told(bucket: str, tmp_path: Path):
    model = write_model(tmp_path, PARITY)
    store = from_url(bucket)
    for key in ("out.csv", "out/old.parquet"):
        obstore.put(store, key, b"old")
    for name in ("out.csv", "out/"):
        with pytest.raises(OverwriteRefused, match="--overwrite"):
            score(tmp_path, model, f"{bucket}/{name}")
        score(tmp_path, model, f"{bucket}/{name}", overwrite=True)
    assert "out/old.parquet" not in keys(bucket)
    obstore.put(store, "out.csv", b"somebody else's")
    with pytest.raises(OverwriteRefused, match="is not what the run"):
        score(tmp_path, model, f"{bucket}/out.csv")
    obstore.put(store, "new.csv.twofold/notes.txt", b"mine")
    with pytest.raises(OverwriteRefused, match=r"something else in it \(notes.txt\)"):
        score(tmp_path, model, f"{bucket}/new.csv")


def test_a_run_that_was_stopped_goes_on(bucket: str, tmp_path: Path):
    model = write_model(tmp_path, PICKY)
    with pytest.raises(RunStopped, match="more than --max-bad-rows 15"):
        score(tmp_path, model, f"{bucket}/out.csv", max_bad_rows=15)
    assert "out.csv" not in keys(bucket)
    report = score(tmp_path, model, f"{bucket}/out.csv", quarantine=str(tmp_path / "bad.jsonl"))
    assert (report.splits_resumed, report.rows_out, report.rows_quarantined) == (2, 80, 20)
    assert [json.loads(line)["id"] for line in (tmp_path / "bad.jsonl").read_text().splitlines()][:2] == ["r3", "r7"]
    with pytest.raises(OverwriteRefused, match="the model"):
        score(tmp_path, write_model(tmp_path, PARITY), f"{bucket}/out.csv")


def test_another_machine_is_kept_away_while_the_lease_is_renewed(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    model = write_model(tmp_path, PARITY)
    other = {"by": {"host": "elsewhere", "pid": 7, "place": "elsewhere"}, "once": "1"}
    obstore.put(from_url(bucket), "out.csv.twofold/lease", json.dumps(other).encode())
    with pytest.raises(UsageError, match="process 7 on elsewhere"):
        score(tmp_path, model, f"{bucket}/out.csv")
    monkeypatch.setattr(object_lease, "LEASE_S", -1.0)
    score(tmp_path, model, f"{bucket}/out.csv")
    assert keys(bucket) == ["out.csv", "out.csv.twofold/run.json"]


def test_secrets_do_not_come_out(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = write_model(tmp_path, PARITY)
    with pytest.raises(UsageError) as refused:
        score(tmp_path, model, "s3://user:hushhush@bucket/out.csv")
    assert "hushhush" not in refused.value.message
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hushhush")
    with pytest.raises(OutputError, match=r"'s3://bucket/out.csv' cannot be written") as failed:
        score(tmp_path, model, f"{bucket}/out.csv")
    assert "hushhush" not in failed.value.message


def test_every_request_may_fail(bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The k-th of them fails, for every fifth k: a clear error, nothing visible, and the next start ends it."""
    model = write_model(tmp_path, PICKY)
    score(tmp_path, model, str(tmp_path / "whole.csv"), n_rows=20, split_rows=10)
    whole = (tmp_path / "whole.csv").read_bytes()
    left = 0

    def failing(step: Any) -> Any:
        def do(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == -1:
                raise obstore.exceptions.GenericError("503 Slow Down")
            return step(*args, **kwargs)

        return do

    for k in range(0, 1000, 5):
        left = k
        said = ""
        with monkeypatch.context() as patch:
            for name in ("put", "get", "list", "delete", "head"):
                patch.setattr(obstore, name, failing(getattr(obstore, name)))
            try:
                score(tmp_path, model, f"{bucket}/out.csv", n_rows=20, split_rows=10, overwrite=True)
            except OutputError as failed:
                said = failed.message
        if left >= 0:
            break
        assert not said or "503 Slow Down" in said
        assert "out.csv" not in keys(bucket) or content(bucket, "out.csv") == whole
        score(tmp_path, model, f"{bucket}/out.csv", n_rows=20, split_rows=10)
        assert content(bucket, "out.csv") == whole
        obstore.delete(from_url(bucket), "out.csv")
    assert k > 20
