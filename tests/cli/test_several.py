"""Several models on one command line: which name, which setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from twofold._cli.several import choices
from twofold._errors import UsageError


def test_one_model_takes_every_setting() -> None:
    ((name, choice),) = choices(["a.py:A"], {"x.y": "1"}, ["o"], "nan")
    assert (name, choice.reference, choice.settings, choice.outputs, choice.nulls) == (
        "",
        "a.py:A",
        {"x.y": "1"},
        ("o",),
        "nan",
    )
    ((name, choice),) = choices(["fraud=a.py"], {"x": "1"}, [], "refuse")
    assert (name, choice.reference, choice.settings) == ("fraud", "a.py", {"x": "1"})


def test_of_several_each_takes_its_own() -> None:
    settings = {"fraud.threshold": "0.5", "A.x.y": "2", "pkg.mod": "3"}
    found = choices(["fraud=a.py:Fraud", "b.onnx", "c.py:A", "pkg=d.py"], settings, ["b.label", "b.a.score"], "nan")
    assert [name for name, _ in found] == ["fraud", "", "", "pkg"]
    fraud, b, a, pkg = (choice for _, choice in found)
    assert fraud.settings == {"threshold": "0.5"}
    assert a.settings == {"x.y": "2"}
    assert pkg.settings == {"mod": "3"}
    assert b.outputs == ("label", "a.score")
    assert (b.nulls, fraud.nulls) == ("nan", "refuse")


@pytest.mark.parametrize(
    ("given", "settings", "words"),
    [
        (["a.py:A", "b.py:A"], {}, "Two models have the name 'A'. Give one of them another: other=b.py:A, say."),
        (["x=a.py", "x=b.py"], {}, "Two models have the name 'x'"),
        (["b=a.py", "b.onnx"], {}, "Two models have the name 'b'"),
        (["a.py:A", "b.onnx"], {"threshold": "1"}, "--set A.threshold, say. They are called A, b here"),
        (["a.py:A", "b.onnx"], {"c.threshold": "1"}, "They are called A, b here"),
        (["a b=a.py"], {}, "A model cannot have the name 'a b'"),
        (["=a.py"], {}, "A model cannot have the name ''"),
        (["-x=a.py"], {}, "begin with a letter or a digit"),
    ],
)
def test_what_is_refused(given: list[str], settings: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError) as caught:
        choices(given, settings, [], "refuse")
    assert words in caught.value.message


@pytest.mark.parametrize(
    "marked",
    [
        "@twofold.model\nclass Fraud:\n    pass\n",
        "@twofold.model(example={'n': 1})\nclass Fraud:\n    pass\n",
        "from twofold import model\nclass Other:\n    pass\n\n@model\nasync def Fraud(n: int) -> int:\n    return n\n",
    ],
)
def test_the_name_that_is_served_is_the_name_on_the_command_line(tmp_path: Path, marked: str) -> None:
    """Of a file without NAME= that is the model's; the file's does as well. The file is read and not run."""
    file = tmp_path / "risk.py"
    file.write_text(f"import twofold\n{marked}\nraise SystemExit\n")
    for called in ("Fraud", "risk"):
        found = choices([str(file), "b.onnx"], {f"{called}.threshold": "0.5"}, [], "refuse")
        assert found[0][1].settings == {"threshold": "0.5"}
    with pytest.raises(UsageError, match="They are called Fraud, b here"):
        choices([str(file), "b.onnx"], {"x.threshold": "0.5"}, [], "refuse")
    with pytest.raises(UsageError, match="Two models have the name 'Fraud'"):
        choices([str(file), "Fraud.onnx"], {}, [], "refuse")
    other = choices([str(file), "risk=b.py:B"], {"risk.x": "1", "Fraud.y": "2"}, [], "refuse")
    assert [choice.settings for _, choice in other] == [{"y": "2"}, {"x": "1"}]


@pytest.mark.parametrize("content", ["def (", "import twofold\n", "@m.model\ndef a(): ...\n@m.model\ndef b(): ...\n"])
def test_a_file_whose_model_is_not_known_is_called_like_the_file(tmp_path: Path, content: str) -> None:
    file = tmp_path / "risk.py"
    file.write_text(content)
    found = choices([str(file), "b.onnx"], {"risk.threshold": "0.5"}, [], "refuse")
    assert found[0][1].settings == {"threshold": "0.5"}


def test_a_file_with_an_equals_sign(tmp_path: Path) -> None:
    file = tmp_path / "a=b.py"
    file.touch()
    assert [(name, choice.reference) for name, choice in choices([str(file)], {}, [], "refuse")] == [("", str(file))]
