"""Settings of a model, typed by its constructor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.model.loading import PARITY, message
from twofold._errors import UsageError
from twofold._model import load

SETTINGS = """
from __future__ import annotations
import dataclasses, datetime, enum, pathlib, typing
import twofold

class Mode(enum.Enum):
    fast = "fast"
    exact = "exact"

@twofold.model
class Settings:
    def __init__(
        self, threshold: float = 0.5, count: int = 1, strict: bool = False, name: str = "a", mode: Mode = Mode.fast,
        path: pathlib.Path = pathlib.Path("."), perhaps: int | None = None, day: datetime.date | None = None,
        words: list[str] = [], table: dict[str, float] | None = None, kind: typing.Literal["x", "y"] = "x",
        guessed = 3, bare = None, maybe_path: pathlib.Path | None = None, *, only: int = 0,
    ) -> None:
        self.seen = {k: v for k, v in locals().items() if k != "self"}

    def predict(self, x: int) -> str:
        return repr(self.seen)
"""


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("threshold", "0.8", "0.8"),
        ("threshold", "1", "1.0"),
        ("threshold", "1e-3", "0.001"),
        ("count", "-7", "-7"),
        ("strict", "true", "True"),
        ("strict", "False", "False"),
        ("name", "0.8", "'0.8'"),
        ("name", "true", "'true'"),
        ("mode", "exact", "<Mode.exact: 'exact'>"),
        ("path", "/a/b", "PosixPath('/a/b')"),
        ("maybe_path", "c", "PosixPath('c')"),
        ("perhaps", "5", "5"),
        ("perhaps", "null", "None"),
        ("day", "2024-02-29", "datetime.date(2024, 2, 29)"),
        ("words", '["a", "b"]', "['a', 'b']"),
        ("table", '{"a": 1}', "{'a': 1.0}"),
        ("kind", "y", "'y'"),
        ("guessed", "4", "4"),
        ("bare", "4", "'4'"),
        ("only", "4", "4"),
    ],
)
def test_settings_are_typed_by_the_constructor(name: str, text: str, wanted: str, write: Any) -> None:
    model = load(write("settings.py", SETTINGS), settings={name: text})
    assert f"'{name}': {wanted}" in model(1)
    assert model.ref is not None
    assert model.ref.settings == {name: text}
    assert model.version != load(write("settings.py", SETTINGS)).version


def test_settings_given_as_values(write: Any) -> None:
    file = write("settings.py", SETTINGS)
    given = {"threshold": 0.8, "strict": True, "words": ["a"], "perhaps": None, "path": Path("/a"), "name": "0.8"}
    seen = load(file, settings=given)(1)
    for part in ("0.8", "'strict': True", "['a']", "'perhaps': None", "PosixPath('/a')", "'name': '0.8'"):
        assert part in seen
    with pytest.raises(UsageError, match="'name' is object: settings are text, numbers"):
        load(file, settings={"name": object()})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("threshold", "high"),
        ("count", "7.5"),
        ("count", "1e400"),
        ("strict", "maybe"),
        ("mode", "slow"),
        ("words", "a,b"),
        ("kind", "z"),
        ("day", "1"),
    ],
)
def test_settings_that_do_not_fit(name: str, text: str, write: Any) -> None:
    with pytest.raises(
        UsageError, match=f"--set {name}={text} does not fit the constructor of Settings, which takes"
    ) as said:
        load(write("settings.py", SETTINGS), settings={name: text})
    assert "got `str`" not in str(said.value)


def test_what_a_setting_may_be_is_listed(write: Any) -> None:
    file = write("settings.py", SETTINGS)
    for name, words in (
        ("threshold", "takes float for threshold."),
        ("mode", "takes one of 'fast', 'exact' for mode."),
        ("kind", "takes one of 'x', 'y' for kind."),
        ("perhaps", "takes int | None for perhaps."),
    ):
        with pytest.raises(UsageError) as said:
            load(file, settings={name: "slow"})
        assert str(said.value).endswith(words)


def test_settings_that_there_are_not(write: Any) -> None:
    file = write("settings.py", SETTINGS)
    with pytest.raises(
        UsageError, match=r"Settings has no setting 'treshold'\. It has threshold \(default 0\.5\), count"
    ):
        load(file, settings={"treshold": "0.8"})
    with pytest.raises(UsageError, match="parity is a function and has no settings"):
        load(write("parity.py", PARITY), settings={"a": "1"})
    bare = write(
        "bare.py", "import twofold\n@twofold.model\nclass M:\n    def predict(self, x: int) -> int: return x\n"
    )
    with pytest.raises(UsageError, match="Its constructor takes no arguments"):
        load(bare, settings={"a": "1"})
    needs = bare.read_text().replace(
        "class M:", "class M:\n    def __init__(self, weights: str, k: int) -> None: ...\n"
    )
    assert "needs weights and k: give a value with --set weights=… --set k=…" in message(write("needs.py", needs))
    odd = needs.replace("weights: str", "weights: Undefined").replace(
        "import twofold", "from __future__ import annotations\nimport twofold"
    )
    assert "annotations of the constructor of M cannot be read" in message(
        write("odd.py", odd), settings={"weights": "1", "k": "1"}
    )


def test_options_of_model_files_are_refused_for_python(write: Any) -> None:
    file = write("parity.py", PARITY)
    with pytest.raises(UsageError, match="declare the field `float"):
        load(file, nulls="nan")
    with pytest.raises(UsageError, match="--outputs chooses among the outputs of a model file"):
        load(file, outputs=["a"])
    with pytest.raises(UsageError, match="'refuse' or 'nan'"):
        load(file, nulls="zero")  # type: ignore[arg-type]


def test_a_constructor_that_raises(write: Any) -> None:
    text = """
import sys, twofold

@twofold.model
class M:
    def __init__(self, how: str) -> None:
        if how == "exit":
            sys.exit("no weights")
        if how == "ours":
            twofold.artifact("nope.bin")
        raise ValueError("no\\nweights")

    def predict(self, x: int) -> int:
        return x
"""
    file = write("raises.py", text)
    assert message(file, settings={"how": "x"}) == "The constructor of M failed: ValueError: no weights (raises.py:11)."
    assert (
        message(file, settings={"how": "exit"}) == "The constructor of M failed: SystemExit: no weights (raises.py:8)."
    )
    assert "The artifact 'nope.bin' is not there" in message(file, settings={"how": "ours"})


def test_a_model_without_annotations(write: Any) -> None:
    told = message(write("bare.py", "import twofold\n@twofold.model\ndef f(x): return x\n"))
    assert "x" in told
    assert "annotation" in told
