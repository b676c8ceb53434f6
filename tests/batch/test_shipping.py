"""A model as a parcel: the same files, as they lay to each other, on a machine that has never seen its folder."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from twofold._batch.packing import packed
from twofold._batch.shipping import Parcel, refuse_other_packages, unpack
from twofold._errors import ModelError
from twofold._model import load, model_ref
from twofold._reference import ModelRef, moved_artifacts

LOADED = """
import json, sys
from twofold._model import ModelRef, load
from twofold._reference import moved_artifacts
ref, origin, folder = json.loads(sys.argv[1])
moved_artifacts(origin, folder)
model = load(ModelRef.from_json(ref))
print(json.dumps([model.version, model(2), [str(file) for file in model.files]]))
"""


def project(folder: Path) -> Path:
    """A model with a local package, a helper beside it, and artifacts: near, far, and named by an absolute path."""
    (folder / "app" / "steps").mkdir(parents=True)
    (folder / "weights").mkdir()
    (folder / "far").mkdir()
    (folder / "app" / "steps" / "__init__.py").write_text("")
    (folder / "app" / "steps" / "add.py").write_text("from helper import ONE\ndef add(number): return number + ONE\n")
    (folder / "app" / "helper.py").write_text("ONE = 1\n")
    (folder / "app" / "near.txt").write_text("10")
    (folder / "weights" / "a.txt").write_text("100")
    (folder / "far" / "b.txt").write_text("1000")
    (folder / "app" / "unrelated.bin").write_bytes(b"\0" * 1000)
    model = folder / "app" / "shipped.py"
    model.write_text(
        f"""
import twofold
from steps.add import add

NEAR = twofold.artifact("near.txt")
WEIGHTS = twofold.artifact("../weights")

@twofold.model
class Sum:
    def __init__(self) -> None:
        self.far = int(twofold.artifact({str(folder / "far" / "b.txt")!r}).read_text())

    def predict(self, number: int) -> int:
        return add(number) + int(NEAR.read_text()) + int((WEIGHTS / "a.txt").read_text()) + self.far
"""
    )
    return model


def loaded_elsewhere(parcel: Parcel, archive: bytes, home: Path) -> list[Any]:
    ref, folder = unpack(parcel, [archive[:100], archive[100:]], home)
    given = json.dumps([ref.to_json(), parcel.origin, folder])
    found: list[Any] = json.loads(subprocess.check_output([sys.executable, "-c", LOADED, given], cwd=home, text=True))
    return found


def shipped(ref: ModelRef, gone: Path, home: Path) -> tuple[Parcel, dict[str, Any], list[Any]]:
    """Packed, its folder taken away, unpacked and loaded by another process."""
    home.mkdir()
    with packed(ref) as model:
        archive = model.archive.read_bytes()
    shutil.rmtree(gone)
    return model.parcel, model.facts, loaded_elsewhere(model.parcel, archive, home)


def test_files_lie_to_each_other_as_they_did(tmp_path: Path) -> None:
    parcel, facts, (version, answer, files) = shipped(
        model_ref(project(tmp_path / "here")), tmp_path / "here", tmp_path / "there"
    )
    assert (version, answer) == (facts["version"], 2 + 1 + 10 + 100 + 1000)
    assert parcel.origin == str(tmp_path / "here")
    assert parcel.files == len(files) == 7
    assert all(file.startswith(str(tmp_path / "there")) for file in files)


def test_a_module_is_found_from_the_folder_it_was_imported_from(tmp_path: Path, monkeypatch) -> None:
    package = tmp_path / "here" / "shop"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "prices.py").write_text("FACTOR = 3\n")
    (package / "model.py").write_text(
        "import twofold\nfrom shop.prices import FACTOR\n"
        "@twofold.model\ndef price(number: int) -> int:\n    return FACTOR * number\n"
    )
    monkeypatch.chdir(tmp_path / "here")
    ref = model_ref("shop.model:price")
    monkeypatch.chdir(tmp_path)
    _, facts, (version, answer, _) = shipped(ref, tmp_path / "here", tmp_path / "there")
    assert (version, answer) == (facts["version"], 6)


def test_a_model_is_unpacked_once(tmp_path: Path) -> None:
    with packed(model_ref(project(tmp_path / "here"))) as model:
        archive = model.archive.read_bytes()
    home = tmp_path / "there"
    home.mkdir()
    first = unpack(model.parcel, [archive], home)
    asked = iter([archive])
    assert unpack(model.parcel, asked, home) == first
    assert next(asked) == archive
    assert [entry.name for entry in home.iterdir()] == [model.parcel.digest[:32]]


def test_a_machine_with_other_packages_is_refused(tmp_path: Path) -> None:
    with packed(model_ref(project(tmp_path / "here"))) as model:
        assert model.parcel.packages == {}
    parcel = Parcel({}, "", 0, "", {"numpy": "0.0.1", "nowhere": "1.0"})
    with pytest.raises(ModelError, match=r"numpy .* instead of 0\.0\.1, nowhere \(not installed\) instead of 1\.0"):
        refuse_other_packages(parcel)


def test_what_cannot_be_loaded_here_is_said(tmp_path: Path) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import twofold\nimport no_such_package\n@twofold.model\ndef f(a: int) -> int:\n    return a\n")
    with pytest.raises(ModelError, match="no_such_package"), packed(model_ref(path)):
        pass
    path.write_text("import os\nos._exit(3)\n")
    with pytest.raises(ModelError, match="exited with code 3"), packed(model_ref(path)):
        pass


def test_artifacts_move_with_their_folder(tmp_path: Path) -> None:
    path = project(tmp_path / "here")
    moved_artifacts(str(tmp_path / "elsewhere"), str(tmp_path / "here"))
    text = path.read_text().replace(str(tmp_path / "here" / "far"), str(tmp_path / "elsewhere" / "far"))
    path.write_text(text)
    assert load(model_ref(path))(0) == 1111


@pytest.mark.parametrize(
    ("hidden", "call", "said"),
    [
        ("ray", "twofold.batch('m.py', 'in.csv', 'out.csv', executor='ray')", "--executor ray needs the package 'ray'"),
        ("pyspark", "twofold.spark.apply(None, 'm.py')", "twofold.spark needs the package 'pyspark'"),
    ],
)
def test_what_is_not_installed_is_named(hidden: str, call: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "m.py").write_text("import twofold\n@twofold.model\ndef f(a: int) -> int:\n    return a\n")
    (tmp_path / "in.csv").write_text("a\n1\n")
    code = f"import sys, twofold, twofold.spark\nsys.modules[{hidden!r}] = None\n{call}"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert said in done.stderr
    assert f"pip install 'twofold[{'spark' if hidden == 'pyspark' else hidden}]'" in done.stderr
