"""Answers from elsewhere: expected ones, predictions in a file, another model, a server of either protocol."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import twofold
import twofold.testing
from twofold._errors import InputError, Unreachable, UsageError
from twofold._load.rows import Rows, read_rows
from twofold._model import model_ref
from twofold._verify.asking import Here
from twofold._verify.check import Checked
from twofold._verify.judging import Judge, Tolerance
from twofold._verify.outside import Outside, expected, of_model, of_predictions
from twofold._verify.served import of_url
from twofold._verify.verify import put_beside

NEW = """
from dataclasses import dataclass
import numpy as np
import twofold

@dataclass
class Scored:
    score: float
    label: str

@twofold.model
def new(amount: float, kind: str) -> Scored:
    return Scored(amount * 3, "high" if amount > 2 else "low")
"""
# The same, but for an amount that is taken in 32 bits: `16777217` is 16777216 there.
OLD = NEW.replace("def new(amount: float", "def old(amount: np.float32")
BARE = """
import twofold

@twofold.model
def bare(amount: float) -> float:
    return amount * 3 + (amount == 3)
"""
AMOUNTS = [1.0, 2.0, 3.0, 16777217.0, 5.0]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("outside")
    for name, text in {"new": NEW, "old": OLD, "bare": BARE}.items():
        (found / f"{name}_model.py").write_text(text)
    table = pa.table({
        "amount": [*AMOUNTS[:4], None, AMOUNTS[4]],
        "kind": list("abcdef"),
        "was": [3.0, 6.0, 9.0 + 1e-9, 50331651.0, 0.0, 15.5],
        "label": ["low", "low", "high", "high", "high", "low"],
    })  # fmt: skip
    pq.write_table(table, found / "rows.parquet")
    pq.write_table(table.select(["kind"]), found / "kinds.parquet")
    pa.csv.write_csv(table.select(["was"]).rename_columns(["score"]), found / "before.csv")
    pa.csv.write_csv(table.slice(1).select(["was"]).rename_columns(["score"]), found / "fewer.csv")
    return found


@pytest.fixture(scope="module")
def model(folder: Path) -> twofold.Model:
    return twofold.load(folder / "new_model.py")


@pytest.fixture(scope="module")
def rows(folder: Path, model: twofold.Model) -> Rows:
    return read_rows(model.signature, str(folder / "rows.parquet"), columns={}, limit=100)


@pytest.fixture
def beside(model: twofold.Model, rows: Rows) -> Callable[[Outside], Checked]:
    subject = Here(model, rows.typed)
    reference = [answers[0] for answers in subject.ask([[at] for at in range(len(rows.typed))])]
    judge = Judge(model.signature, Tolerance(), [row for _, row in rows.positions])

    def put(outside: Outside) -> Checked:
        checked = Checked(reference)
        put_beside(checked, outside, subject, judge, rows.typed)
        return checked

    return put


def differing(checked: Checked) -> dict[str, list[int]]:
    return {name: sorted(found.beyond) for name, found in checked.fields.items() if found.beyond}


@pytest.mark.parametrize(
    ("given", "differ"),
    [
        (["score=was"], {"score": [4]}),
        (["label"], {"label": [4]}),
        (["score=was", "label"], {"score": [4], "label": [4]}),
    ],
)
def test_expected_answers(given: Sequence[str], differ: dict[str, Any], folder, model, rows, beside) -> None:
    data = str(folder / "rows.parquet")
    checked = beside(expected(model.signature, data, given, rows.positions, 100))
    assert differing(checked) == differ
    assert checked.passes[0].found.rows == 5
    assert len(checked.differ) == (2 if "score=was" in given else 1)


def test_expected_answers_of_no_output(folder, model, rows) -> None:
    with pytest.raises(UsageError, match=r"no output 'was'. Its outputs: score, label"):
        expected(model.signature, str(folder / "rows.parquet"), ["was"], rows.positions, 100)
    with pytest.raises(UsageError, match="no column 'nope'"):
        expected(model.signature, str(folder / "rows.parquet"), ["score=nope"], rows.positions, 100)


def test_predictions_in_a_file(folder, model, rows, beside) -> None:
    data = str(folder / "rows.parquet")
    checked = beside(of_predictions(model.signature, str(folder / "before.csv"), data, rows.positions))
    assert differing(checked) == {"score": [4]}
    with pytest.raises(InputError, match=r"5 rows and .* has 6"):
        of_predictions(model.signature, str(folder / "fewer.csv"), data, rows.positions)
    with pytest.raises(InputError, match=r"none of the model's outputs \(score, label\)"):
        of_predictions(model.signature, str(folder / "kinds.parquet"), data, rows.positions)


def test_another_model_that_takes_a_field_in_fewer_bits(folder, model, rows, beside) -> None:
    ref = model_ref(folder / "old_model.py").to_json()
    checked = beside(of_model(model.signature, ref, "old.py", str(folder / "rows.parquet"), {}, rows.positions, 100))
    assert differing(checked) == {}  # 3 of 50331651 is within tolerance
    assert sorted(checked.fields["score"].differ) == [3]
    exact = Judge(model.signature, Tolerance(0, 0), list(range(5)))
    checked = Checked(checked.reference)
    outside = of_model(model.signature, ref, "old.py", str(folder / "rows.parquet"), {}, rows.positions, 100)
    put_beside(checked, outside, Here(model, rows.typed), exact, rows.typed)
    (cause,) = checked.causes
    assert (cause.kind, cause.field, cause.through, cause.outputs) == ("coercion", "amount", "old.py", ("score",))
    assert "16777217.0 was sent, 16777216.0 arrived" in cause.shown


@pytest.mark.parametrize("path", ["", "/predict", "/v2/models/old", "/v2/models/old/infer"])
def test_a_server_of_either_protocol(path: str, folder, model, rows) -> None:
    with twofold.testing.serve(str(folder / "old_model.py")) as served:
        outside = of_url(model.signature, served.url + path, rows.typed, 10.0)
    subject = Here(model, rows.typed)
    checked = Checked([answers[0] for answers in subject.ask([[at] for at in range(5)])])
    put_beside(checked, outside, subject, Judge(model.signature, Tolerance(0, 0), list(range(5))), rows.typed)
    assert differing(checked) == {"score": [3]}
    assert [cause.field for cause in checked.causes] == (["amount"] if "v2" in path else [])


def test_one_output_of_each_is_the_same_one(folder) -> None:
    bare = twofold.load(folder / "bare_model.py")

    @twofold.model
    def tripled(amount: float) -> float:
        return amount * 3

    with twofold.testing.serve(tripled) as served:
        outside = of_url(bare.signature, served.url, [(amount,) for amount in AMOUNTS], 10.0)
    own = [answers[0] for answers in Here(bare, [(amount,) for amount in AMOUNTS]).ask([[at] for at in range(5)])]
    found = Judge(bare.signature, Tolerance()).found(zip(range(5), own, outside.answers.values(), strict=True))
    assert found.beyond == {2}


def test_what_cannot_be_asked(folder, model, rows) -> None:
    with twofold.testing.serve(str(folder / "bare_model.py")) as served:
        with pytest.raises(Unreachable, match="answered no row with a JSON object: 422"):
            of_url(model.signature, served.url, rows.typed, 10.0)
        with pytest.raises(Unreachable, match="no such model"):
            of_url(model.signature, served.url + "/v2/models/nobody", rows.typed, 10.0)
        url = served.url
    with pytest.raises(Unreachable, match="Is the server running"):
        of_url(model.signature, url, rows.typed, 10.0)
    with pytest.raises(UsageError, match="not the URL"):
        of_url(model.signature, "ftp://x", rows.typed, 10.0)
