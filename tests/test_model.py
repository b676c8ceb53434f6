"""Models: marking, naming, loading, settings; each thing that can be wrong with a file gets one clear paragraph."""

from __future__ import annotations

import subprocess
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twofold
from twofold._columns import Batch
from twofold._errors import ModelError, UsageError
from twofold._model import ModelRef, load, model_ref
from twofold._runner import Runner

PARITY = """
import twofold

@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"
"""


@pytest.fixture(autouse=True)
def _same_modules_afterwards() -> Iterator[None]:
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if "pytest-of" in file:
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(name: str, text: str) -> Path:
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    return write


def answer(model: twofold.Model, **row: Any) -> Any:
    batch = Batch.from_rows(model.signature.input_schema, [model.signature.row(row)])
    result = Runner(model).run(batch)
    assert not result.failures, result.failures
    return result.outputs.rows()[0][0]


def message(ref: Any, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        load(ref, **options)
    assert "\n" not in caught.value.message
    return caught.value.message


# ---- marking


def test_the_decorator_returns_its_target_unchanged() -> None:
    def parity(number: int) -> str:
        return "Odd"

    class Parity:
        def predict(self, number: int) -> str:
            return "Odd"

    for target in (parity, Parity):
        assert twofold.model(target) is target
        assert twofold.model(example={"number": 7})(target) is target
    assert parity(7) == "Odd"
    assert Parity().predict(7) == "Odd"


def test_nothing_is_read_when_a_model_is_marked() -> None:
    """A light parent, and a file that only holds models, pay for no library."""
    program = (
        "import sys, twofold\n"
        "@twofold.model(row=3, result='nonsense', example=4)\n"
        "def f(a: 'Undefined'): ...\n"
        "print(*sorted({'numpy', 'pyarrow', 'msgspec', 'asyncio', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_what_cannot_be_marked() -> None:
    with pytest.raises(UsageError, match="marks a function or a class"):
        twofold.model(len)
    with pytest.raises(ModelError, match="<lambda>' is not a model: write @twofold"):
        load(lambda x: x)


def test_a_subclass_is_not_a_model_by_itself() -> None:
    @twofold.model
    class Base:
        def predict(self, x: int) -> int:
            return x

    class Derived(Base):
        pass

    assert answer(load(Base), x=1) == 1
    with pytest.raises(ModelError, match="'Derived' is not a model"):
        load(Derived)


# ---- functions and classes


def test_a_loaded_function_still_is_that_function(write: Any) -> None:
    model = load(write("parity.py", PARITY))
    assert model(7) == "Odd"
    assert model(number=8) == "Even"
    assert (model.name, model.form, model.is_async, model.drops_gil, model.threads) == (
        "parity", "rows", False, False, None,
    )  # fmt: skip
    assert answer(model, number=7) == "Odd"
    assert load(model) is model


def test_a_class_loads_once(write: Any) -> None:
    file = write(
        "counted.py",
        """
import twofold

loads = []

@twofold.model
class Counted:
    def __init__(self, start: int = 1) -> None:
        loads.append(start)
        self.start = start

    def predict(self, x: int) -> int:
        return self.start + x

    @staticmethod
    def other(): ...
""",
    )
    model = load(file)
    assert model(x=2) == 3
    assert answer(load(file), x=2) == 3
    module = sys.modules["counted"]
    assert module.loads == [1]
    assert answer(load(module.Counted, settings={"start": 5}), x=2) == 7
    assert module.loads == [1, 5]


@pytest.mark.parametrize("kind", ["staticmethod", "classmethod"])
def test_predict_of_another_kind(kind: str) -> None:
    namespace: dict[str, Any] = {"twofold": twofold}
    first = "" if kind == "staticmethod" else "cls, "
    exec(
        f"@twofold.model\nclass M:\n    @{kind}\n    def predict({first}x: int) -> int:\n        return x + 1",
        namespace,
    )
    assert answer(load(namespace["M"]), x=1) == 2


def test_an_async_class() -> None:
    @twofold.model(concurrency=3)
    class Waits:
        async def predict(self, x: int) -> int:
            return x + 1

    model = load(Waits)
    assert (model.is_async, model.concurrency) == (True, 3)
    assert answer(model, x=1) == 2

    @twofold.model
    async def plain(x: int) -> int:
        return x

    assert load(plain).concurrency == 64


def test_a_class_without_predict() -> None:
    @twofold.model
    class Empty:
        pass

    assert "The class Empty has no method predict" in message(Empty)


def test_options_of_the_mark_that_have_no_meaning() -> None:
    def rows(x: int) -> int:
        return x

    async def waits(x: int) -> int:
        return x

    class Row(typing.TypedDict):
        x: int

    def columns(c: dict[str, typing.Any]) -> typing.Any:
        return c["x"]

    import numpy as np

    columns.__annotations__ = {"c": dict[str, np.ndarray], "return": np.ndarray}
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (rows, {"concurrency": 2}, "concurrency= is for async def"),
        (waits, {"threads": 2}, "threads= is for a function that blocks"),
        (rows, {"threads": 0}, "at least 1"),
        (rows, {"threads": True}, "at least 1"),
        (waits, {"concurrency": 1.5}, "at least 1"),
        (columns, {"row": Row, "result": int, "threads": 2}, "a model on whole columns is called once for many rows"),
    ]
    for function, options, said in cases:
        assert said in message(twofold.model(**options)(function))


def test_an_example_is_a_row() -> None:
    @twofold.model(example={"x": 3})
    def good(x: int, y: float = 0.5) -> int:
        return x

    assert load(good).example == (3, 0.5)

    @twofold.model(example={"x": "three"})
    def bad(x: int) -> int:
        return x

    assert "example= of bad is not a row of it" in message(bad)


# ---- references


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


@pytest.mark.parametrize(
    ("suffix", "words"),
    [
        (".pkl", "pickle.loads("),
        (".joblib", "joblib.load("),
        (".skops", "skops.io.load("),
        (".txt", "lightgbm.Booster(model_file="),
        (".json", "xgboost.Booster(model_file="),
        (".pt", "torch.jit.load("),
        (".PTH", "torch.jit.load("),
        (".bin", ".read_bytes()"),
        ("", ".read_bytes()"),
    ],
)
def test_other_model_files_get_the_class_that_loads_them(suffix: str, words: str, write: Any) -> None:
    file = write(f"fraud{suffix}", "x")
    for call in (load, model_ref):
        with pytest.raises(ModelError) as caught:
            call(file)
        told, _, snippet = caught.value.message.partition("\n\n")
        assert told.startswith(
            f"fraud{suffix} is not a model that twofold loads by itself: it loads .onnx and .py files."
        )
        assert words in snippet
        assert f'twofold.artifact("fraud{suffix}")' in snippet
        compile(snippet, "model.py", "exec")
        class_lines = snippet[snippet.index("@twofold.model") :].strip().splitlines()
        assert len(class_lines) <= 10


def test_a_printed_class_works(write: Any) -> None:
    import pickle

    file = write("fraud.pkl", "")
    file.write_bytes(pickle.dumps(Summing()))
    with pytest.raises(ModelError) as caught:
        load(file)
    model = load(write("model.py", caught.value.message.partition("\n\n")[2]))
    assert model.form == "columns"
    assert answer(model, features=[1, 2, 3, 4]) == 10.0


class Summing:
    def predict(self, features: Any) -> Any:
        return features.sum(axis=1)


# ---- models another process can or cannot find


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


# ---- settings


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


# ---- artifacts and versions


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
