"""Models another process can or cannot find."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import twofold
from tests.model.loading import PARITY
from twofold._errors import ModelError
from twofold._model import ModelRef, load, model_ref


@twofold.model
def at_the_top(x: int) -> int:
    return x


def test_the_reference_of_a_function(write: Any) -> None:
    ref = load(at_the_top).ref
    assert ref is not None
    assert ref.target.name == "at_the_top"
    again = load(ref)
    assert again(3) == 3
    assert again.version == load(at_the_top).version

    @twofold.model
    def inside(x: int) -> int:
        return x

    assert load(inside).ref is None
    assert len(load(inside).version) == 12
    with pytest.raises(ModelError, match="'inside' cannot be found by another process"):
        model_ref(inside)


@pytest.mark.parametrize(
    "how", [["script.py"], ["-m", "script"], ["-m", "pack.script"], ["-c", "import script"], ["-"]]
)
def test_models_of_the_main_script(how: list[str], write: Any, tmp_path: Path) -> None:
    text = PARITY + "\nm = twofold.load(parity)\nprint(m.version, m.ref and m.ref.ref, m(7))\n"
    file = write("script.py", text)
    write("pack/__init__.py", "")
    write("pack/script.py", text)
    done = subprocess.run(
        [sys.executable, *how], capture_output=True, text=True, cwd=tmp_path, input=text if how == ["-"] else None
    )
    assert done.stderr == ""
    version, ref, said = done.stdout.split()
    assert said == "Odd"
    wanted = {"pack.script": "pack.script:parity", "-": "None"}
    assert ref == wanted.get(how[-1], f"{file}:parity")
    if ref != "None":
        found = load(ModelRef(ref, folder=str(tmp_path)))
        assert found.version == version


def test_a_script_that_loads_its_own_file(write: Any) -> None:
    file = write("script.py", PARITY + "\nprint(twofold.load(__file__)(7), twofold.load(__file__ + ':parity').name)\n")
    done = subprocess.run([sys.executable, file], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("Odd parity\n", "")
