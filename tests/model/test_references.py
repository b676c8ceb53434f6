"""Names of models: files and modules, and each thing that can be wrong with them gets one clear paragraph."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.model.loading import PARITY, answer, message
from twofold._errors import ModelError
from twofold._model import ModelRef, load, model_ref


def test_references(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("parity.py", PARITY)
    write("pack/__init__.py", "")
    write("pack/inner.py", PARITY + "\nclass Holder:\n    model = parity\n")
    monkeypatch.chdir(tmp_path)
    refs = [
        "parity.py",
        "parity.py:parity",
        str(file),
        "./parity.py",
        file,
        "pack.inner:parity",
        "pack.inner:Holder.model",
    ]
    for ref in refs:
        assert load(ref)(7) == "Odd"
    assert load("parity.py").ref == ModelRef(str(file))
    assert load("parity.py:parity").ref == ModelRef(f"{file}:parity")
    in_module = load("pack.inner:parity").ref
    assert in_module == ModelRef("pack.inner:parity", folder=str(tmp_path))
    for ref in ("parity.py", "pack.inner:parity"):
        found = model_ref(ref, settings={})
        assert ModelRef.from_json(found.to_json()) == found
        monkeypatch.chdir("/")
        assert load(found)(8) == "Even"
        monkeypatch.chdir(tmp_path)


def test_the_folder_of_a_file_goes_first_on_the_import_path(write: Any) -> None:
    write("neighbour.py", "ANSWER = 42")
    file = write(
        "uses.py", "import twofold, neighbour\n@twofold.model\ndef f(x: int) -> int:\n    return neighbour.ANSWER\n"
    )
    assert answer(load(file), x=1) == 42
    assert sys.path[0] == str(file.parent)


def test_a_file_named_like_a_module_of_python_or_of_another_folder(write: Any) -> None:
    for name in ("random.py", "with-dash.py", "a/model.py", "b/model.py"):
        model = load(write(name, PARITY.replace('"Odd"', f'"{name}"')))
        assert model(7) == name
    import random

    assert random.random() < 1


def test_a_file_that_changed_is_read_again(write: Any) -> None:
    first = load(write("changing.py", PARITY))
    second = load(write("changing.py", PARITY.replace("Odd", "odd")))
    assert (first(7), second(7)) == ("Odd", "odd")
    assert first.version != second.version


def test_the_only_model(write: Any) -> None:
    two = PARITY + "\n@twofold.model\ndef other(x: int) -> int:\n    return x\n"
    file = write("two.py", two)
    assert message(file) == "two.py has 2 models: say which one, two.py:parity or two.py:other."
    assert load(f"{file}:other")(1) == 1
    alias = write("alias.py", PARITY + "\nagain = parity\n")
    assert load(alias)(7) == "Odd"
    write("far.py", PARITY)
    assert load(write("imports.py", "from far import parity"))(7) == "Odd"
    own = write("own.py", "from far import parity\n" + two[len(PARITY) :].replace("@", "import twofold\n@", 1))
    assert load(own).name == "other"
    assert "none.py has no model: write @twofold.model above" in message(write("none.py", "x = 1"))
    assert "empty.py has no model" in message(write("empty.py", ""))


def test_names_that_are_not_there_or_no_model(write: Any) -> None:
    file = write("parity.py", PARITY + "\ndef helper(x): ...\nNUMBER = 3\n")
    assert message(f"{file}:nope") == "parity.py has no 'nope'. parity.py has the model parity."
    for name in ("helper", "NUMBER"):
        assert f"{name!r} in parity.py is not a model: write @twofold.model above it" in message(f"{file}:{name}")
    assert "no.py has no model at all" in message(f"{write('no.py', '')}:x")


def test_files_that_are_not_there(write: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("parity.py", PARITY)
    monkeypatch.chdir(tmp_path)
    assert f"There is no model 'nope.py': no such file in {tmp_path}" in message("nope.py")
    assert "There is no model 'nope.py:x'" in message("nope.py:x")
    assert "There is no model 'nope.onnx'" in message("nope.onnx")
    assert message("parity").endswith("Did you mean parity.py?")
    assert "is named file.py, file.py:name, package.module:name or file.onnx" in message("a b c")
    assert "is a folder, not a model" in message(tmp_path)
    assert "There is no module 'no.such' to import" in message("no.such:thing")
    assert "There is no module 'json.nope'" in message("json.nope:thing")


def test_files_that_cannot_be_imported(write: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write("broken.py", "import twofold\n\n@twofold.model\ndef f(x: int) -> int\n    return x\n")
    assert message(file) == "broken.py:4 is not valid Python: expected ':': def f(x: int) -> int"
    assert "cannot be imported: ZeroDivisionError: division by zero (zero.py:2)" in message(
        write("zero.py", "\n1 / 0\n")
    )
    missing = message(write("missing.py", "import surely_not_there"))
    assert "ModuleNotFoundError: No module named 'surely_not_there' (missing.py:1). Install the package" in missing
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "polars", None)
        extra = message(write("frames.py", "import polars.selectors"))
    assert extra.endswith("(frames.py:1). Install the package: pip install 'twofold[polars]'")
    write("deep.py", "\n\nraise OSError('gone')")
    assert "OSError: gone (deep.py:3)" in message(write("shallow.py", "import deep"))
    exits = message(write("exits.py", "import sys\nsys.exit(3)"))
    assert (
        "ends the process when it is imported: SystemExit: 3 (exits.py:2). Put what starts a program below if" in exits
    )
    write("pkg/__init__.py", "")
    folder = write("pkg/bad.py", "import surely_not_there").parent.parent
    ref = ModelRef("pkg.bad:f", folder=str(folder))
    assert "pkg.bad cannot be imported: ModuleNotFoundError" in message(ref)
    assert "is not valid Python" in message(write("null.py", "x = 1\0")) or sys.version_info < (3, 12)


def test_the_cause_is_kept_for_a_traceback(write: Any) -> None:
    with pytest.raises(ModelError) as caught:
        load(write("zero.py", "1 / 0"))
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_failed_import_leaves_no_half_module(write: Any) -> None:
    file = write("later.py", "1 / 0")
    message(file)
    assert "later" not in sys.modules
    assert load(write("later.py", PARITY))(7) == "Odd"


def test_calls_that_start_workers_when_the_file_is_imported(write: Any) -> None:
    call = "\ntwofold.serve(parity)\n"
    told = message(write("serves.py", PARITY + call))
    assert "serves.py calls twofold.serve when it is imported" in told
    assert 'if __name__ == "__main__":' in told


@pytest.mark.parametrize("name", ["itself.py", "random.py"])
def test_a_file_that_loads_itself(name: str, write: Any) -> None:
    itself = write(name, PARITY + "\nassert twofold.load(__file__)(7) == 'Odd'\n")
    assert load(itself)(7) == "Odd"
