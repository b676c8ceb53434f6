"""What `import twofold` gives: these names, documented, and nothing heavy before they are used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import twofold

TEXT = Path(twofold.__file__).read_text()


def test_the_public_names() -> None:
    assert twofold.__all__ == [
        "BadRow",
        "BatchReport",
        "Job",
        "Model",
        "RequestFailed",
        "RowsDoNotFit",
        "Shape",
        "TwofoldError",
        "Usage",
        "__version__",
        "artifact",
        "batch",
        "compare",
        "connect",
        "load",
        "model",
        "serve",
    ]
    assert dir(twofold) == twofold.__all__ == sorted(twofold.__all__)


def test_every_name_is_there_and_documented() -> None:
    for name in twofold.__all__:
        value = getattr(twofold, name)
        if name != "__version__":
            assert value.__doc__, name
            assert getattr(twofold, name) is value


def test_type_checkers_see_what_is_imported() -> None:
    """The imports for type checkers name the same homes as the lazy ones."""
    (block,) = [
        node
        for node in ast.parse(TEXT).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == twofold._HOMES
    assert set(seen) | {"__version__"} == set(twofold.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'twofold' has no attribute 'predict'"):
        twofold.predict  # noqa: B018


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert version("twofold") == twofold.__version__


@pytest.mark.parametrize("use", ["", "twofold.model; twofold.artifact; twofold.BadRow; twofold.TwofoldError"])
def test_a_model_file_imports_nothing_heavy(use: str) -> None:
    code = (
        f"import sys, twofold\n{use}\n"
        "heavy = {'numpy', 'pyarrow', 'asyncio', 'rich', 'click', 'msgspec', 'starlette', 'uvicorn'}\n"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("call", [twofold.batch, twofold.compare, twofold.serve], ids=lambda call: call.__name__)
def test_a_wrong_setting_names_the_right_one(call):
    with pytest.raises(twofold.TwofoldError, match=r"has no setting 'worker'\. Did you mean workers\?"):
        call("parity.py", *([] if call is twofold.serve else ["numbers.parquet"]), worker=2)
