"""`twofold.batch`, `serve`, `compare` and `load` from Python: the article's two calls, and what refuses them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import twofold
from tests.compare.models import SAME

ARTICLE = """
import twofold

@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"

assert parity(7) == "Odd"
assert twofold.batch(parity, [2, 3, 4, 5, 6]) == ["Even", "Odd", "Even", "Odd", "Even"]
"""

SCRIPT = """
import sys
import twofold

@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"

GUARD
    report = twofold.CALL
    print(report)
"""

CALLS = {
    "batch": "batch(parity, 'numbers.parquet', 'labels.parquet')",
    "compare": "compare(parity, 'numbers.parquet', limit_rows=5, min_seconds=0.2, connections=2, workers=1)",
}


def run(folder: Path, script: str) -> subprocess.CompletedProcess[str]:
    (folder / "script.py").write_text(script)
    pq.write_table(pa.table({"number": [2, 3, 4]}), folder / "numbers.parquet")
    return subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=60)


def test_the_two_calls_of_the_article(tmp_path: Path) -> None:
    done = run(tmp_path, ARTICLE)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("call", CALLS)
def test_a_call_that_starts_workers(call: str, tmp_path: Path) -> None:
    done = run(tmp_path, SCRIPT.replace("GUARD", 'if __name__ == "__main__":').replace("CALL", CALLS[call]))
    assert (done.returncode, done.stderr) == (0, "")
    assert ("BatchReport(rows_in=3, rows_out=3" if call == "batch" else "Parity: 0 of 3 rows differ") in done.stdout


@pytest.mark.parametrize("call", [*CALLS.values(), "serve(parity, port=0)"], ids=[*CALLS, "serve"])
def test_a_call_at_the_top_of_the_file_shows_the_line_to_write(call: str, tmp_path: Path) -> None:
    """A worker runs the file again: the call must not start workers that start workers."""
    done = run(tmp_path, SCRIPT.replace("GUARD", "if True:").replace("CALL", call))
    assert done.returncode == 1
    assert 'if __name__ == "__main__":' in done.stderr
    assert call.partition("(")[0] in done.stderr.splitlines()[-1]


def test_rows_in_memory_are_compared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.py").write_text(SAME)
    monkeypatch.chdir(tmp_path)
    settings = {"min_seconds": 0.2, "connections": 2, "workers": 1}
    found = twofold.compare("model.py", [1, 2, {"number": 3}], **settings)  # type: ignore[arg-type]
    assert (found.rows, found.parity.differ_bytes, found.exit_code) == (3, 0, 0)
    lines = str(found).splitlines()
    assert lines[0].startswith("parity, version ")
    assert lines[0].endswith(", over 3 rows in memory")
    first_words = [line.split("|")[0].strip() for line in lines[2:] if "|" in line]
    assert [words for words in first_words if words] == [
        "Factor",
        "Latency",
        "Data size",
        "Throughput",
        "Resource use",
        "Complexity",
        "Output frequency",
        "Use case",
    ]
    assert lines[-1] == "Parity: 0 of 3 rows differ beyond tolerance, 0 in bytes."


def test_what_cannot_be_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "model.py").write_text(SAME)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(twofold.TwofoldError, match="not a int"):
        twofold.compare("model.py", 7)
    with pytest.raises(twofold.TwofoldError, match="output"):
        twofold.batch("model.py", "numbers.parquet")
    with pytest.raises(twofold.TwofoldError, match="in memory"):
        twofold.batch("model.py", [1], "out.parquet")  # type: ignore[call-overload]

    @twofold.model
    def local(number: int) -> int:
        return number

    for ask in (twofold.compare, lambda m, path: twofold.batch(m, path, "out.parquet")):
        with pytest.raises(twofold.TwofoldError, match="inside a function"):
            ask(local, "numbers.parquet")
        with pytest.raises(twofold.TwofoldError, match="inside a function"):
            ask(twofold.load(local), "numbers.parquet")
