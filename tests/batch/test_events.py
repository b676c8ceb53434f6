"""What a run tells: events for machines, and its log."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.batch.runs import PARITY, numbers, run, write, write_model
from twofold._batch.events import VERSION, Events, read_events, telling
from twofold._errors import OverwriteRefused, RunStopped, UsageError

PICKY = """
import os
import twofold

@twofold.model
def picky(number: int) -> int:
    if number == 5:
        raise ValueError("five")
    if number == 27:
        os._exit(3)
    return number
"""


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def kinds(path: Path) -> list[str]:
    return [event["event"] for event in lines(path) if event["event"] != "progress"]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write(tmp_path / "in.csv", numbers(40))


def test_a_run_tells_what_happens(tmp_path: Path, source: Path) -> None:
    told = tmp_path / "events.jsonl"
    model = write_model(tmp_path, PICKY)
    run(model, source, tmp_path / "out.csv", here=False, split_rows=20, workers=1, events=str(told))
    found = lines(told)
    assert all({"at", "event"} <= set(event) for event in found)
    assert found[0]["event"] == "started"
    assert (found[0]["version"], found[0]["input"], found[0]["output"]) == (
        VERSION,
        str(source),
        str(tmp_path / "out.csv"),
    )
    plan = next(event for event in found if event["event"] == "plan")
    assert (plan["rows"], plan["splits"], plan["rows_done"], plan["splits_done"]) == (40, 2, 0, 0)
    begun = [event for event in found if event["event"] == "split_begun"]
    assert {(event["split"], event["first_row"], event["rows"]) for event in begun} == {(0, 0, 20), (1, 20, 20)}
    lost = [event for event in found if event["event"] == "worker_lost"]
    assert lost
    assert {"place", "how", "splits"} <= set(lost[0])
    bad = [event for event in found if event["event"] == "quarantined"]
    assert [(event["split"], event["rows"], list(event["reasons"])) for event in bad] == [
        (0, 1, ["model_failed ValueError"]),
        (1, 1, ["worker_lost"]),
    ]
    done = [event for event in found if event["event"] == "split_done"]
    assert sum(event["rows_in"] for event in done) == 40
    assert sum(event["rows_in"] - event["rows_out"] - event["rows_quarantined"] for event in done) == 0
    assert [event["event"] for event in found[-3:]] == ["published", "progress", "done"]
    assert (found[-1]["rows_quarantined"], found[-1]["exit_code"]) == (2, 3)


def test_events_are_added_and_a_run_that_goes_on_says_so(tmp_path: Path, source: Path) -> None:
    told = tmp_path / "events.jsonl"
    model = write_model(tmp_path, PICKY.replace("os._exit(3)", 'raise KeyError("x")'))
    with pytest.raises(RunStopped):
        run(model, source, tmp_path / "out.csv", split_rows=20, max_bad_rows=1, events=str(told))
    last = lines(told)[-1]
    assert (last["event"], last["error"], last["exit_code"]) == ("stopped", "run_stopped", 1)
    assert "ValueError" not in last["message"]

    run(model, source, tmp_path / "out.csv", split_rows=20, max_bad_rows=2, events=str(told))
    again = lines(told)[len(lines(told)) - [*reversed(kinds_of(told))].index("started") - 1 :]
    plan = next(event for event in again if event["event"] == "plan")
    assert (plan["rows_done"], plan["splits_done"]) == (20, 1)

    run(model, source, tmp_path / "out.csv", split_rows=20, max_bad_rows=2, events=str(told))
    assert kinds(told)[-3:] == ["started", "plan", "done"]


def kinds_of(path: Path) -> list[str]:
    return [event["event"] for event in lines(path)]


def test_the_log_has_the_splits_and_no_rows(tmp_path: Path, source: Path) -> None:
    run(write_model(tmp_path, PICKY), source, tmp_path / "out.csv", split_rows=20, limit_rows=20)
    log = tmp_path / "out.csv.twofold" / "log.jsonl"
    assert kinds(log) == ["started", "plan", "split_done", "published", "done"]
    assert "first_errors" not in log.read_text()

    run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv", overwrite=True, limit_rows=20)
    assert kinds(log) == ["started", "plan", "split_done", "published", "done"]


def test_a_torn_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"at": "2026-01-01T00:00:00.000Z", "event": "started"}\n{"at": "2026')
    with telling(None, "in", "out") as events:
        events.keep(path, anew=False)
        events.tell("published", output="out")
    assert [event["event"] for event in read_events(path)] == ["started", "started", "published"]
    assert read_events(tmp_path / "none") == []


def test_a_file_of_something_else_is_never_written(tmp_path: Path, source: Path) -> None:
    before = source.read_bytes()
    with pytest.raises(OverwriteRefused, match="no events"):
        run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv", events=str(source))
    assert source.read_bytes() == before
    with pytest.raises(UsageError, match="--events"):
        run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv", events=str(tmp_path / "no" / "events"))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_events_that_cannot_be_written_do_not_end_the_run(
    tmp_path: Path, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(write_model(tmp_path, PARITY), source, tmp_path / "out.csv", events="/dev/full")
    assert report.rows_out == 40
    assert capsys.readouterr().err.count("the run goes on without") == 1


def test_nobody_listens() -> None:
    Events().tell("plan", rows=1)


def test_in_process_is_this_process(tmp_path: Path, source: Path) -> None:
    model = write_model(
        tmp_path, "import os\nimport twofold\n\n@twofold.model\ndef own(number: int) -> int:\n    return os.getpid()\n"
    )
    run(model, source, tmp_path / "out.csv", here=False, in_process=True, keep=())
    assert set((tmp_path / "out.csv").read_text().splitlines()[1:]) == {str(os.getpid())}
    with pytest.raises(UsageError, match="--in-process"):
        run(model, source, tmp_path / "out.csv", here=False, in_process=True, workers=2)


def test_leaving_the_debugger_ends_the_run(tmp_path: Path, source: Path) -> None:
    raising = "import bdb\nimport twofold\n\n@twofold.model\ndef own(number: int) -> int:\n    raise bdb.BdbQuit\n"
    with pytest.raises(RunStopped, match="debugger was left"):
        run(write_model(tmp_path, raising), source, tmp_path / "out.csv", here=False, in_process=True)
