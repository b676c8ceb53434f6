"""The models of docs/bring-your-model.md answer as their own libraries do, and the same in both modes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.examples.modes import ROOT, in_batch, in_real_time
from tests.test_docs import Session, blocks

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]

PAGE = ROOT / "docs" / "bring-your-model.md"
MODELS = ["ridge_model.py", "trees_model.py", "boosted_model.py", "ridge.onnx", "both_model.py"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page's files, and what its scripts make of them."""
    for package in ("lightgbm", "pandas", "skl2onnx", "sklearn", "skops", "xgboost"):
        pytest.importorskip(package)
    made = tmp_path_factory.mktemp("page")
    session = Session(made, heavy=True)
    for block in blocks(PAGE):
        if block.language == "python heavy":
            session.run(block)
    for name in ("train.py", "convert.py"):
        subprocess.run([sys.executable, name], cwd=made, check=True, timeout=100)
    return made


def by_hand(folder: Path) -> dict[str, list[float]]:
    """What each library answers by itself for the patients of the page."""
    import lightgbm
    import pandas as pd
    import skops.io
    import xgboost

    patients = pd.read_csv(folder / "patients.csv")
    ridge = skops.io.load(folder / "ridge.skops").predict(patients)
    trees = lightgbm.Booster(model_file=str(folder / "trees.txt")).predict(patients, num_threads=1)
    boosted = xgboost.Booster(model_file=folder / "boosted.json").predict(xgboost.DMatrix(patients.to_numpy()))
    return {
        "ridge_model.py": ridge.tolist(),
        "trees_model.py": trees.tolist(),
        "boosted_model.py": boosted.tolist(),
        "ridge.onnx": ridge.tolist(),
        "both_model.py": ((ridge + trees) / 2).tolist(),
    }


@pytest.mark.parametrize("name", MODELS)
def test_both_modes(name: str, folder: Path, tmp_path: Path) -> None:
    vectors = name in ("boosted_model.py", "ridge.onnx")
    source = folder / ("vectors.csv" if vectors else "patients.csv")
    header, *lines = [line.split(",") for line in source.read_text().splitlines()]
    rows = [dict(zip(header, map(float, line), strict=True)) for line in lines]
    bodies = [{"features": list(row.values())} for row in rows] if vectors else rows
    answers = in_real_time(folder / name, bodies[:100])
    batch = in_batch(folder / name, source, tmp_path / "out.jsonl", *(["--map", "features=x0..x2"] if vectors else []))
    assert len(batch) == 442
    assert [list(answer.values()) for answer in batch[:100]] == [
        pytest.approx(list(answer.values()), rel=1e-9) for answer in answers
    ]
    assert [next(iter(answer.values())) for answer in batch] == pytest.approx(by_hand(folder)[name], rel=1e-5)
