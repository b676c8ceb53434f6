"""`twofold verify`: through real processes, a real server and real runs."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import twofold
import twofold.testing
from tests.cli.commands import PARITY
from tests.cli.commands import twofold as run
from tests.verify.models import MODELS


def test_the_same_answers(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODELS)
    numbers = pa.array([n if n != 5 else None for n in range(13)] + list(range(20, 37)))
    labels = pa.array(["Even", "Odd"] * 6 + ["Even"] + ["Even", "Odd"] * 8 + ["Even"])
    pq.write_table(pa.table({"n": numbers, "id": list(range(30)), "label": labels}), tmp_path / "rows.parquet")
    pq.write_table(pa.table({"prediction": labels}), tmp_path / "before.parquet")
    known = ("--expect", "label", "--against", "before.parquet")
    done = run("verify", "model.py:parity", "rows.parquet", "--map", "number=n", *known, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0].endswith("over 29 rows of rows.parquet (1 more do not fit and were left out)")
    ways = [line.rsplit(maxsplit=2) for line in lines[4 : lines.index("", 4)]]
    assert [way[1:] for way in ways] == [["0", "0"]] * len(ways)
    assert [way[0] for way in ways][2:] == [
        "alone, in a fresh process",
        *(f"in batches of {size}" for size in (2, 4, 8, 16, 29)),
        "in a batch of 29, shuffled",
        *("HTTP JSON", "HTTP JSON lists", "OIP binary", "HTTP Arrow", "HTTP CSV"),
        *("batch", "batch, parquet", "batch, csv"),
        *("expected: label", "against before.parquet"),
    ]
    assert lines[-1] == "The answers are the same, byte for byte."


def test_answers_that_differ(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(MODELS)
    (tmp_path / "rows.csv").write_text("x\n" + "".join(f"{n / 7}\n" for n in range(12)))
    done = run("verify", "model.py:hashes", "rows.csv", "--json", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (4, "")
    found = json.loads(done.stdout)
    assert (found["rows"], found["same"], found["exact"]) == (12, False, None)
    assert [cause["kind"] for cause in found["causes"]] == ["randomness"]  # of the hash, once a process
    assert found["causes"][0]["name"] == "unseeded randomness"
    ways = {way["name"]: way for way in found["passes"]}
    assert ways["alone, again"]["differ"] == 0
    assert ways["alone, in a fresh process"]["differ"] > 0
    assert found["fields"]["prediction"]["flips"] > 0
    assert {"row", "way", "answer", "alone"} == found["examples"][0].keys()


@pytest.mark.parametrize(
    ("rows", "expected"),
    [("n\n1\n", "no column 'number'"), ("number\nx\n", "no row that fits"), (None, "is not there")],
    ids=["column", "fit", "file"],
)
def test_an_input_that_cannot_be_verified(rows: str | None, expected: str, tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text(PARITY)
    if rows is not None:
        (tmp_path / "rows.csv").write_text(rows)
    done = run("verify", "model.py", "rows.csv", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_from_a_test_of_ones_own() -> None:
    @twofold.model
    def double(number: int) -> int:
        return 2 * number

    same = twofold.testing.assert_same_answers
    same(double, [1, {"number": 2}, 3])

    seen = []

    @twofold.model
    def grows(number: int) -> int:
        seen.append(number)
        return len(seen)

    with pytest.raises(
        AssertionError, match="Cause: state kept between calls, or unseeded randomness, in 'prediction'"
    ):
        same(grows, [1, 2, 3])
    with pytest.raises(twofold.RowsDoNotFit):
        same(double, ["x"])
    with pytest.raises(ValueError, match="at least one row"):
        same(double, [])
