"""Artifacts, and what changes the version of a model."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import twofold
from tests.model.loading import PARITY, answer, message
from twofold._model import load

FRAUD = """
import twofold
from helping import rules

@twofold.model
class Fraud:
    def __init__(self, weights: str = "weights.txt") -> None:
        self.weight = float(twofold.artifact(weights).read_text())

    def predict(self, amount: float) -> float:
        return rules.apply(amount) * self.weight
"""


def fraud(write: Any) -> Path:
    write("weights.txt", "2")
    write("helping/__init__.py", "")
    write("helping/rules.py", "from . import base\nimport numpy\ndef apply(x):\n    return base.plus(x)\n")
    write("helping/base.py", "def plus(x):\n    import late\n    return x + late.ONE\n")
    write("late.py", "ONE = 1")
    write("unrelated.py", "import fraud")
    return write("fraud.py", FRAUD)  # type: ignore[no-any-return]


def version(file: Path, **settings: str) -> str:
    """As another process sees it."""
    program = f"import twofold; print(twofold.load({str(file)!r}, settings={settings!r}).version)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    return done.stdout.strip()


def test_artifacts_lie_beside_the_file_that_names_them(write: Any, tmp_path: Path) -> None:
    model = load(fraud(write))
    assert answer(model, amount=3) == 8.0
    assert set(model._loaded.sources.files) == {
        "fraud.py", "helping/__init__.py", "helping/rules.py", "helping/base.py", "late.py", "artifact weights.txt",
    }  # fmt: skip
    assert model._loaded.sources.packages == {"numpy"}


def test_what_changes_a_version(write: Any, tmp_path: Path) -> None:
    file = fraud(write)
    first = version(file)
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert version(file) == first
    write("unrelated.py", "x = 2")
    write("notes.txt", "read by nobody")
    assert version(file) == first
    write("more.txt", "2")
    seen = {first, version(file, weights="more.txt")}
    for name, text in [
        ("weights.txt", "3"),
        ("late.py", "ONE = 2"),
        ("helping/base.py", "def plus(x): return x"),
        ("fraud.py", FRAUD + "#"),
    ]:
        write(name, text)
        seen.add(version(file))
    assert len(seen) == 6


def test_a_version_goes_with_the_folder(write: Any, tmp_path: Path) -> None:
    file = fraud(write)
    moved = tmp_path.with_name(tmp_path.name + "-moved")
    first = version(file)
    tmp_path.rename(moved)
    assert version(moved / "fraud.py") == first


def test_a_version_knows_the_packages_that_compute(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib import metadata

    from twofold import _fingerprint

    file = fraud(write)
    before = load(file).version
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "99" if name == "numpy" else real(name))
    _fingerprint.version_of.cache_clear()
    try:
        assert load(file).version == before  # loaded once: it still computes with what it was loaded with
        assert load(write("fraud.py", FRAUD + "\n")).version != before
        write("fraud.py", FRAUD)
        assert load(file).version != before
    finally:
        _fingerprint.version_of.cache_clear()
    assert _fingerprint.version_of("sklearn") in ("", real("scikit-learn") if _installed("scikit-learn") else "")
    assert _fingerprint.version_of("_pytest").startswith("pytest ")
    assert _fingerprint.version_of("surely_not_there") == ""


def _installed(name: str) -> bool:
    from importlib import metadata

    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def test_artifacts_named_at_the_top_and_folders(write: Any) -> None:
    write("data/one.txt", "1")
    write("data/deep/two.txt", "2")
    text = "import twofold\n\ndef find(name):\n    return twofold.artifact(name)\n\nDATA = find('data')\n" + PARITY
    model = load(write("top.py", text))
    assert set(model._loaded.sources.files) == {"top.py", "artifact data/one.txt", "artifact data/deep/two.txt"}
    before = model.version
    write("data/deep/two.txt", "3")
    assert version(Path(model.ref.ref)) != before  # type: ignore[union-attr]
    assert "The artifact 'gone' is not there" in message(write("gone.py", text.replace("'data'", "'gone'")))


def test_two_models_of_a_file_have_two_versions(write: Any) -> None:
    file = write("two.py", PARITY + PARITY.replace("def parity", "def other").replace("import twofold\n", ""))
    assert load(f"{file}:parity").version != load(f"{file}:other").version


def test_a_version_without_a_file_is_that_of_the_code() -> None:
    def made(text: str) -> Any:
        namespace: dict[str, Any] = {"twofold": twofold, "__name__": "nowhere"}
        exec(text, namespace)
        return namespace["parity"]

    one, same, other = made(PARITY), made(PARITY), made(PARITY.replace("Odd", "odd"))
    assert load(one).ref is None
    assert load(one).version == load(same).version != load(other).version
    assert repr(load(one)) == f"<Model parity version {load(one).version}>"
