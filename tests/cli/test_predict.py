"""twofold predict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import PARITY, PICKY, twofold


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parity.py").write_text(PARITY)
    (tmp_path / "picky.py").write_text(PICKY)
    return tmp_path


def test_one_row(folder: Path) -> None:
    done = twofold("predict", "parity.py", '{"number": 7}', cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, '{"prediction": "Odd"}\n', "")


def test_a_list_of_rows(folder: Path) -> None:
    done = twofold("predict", "parity.py", '[{"number": 7}, {"number": 8.0}]', cwd=folder)
    assert (done.returncode, done.stdout) == (0, '[{"prediction": "Odd"}, {"prediction": "Even"}]\n')


def test_no_rows(folder: Path) -> None:
    assert twofold("predict", "parity.py", "[]", cwd=folder).stdout == "[]\n"


def test_standard_input(folder: Path) -> None:
    done = twofold("predict", "parity.py", "-", cwd=folder, stdin=b'{"number": 8}\n')
    assert (done.returncode, done.stdout) == (0, '{"prediction": "Even"}\n')


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('{"number": 7.5}', "number: expected int64, got 7.5"),
        ('{"number": true}', "number: expected int64, got true"),
        ('{"number": "7"}', 'number: expected int64, got "7"'),
        ('{"number": null}', "number: expected int64, got null"),
        ("{}", "number: expected int64, got nothing"),
        ('{"number": 7, "other": 1}', "other"),
        ('{"number": NaN}', "the argument is not JSON: JSON is malformed: invalid character (byte 11)"),
        ('{"number": 7', "the argument is not JSON: it ends too early. Give one object"),
        ("{number: 7}", "in single quotes so that the shell leaves it as it is"),
        (json.dumps([{}] * 12), "row 4: number: expected int64, got nothing (it is missing); and 5 more"),
        ("7", "expected an object"),
        ('[{"number": 1}, {"number": "x"}, {"number": 2.5}]', 'row 1: number: expected int64, got "x"; row 2: number'),
    ],
)
def test_rows_that_do_not_fit(body: str, expected: str, folder: Path) -> None:
    done = twofold("predict", "parity.py", body, cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("twofold: ")
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("number", "expected"), [(13, "thirteen is unlucky"), (0, "nothing to divide")], ids=["bad_row", "model_failed"]
)
def test_a_row_without_an_answer(number: int, expected: str, folder: Path) -> None:
    done = twofold("predict", "picky.py", f'{{"number": {number}}}', cwd=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr
    if number == 0:
        shown = twofold("predict", "picky.py", f'{{"number": {number}}}', "--traceback", cwd=folder)
        assert "picky.py" in shown.stderr
        assert "ZeroDivisionError" in shown.stderr


def test_failing_rows_of_a_list_do_not_fail_their_neighbours(folder: Path) -> None:
    rows = json.dumps([{"number": n} for n in (1, 13, 0, 2)])
    done = twofold("predict", "picky.py", rows, cwd=folder)
    assert done.returncode == 3
    first, bad, failed, last = json.loads(done.stdout)
    assert first == last == {"prediction": "fine"}
    assert bad["error"]["code"] == "bad_row"
    assert failed["error"]["code"] == "model_failed"


def test_a_model_that_waits(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import asyncio\nimport twofold\n\n\n@twofold.model(concurrency=8)\nasync def slow(x: float) -> float:\n"
        "    await asyncio.sleep(0.01)\n    return x / 3\n"
    )
    done = twofold("predict", "slow.py", '[{"x": 1}, {"x": "NaN"}]', cwd=tmp_path)
    assert done.stdout == '[{"prediction": 0.3333333333333333}, {"prediction": "NaN"}]\n'
