"""A share of what is answered lies in Parquet files, which batch reads."""

from __future__ import annotations

import asyncio
import http.client
import json
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

import twofold
import twofold.testing
from tests.processes import wait_for
from tests.served import Server, serving
from twofold._columns import Batch
from twofold._realtime import prediction_log
from twofold._realtime.prediction_log import PredictionLog
from twofold._runner import Runner


@twofold.model
def score(number: int, name: str) -> float:
    if number % 10 == 3:
        raise twofold.BadRow("no threes")
    return number / 2


@twofold.model
def spelled(text: str) -> Iterator[str]:
    yield from text


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
    assert table.column_names == ["number", "name", "logged_prediction", "logged_at", "logged_version"]
    answered = [at for at in range(38) if at % 10 != 3]
    assert table["number"].to_pylist() == answered
    assert table["logged_prediction"].to_pylist() == [at / 2 for at in answered]
    assert table["logged_at"].type == pa.timestamp("us", "UTC")
    assert set(table["logged_version"].to_pylist()) == {twofold.load(score).version}


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
    again = twofold.batch(score, parquet.read_table(tmp_path / "score"))
    assert again["prediction"].to_pylist() == parquet.read_table(tmp_path / "score")["logged_prediction"].to_pylist()


def test_large_rows_make_a_file_before_there_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prediction_log, "FILE_BYTES", 2000)
    asyncio.run(run(*log_of(tmp_path, 1.0), *[10] * 12))
    assert len(list((tmp_path / "score").iterdir())) > 3


def test_a_folder_that_is_gone_costs_the_rows_and_nothing_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log, runner = log_of(tmp_path, 1.0)
    (tmp_path / "score").rmdir()
    asyncio.run(run(log, runner, 5))
    assert "4 logged predictions are dropped" in caplog.text


def test_the_columns_that_are_added_leave_the_inputs_alone(tmp_path: Path) -> None:
    @twofold.model
    def odd_names(logged_version: str, logged_prediction: int) -> int:
        return logged_prediction + len(logged_version)

    model = twofold.load(odd_names)

    async def run_one() -> None:
        log = PredictionLog(tmp_path, 1.0, model.signature, "odd", model.version)
        batch = Batch.from_rows(model.signature.input_schema, [("abc", 4)])
        log.take(batch, Runner(model).run(batch))
        log.close()

    asyncio.run(run_one())
    (row,) = parquet.read_table(tmp_path / "odd").to_pylist()
    at = row.pop("logged_at")
    assert at.tzinfo is not None
    assert row == {
        "logged_version": "abc",
        "logged_prediction": 4,
        "logged_logged_prediction": 7,
        "logged_logged_version": model.version,
    }


def test_answers_in_pieces_are_kept_as_a_whole(tmp_path: Path) -> None:
    model = twofold.load(spelled)
    settings = {"log_predictions": 1.0, "log_folder": str(tmp_path)}
    with twofold.testing.serve(model, **settings) as served:
        assert list(served.client.stream("abc")) == ["a", "b", "c"]
        assert served.client("de") == "de"
    rows = parquet.read_table(tmp_path / "spelled").to_pylist()
    assert sorted((row["text"], row["logged_prediction"]) for row in rows) == [("abc", "abc"), ("de", "de")]


MODELS = """
import twofold

@twofold.model(example={"number": 1, "name": "a"})
def score(number: int, name: str) -> float:
    if number % 10 == 3:
        raise twofold.BadRow("no threes")
    return number / 7 + len(name)

@twofold.model(example={"number": 1, "name": "a"})
def half(number: int, name: str) -> float:
    return number / 2
"""


@pytest.mark.parametrize(("layout", "workers"), [("--inline", "2"), ("--isolate", "1")])
def test_what_was_answered_is_there_after_a_drain_and_batch_answers_it_again(
    tmp_path: Path, layout: str, workers: str
) -> None:
    models, folder = tmp_path / "models.py", tmp_path / "kept"
    models.write_text(MODELS)
    options = ["--log-predictions", "100%", "--log-folder", str(folder), layout, "--workers", workers]
    with serving(f"{models}:score", f"half={models}:half", *options) as server:
        answers = _ask(server, "/predict", range(500))
        server.process.send_signal(signal.SIGHUP)
        wait_for(lambda: server.said("has been replaced"))
        answers |= _ask(server, "/predict", range(500, 1000))
        halves = _ask(server, "/models/half/predict", range(50))
        assert server.stop() == 0
    assert len(halves) == parquet.read_table(folder / "half").num_rows == 50
    kept = {row["number"]: row for row in parquet.read_table(folder / "score").to_pylist()}
    assert {number: row["logged_prediction"] for number, row in kept.items()} == answers
    assert sorted(answers) == [number for number in range(1000) if number % 10 != 3]

    again = tmp_path / "again.parquet"
    command = [sys.executable, "-m", "twofold", "batch", f"{models}:score", str(folder / "score"), str(again)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    computed = parquet.read_table(again).to_pylist()
    assert len(computed) == len(answers)
    assert all(row["prediction"] == row["logged_prediction"] == answers[row["number"]] for row in computed)


def _ask(server: Server, path: str, numbers: range) -> dict[int, float]:
    """Ask one row after the other, and lists of rows: the answers that there are."""
    found: dict[int, float] = {}
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        for at in range(numbers.start, numbers.stop, 10):
            rows = [{"number": number, "name": "n" * (number % 5)} for number in range(at, at + 10)]
            for body in (rows[:8], rows[8], rows[9]):
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                answer = json.loads(connection.getresponse().read())
                pairs: Iterable[Any] = zip(body, answer, strict=True) if isinstance(body, list) else [(body, answer)]
                for row, one in pairs:
                    if "prediction" in one:
                        found[row["number"]] = one["prediction"]
    return found


def test_a_folder_that_cannot_be_written_is_told_at_the_start(tmp_path: Path) -> None:
    models = tmp_path / "models.py"
    models.write_text(MODELS)
    command = [sys.executable, "-m", "twofold", "serve", f"{models}:half", "--port", "0", "--log-predictions", "1%"]
    done = subprocess.run(
        [*command, "--log-folder", str(models / "folder")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 2
    assert "The predictions cannot be logged in" in done.stderr
    done = subprocess.run([*command[:-1], "5"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "It looks like 1% or 0.01" in done.stderr
