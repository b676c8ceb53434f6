"""twofold advise: on paper, and measured."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import PARITY, twofold

PAPER = ("--row-time", "5ms", "--rows-per-day", "300k", "--price", "0.10/h")


def test_on_paper(tmp_path: Path):
    done = twofold("advise", *PAPER, "--window", "01:00-05:00", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Advice: batch.")
    assert "a run over 300 k rows takes 25 min of the 4 h it has" in done.stdout
    assert "3 times the mean" in done.stdout


def test_json_has_all_numbers(tmp_path: Path):
    done = twofold(
        "advise",
        *PAPER,
        "--p99",
        "50ms",
        "--entities",
        "1M",
        "--freshness",
        "6h",
        "--write-price",
        "10/M",
        "--json",
        cwd=tmp_path,
    )
    found = json.loads(done.stdout)
    assert found["mode"] == "real time"
    assert found["plans"]["batch"]["possible"] is False
    assert found["plans"]["real time"]["price_per_day"] == pytest.approx(2.4)
    assert found["case"]["need"]["max_age_s"] == 6 * 3600
    assert {flip["input"] for flip in found["flips"]} >= {"entities"}


def test_nothing_does(tmp_path: Path):
    done = twofold("advise", "--row-time", "5s", "--rows-per-day", "1k", "--p99", "50ms", cwd=tmp_path)
    assert done.returncode == 1
    assert "none of the modes does" in done.stdout
    assert "one row takes 5 s" in done.stdout


def test_measured(tmp_path: Path):
    (tmp_path / "parity.py").write_text(PARITY)
    (tmp_path / "rows.jsonl").write_text("".join(f'{{"number": {n}}}\n' for n in range(500)))
    done = twofold("advise", "parity.py", "rows.jsonl", "--rows-per-day", "1M", "--p99", "50ms", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["mode"] == "real time"
    assert found["assumed"][1].startswith("Measured here: one row alone ")
    assert 0 < found["case"]["costs"]["batch_row_s"] < 0.01


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ((), "--rows-per-day 2M"),
        (("--rows-per-day", "2M"), "--row-time 5ms"),
        (("--rows-per-day", "lots"), "250k or 2.5M"),
        (("--uses-per-entity", "3"), "--entities"),
        (("--rows-per-day", "1M", "--skew", "1"), "--entities"),
        (("--rows-per-day", "1M", "--window", "25:00-26:00"), "no such time"),
        (("--rows-per-day", "1M", "--window", "night"), "22:00-06:00"),
        (("--rows-per-day", "1M", "--row-time", "1ms", "--batch-row-time", "2ms"), "at most --row-time"),
        (("--rows-per-day", "1G", "--row-time", "1ms", "--peak-rate", "5/s"), "--peak-rate"),
        (("parity.py", "--rows-per-day", "1M"), "MODEL DATA"),
        (("--rows-per-day", "1M", "--row-time", "1ms", "--price", "cheap"), "0.10/h"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, given: tuple[str, ...], said: str):
    done = twofold("advise", *given, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
