"""The commands in the README of each example run in a copy of its folder, and print what it says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.examples.modes import EXAMPLES
from tests.test_docs import Session, blocks, is_heavy, read

READMES = sorted(EXAMPLES.glob("*/README.md"))
MADE = shutil.ignore_patterns("*.parquet", "*.csv", "*.skops", "*.twofold", ".twofold", "*.db", "__pycache__")


def needs_no_heavy_package(page: Path) -> bool:
    return any(block.language and "heavy" not in block.language.split() for block in blocks(page))


LIGHT = [page for page in READMES if needs_no_heavy_package(page)]
HEAVY = [page for page in READMES if is_heavy(page)]


def copied(page: Path, folder: Path) -> Path:
    if "../fraud/fraud.onnx" in page.read_text():  # the model is its neighbour's
        shutil.copytree(EXAMPLES / "fraud", folder / "fraud", ignore=MADE)
    return shutil.copytree(page.parent, folder / page.parent.name, ignore=MADE)


def test_each_example_has_a_readme() -> None:
    folders = [path for path in EXAMPLES.iterdir() if path.is_dir() and path.name != "__pycache__"]
    assert sorted(path / "README.md" for path in folders) == READMES


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", LIGHT, ids=lambda page: page.parent.name)
def test_light(page: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    read(page, Session(copied(page, tmp_path)))


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", HEAVY, ids=lambda page: page.parent.name)
def test_heavy(page: Path, tmp_path: Path) -> None:
    read(page, Session(copied(page, tmp_path), heavy=True))
