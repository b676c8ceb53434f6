"""twofold describe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import PARITY, twofold

RICH = """
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from msgspec import Meta

import twofold


@dataclass
class Row:
    amount: Annotated[float, Meta(ge=0)]
    features: Annotated[npt.NDArray[np.float32], twofold.Shape(3)]
    country: Literal["de", "fr"]
    note: str | None = None
    tries: int = 3


@dataclass
class Answer:
    score: float
    reasons: list[str]


@twofold.model
class Fraud:
    def __init__(self, threshold: float = 0.5):
        self.threshold = threshold

    def predict(self, row: Row) -> Answer:
        return Answer(self.threshold, [])
"""


def test_a_function(tmp_path: Path) -> None:
    (tmp_path / "parity.py").write_text(PARITY)
    done = twofold("describe", "parity.py", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    first, *table = done.stdout.splitlines()
    assert first.startswith("parity  version ")
    assert first.endswith("  (one call a row)")
    assert table == [
        "",
        "Input   Type",
        "number  int64  required",
        "",
        "Output      Type",
        "prediction  string",
    ]


def test_all_that_a_field_can_say(tmp_path: Path) -> None:
    (tmp_path / "fraud.py").write_text(RICH)
    done = twofold("describe", "fraud.py:Fraud", "--set", "threshold=0.8", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1:] == [
        "",
        "Input     Type",
        "amount    float64            required; >= 0",
        "features  float32[3]         required",
        'country   one of "de", "fr"  required',
        "note      string or null     optional, default null",
        "tries     int64              optional, default 3",
        "",
        "Output   Type",
        "score    float64",
        "reasons  list of string",
    ]


def test_as_json(tmp_path: Path) -> None:
    (tmp_path / "fraud.py").write_text(RICH)
    done = twofold("describe", "fraud.py", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert found["name"] == "Fraud"
    assert len(found["version"]) == 12
    assert found["inputs"] == [
        {"name": "amount", "type": "float64", "constraints": {"ge": 0}},
        {"name": "features", "type": "float32[3]"},
        {"name": "country", "type": 'one of "de", "fr"'},
        {"name": "note", "type": "string", "nullable": True, "default": None},
        {"name": "tries", "type": "int64", "default": 3},
    ]
    assert [(field["name"], field["type"]) for field in found["outputs"]] == [
        ("score", "float64"),
        ("reasons", "list of string"),
    ]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("nothing.py", "x = 1\n", "twofold.model"),
        ("two.py", PARITY + PARITY.replace("def parity", "def other"), "two.py:"),
        ("bare.py", "import twofold\n\n@twofold.model\ndef bare(x) -> int:\n    return x\n", "`x`"),
        ("broken.py", "import twofold\nraise ValueError('oh no')\n", "oh no"),
        ("data.pkl", "", ".pkl"),
    ],
)
def test_what_is_not_a_model(name: str, content: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    done = twofold("describe", name, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    assert done.stderr.startswith("twofold: ")
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_a_constructor_that_raises(tmp_path: Path) -> None:
    raising = RICH.replace("self.threshold = threshold", "raise OSError('no weights')")
    (tmp_path / "fraud.py").write_text(raising)
    done = twofold("describe", "fraud.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "no weights" in done.stderr
    shown = twofold("describe", "fraud.py", "--traceback", cwd=tmp_path)
    assert "Traceback" in shown.stderr
    assert "fraud.py" in shown.stderr
