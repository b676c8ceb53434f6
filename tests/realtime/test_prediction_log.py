"""A share of what is answered lies in Parquet files, which batch reads."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

import twofold
from twofold._columns import Batch
from twofold._realtime import prediction_log
from twofold._realtime.prediction_log import PredictionLog
from twofold._runner import Runner


@twofold.model
def score(number: int, name: str) -> float:
    if number % 10 == 3:
        raise twofold.BadRow("no threes")
    return number / 2


def log_of(folder: Path, share: float) -> tuple[PredictionLog, Runner]:
    model = twofold.load(score)
    return PredictionLog(folder, share, model.signature, "score", model.version), Runner(model)


def calls(log: PredictionLog, runner: Runner, *sizes: int, columns: bool = False) -> None:
    first = 0
    for size in sizes:
        batch = Batch.from_rows(runner.signature.input_schema, [(at, f"n{at}") for at in range(first, first + size)])
        if columns:
            batch = Batch.from_arrow(batch.arrow())
        log.take(batch, runner.run(batch))
        first += size


async def run(log: PredictionLog, runner: Runner, *sizes: int, columns: bool = False) -> None:
    calls(log, runner, *sizes, columns=columns)
    log.close()


@pytest.mark.parametrize("columns", [False, True])
def test_every_answered_row_with_its_answer(tmp_path: Path, columns: bool) -> None:
    asyncio.run(run(*log_of(tmp_path, 1.0), 1, 30, 7, columns=columns))
    table = parquet.read_table(tmp_path / "score")
    assert table.column_names == ["number", "name", "prediction", "predicted_at", "model_version"]
    answered = [at for at in range(38) if at % 10 != 3]
    assert table["number"].to_pylist() == answered
    assert table["prediction"].to_pylist() == [at / 2 for at in answered]
    assert table["predicted_at"].type == pa.timestamp("us", "UTC")
    assert set(table["model_version"].to_pylist()) == {twofold.load(score).version}


def test_about_the_share_that_was_asked_for(tmp_path: Path) -> None:
    asyncio.run(run(*log_of(tmp_path, 0.1), *[1, 7, 64] * 300))
    rows = parquet.read_table(tmp_path / "score").num_rows
    assert 1500 < rows < 2400  # 21,600 rows, 9 in 10 answered: 1,944 on average, sd 42


def test_batch_reads_it_and_answers_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "FILE_ROWS", 50)
    asyncio.run(run(*log_of(tmp_path, 1.0), *[10] * 12))
    files = sorted((tmp_path / "score").iterdir())
    assert len(files) == 2
    assert all(file.suffix == ".parquet" for file in files)
    again = twofold.batch(score, parquet.read_table(tmp_path / "score").drop_columns("prediction"))
    assert again["prediction"].to_pylist() == parquet.read_table(tmp_path / "score")["prediction"].to_pylist()


def test_a_folder_that_is_gone_costs_the_rows_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, runner = log_of(tmp_path, 1.0)
    (tmp_path / "score").rmdir()
    asyncio.run(run(log, runner, 5))
    assert "4 logged predictions are dropped" in caplog.text
