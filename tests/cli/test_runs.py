"""twofold runs, and what of twofold batch is for machines and for looking ahead."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import PICKY, twofold


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "picky.py").write_text(PICKY)
    (tmp_path / "in.csv").write_text("number\n" + "".join(f"{n}\n" for n in range(40)))
    return tmp_path


def test_a_run_from_its_plan_to_its_record(folder: Path) -> None:
    ahead = twofold("batch", "picky.py", "in.csv", "out/scores.csv", "--dry-run", "--split-rows", 10, cwd=folder)
    assert (ahead.returncode, ahead.stderr) == (0, "")
    assert "number <- number" in ahead.stdout
    assert "4 of up to 10 rows" in ahead.stdout
    assert "about " in ahead.stdout
    assert sorted(path.name for path in folder.iterdir() if path.name != "__pycache__") == ["in.csv", "picky.py"]

    (folder / "out").mkdir()
    words = ("batch", "picky.py", "in.csv", "out/scores.csv", "--split-rows", 10)
    done = twofold(*words, "--events", "-", cwd=folder)
    assert done.returncode == 3
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (events[0]["event"], events[-1]["event"], events[-1]["exit_code"]) == ("started", "done", 3)
    assert sum(event["event"] == "split_done" for event in events) == 4

    listed = twofold("runs", "list", cwd=folder)
    assert listed.returncode == 0
    head, line = listed.stdout.splitlines()
    assert head.split()[:2] == ["RUN", "STATE"]
    assert line.split()[1] == "done"
    assert line.endswith("  out/scores.csv")
    (found,) = json.loads(twofold("runs", "list", "out", "--json", cwd=folder).stdout)
    assert (found["rows_in"], found["rows_out"], found["rows_quarantined"], found["splits"]) == (40, 38, 2, 4)

    for name in ("out/scores.csv", "out/scores.csv.twofold", found["id"][:6]):
        shown = twofold("runs", "show", name, cwd=folder)
        assert shown.returncode == 0
        assert "40 in, 38 out, 2 in quarantine" in shown.stdout
        assert "ROWS/S" in shown.stdout
    shown = json.loads(twofold("runs", "show", "out/scores.csv", "--json", cwd=folder).stdout)
    assert sum(rate["rows"] for rate in shown["timeline"]) == 40
    assert shown["starts"][0]["ended"] == "done"


def test_a_run_that_is_not_there(folder: Path) -> None:
    missing = twofold("runs", "show", "nothing.csv", cwd=folder)
    assert (missing.returncode, missing.stdout) == (2, "")
    assert "There is no run 'nothing.csv'" in missing.stderr
    none = twofold("runs", "list", cwd=folder)
    assert (none.returncode, none.stdout) == (0, "")
    assert json.loads(twofold("runs", "list", "--json", cwd=folder).stdout) == []
    assert twofold("runs", "list", "nowhere", cwd=folder).returncode == 2


def test_the_debugger_reaches_the_row(folder: Path) -> None:
    (folder / "stops.py").write_text(
        "import twofold\n\n@twofold.model\ndef stops(number: int) -> int:\n"
        "    if number == 3:\n        breakpoint()\n    return number\n"
    )
    words = ("batch", "stops.py", "in.csv", "out.csv", "--in-process")
    done = twofold(*words, cwd=folder, stdin=b"p 'row', number\nc\n")
    assert done.returncode == 0
    assert "('row', 3)" in done.stdout
    left = twofold(*words, "--overwrite", cwd=folder, stdin=b"q\n")
    assert left.returncode == 1
    assert "debugger was left" in left.stderr


def test_what_excludes_each_other(folder: Path) -> None:
    for words in (
        ("out.csv", "--json", "--events", "-"),
        ("-", "--events", "-"),
        ("out.csv", "--in-process", "--workers", "2"),
        ("out.csv", "--dry-run", "--events", "e.jsonl"),
    ):
        refused = twofold("batch", "picky.py", "in.csv", *words, cwd=folder)
        assert (refused.returncode, refused.stdout) == (2, ""), words
        assert not (folder / "out.csv.twofold").exists()
