"""What stands in a user's file, `@twofold.model` and `twofold.artifact`, and how a model is named for another process.

Importing this module costs next to nothing: nothing is read from annotations before a model is loaded.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any, Literal, TypeVar, overload

from twofold._errors import CalledAtImport, ModelError, UsageError

__all__ = [
    "MARK",
    "Mark",
    "ModelRef",
    "Target",
    "artifact",
    "artifacts_of",
    "importing",
    "mark_of",
    "model",
    "moved_artifacts",
    "parse",
    "recording_artifacts",
    "reference_of",
    "refuse_at_import",
]

MARK = "__twofold_model__"

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Mark:
    """What `@twofold.model(...)` was told."""

    row: Any = None
    result: Any = None
    concurrency: int | None = None
    threads: int | None = None
    example: Mapping[str, Any] | None = None
    chat: bool = False


@overload
def model(target: T, /) -> T: ...


@overload
def model(
    *,
    row: Any = None,
    result: Any = None,
    concurrency: int | None = None,
    threads: int | None = None,
    example: Mapping[str, Any] | None = None,
    chat: bool = False,
) -> Callable[[T], T]: ...


def model(
    target: T | None = None,
    /,
    *,
    row: Any = None,
    result: Any = None,
    concurrency: int | None = None,
    threads: int | None = None,
    example: Mapping[str, Any] | None = None,
    chat: bool = False,
) -> T | Callable[[T], T]:
    """Mark a function or a class as a model; it is returned unchanged.

    A function answers one row (its annotations say what a row is). Of a class, the constructor loads, once per
    process, and `predict` answers.

    row, result   the types of ONE row and of its answer, where the function takes whole columns at once: its own
                  annotation then picks the container (dict of NumPy arrays, pandas or polars DataFrame, Arrow table)
    concurrency   how many calls of an `async def` run at once (default 64)
    threads       how many calls of a function that blocks run at once, each in a thread
    example       a row, by field name: used for warm-up, the docs and the form
    chat          it answers a chat: takes `messages`, a list of structs with `role` and `content`, and answers with a
                  str, at once or in pieces; it is then served at /v1/chat/completions too
    """
    mark = Mark(row, result, concurrency, threads, example, chat)

    def put(target: T) -> T:
        try:
            setattr(target, MARK, mark)
        except (AttributeError, TypeError):
            raise UsageError(
                f"@twofold.model cannot mark {target!r}: it marks a function or a class. "
                "Write a function that calls it, and mark that."
            ) from None
        return target

    return put if target is None else put(target)


def mark_of(target: object) -> Mark | None:
    """The mark of a function or class; a subclass of a marked class has none of its own."""
    found = getattr(target, "__dict__", {}).get(MARK)
    return found if isinstance(found, Mark) else None


# ---- artifacts ----------------------------------------------------------------------------------------------------

_named_at_import: dict[str, set[Path]] = {}
_moved: dict[Path, Path] = {}
_recorder: ContextVar[set[Path] | None] = ContextVar("twofold_artifacts", default=None)


def artifact(path: str | Path) -> Path:
    """The absolute path of a file (or folder) that belongs to the model, given relative to the file of the caller.

    Name artifacts at the top of the file or in the constructor: their bytes are part of the model's version.
    Raises ModelError when there is nothing at that path.
    """
    here = inspect.currentframe()
    frame = here.f_back if here is not None else None
    file = frame.f_globals.get("__file__") if frame is not None else None
    folder = Path(file).resolve().parent if file else Path.cwd()
    found = _where_it_is(folder / path)
    if not found.exists():
        raise ModelError(
            f"The artifact {str(path)!r} is not there: {found} does not exist. "
            f"Paths of artifacts are relative to the file that names them ({file or 'the current folder'})."
        )
    recorder = _recorder.get()
    if file and _runs_at_import(frame, file):
        _named_at_import.setdefault(str(Path(file).resolve()), set()).add(found)
    elif recorder is not None:
        recorder.add(found)
    return found


def moved_artifacts(origin: str, here: str) -> None:
    """A model's files were copied to this machine: those that lay below `origin` lie below `here`. Artifacts that are
    named by absolute paths are then found."""
    _moved[Path(origin)] = Path(here)


def _where_it_is(path: Path) -> Path:
    found = path.resolve()
    for origin, here in _moved.items():
        if found.is_relative_to(origin) and (here / found.relative_to(origin)).exists():
            return here / found.relative_to(origin)
    return found


def _runs_at_import(frame: FrameType | None, file: str) -> bool:
    while frame is not None:
        if frame.f_code.co_name == "<module>" and frame.f_globals.get("__file__") == file:
            return True
        frame = frame.f_back
    return False


def artifacts_of(file: Path) -> set[Path]:
    """The artifacts that this source file named while it was imported."""
    return _named_at_import.get(str(file), set())


@contextmanager
def recording_artifacts() -> Iterator[set[Path]]:
    """Collects the artifacts named meanwhile, by a constructor."""
    named: set[Path] = set()
    token = _recorder.set(named)
    try:
        yield named
    finally:
        _recorder.reset(token)


# ---- while a model's file is being imported ----------------------------------------------------------------------

_importing: ContextVar[str] = ContextVar("twofold_importing", default="")


@contextmanager
def importing(what: str) -> Iterator[None]:
    """Marks that the file or module `what` is being imported to load the model in it."""
    token = _importing.set(what)
    try:
        yield
    finally:
        _importing.reset(token)


def refuse_at_import(call: str) -> None:
    """Raises CalledAtImport when `call` (serve, say) is made by the very import that loads a model.

    Every worker imports the model's file: a call at its top level would start workers that start workers.
    """
    what = _importing.get()
    if what:
        raise CalledAtImport(
            f"{what} calls twofold.{call} when it is imported, and every worker imports it to load the model. "
            f"Put the call below this line, so that it runs only when the file is started by hand: "
            f'if __name__ == "__main__":',
            call=call,
        )


# ---- references ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed reference: a model file, with a name where it is Python; or a module and a name."""

    file: Path | None
    module: str
    name: str


@dataclass(frozen=True)
class ModelRef:
    """Everything another process needs to load the model.

    `ref` is an absolute `…/file.py`, `…/file.py:name` or `…/file.onnx`, or `package.module:name`, which is looked up
    with `folder` on the import path. `settings` are constructor arguments as text; `outputs` the chosen outputs of a
    model file; `nulls` what a null in a float input of a model file becomes.
    """

    ref: str
    settings: dict[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    nulls: Literal["refuse", "nan"] = "refuse"
    folder: str = ""

    @property
    def target(self) -> Target:
        return parse(self.ref)

    def to_json(self) -> dict[str, Any]:
        return {
            "ref": self.ref,
            "settings": dict(self.settings),
            "outputs": list(self.outputs),
            "nulls": self.nulls,
            "folder": self.folder,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> ModelRef:
        return cls(found["ref"], dict(found["settings"]), tuple(found["outputs"]), found["nulls"], found["folder"])


_PYTHON_FILE = re.compile(r"(?P<file>.+\.py):(?P<name>[^\W\d][\w.]*)")
_MODULE = re.compile(r"(?P<module>[^\W\d]\w*(\.[^\W\d]\w*)*):(?P<name>[^\W\d][\w.]*)")


def parse(text: str) -> Target:
    """What a reference means; looks nothing up but whether a file is there.

    Raises ModelError for a file that is not there and for text that is no reference.
    """
    if found := _PYTHON_FILE.fullmatch(text):
        return Target(_existing(Path(found["file"]), text), "", found["name"])
    path = Path(text)
    if path.suffix == ".py" or path.exists() or not (found := _MODULE.fullmatch(text)):
        return Target(_existing(path, text), "", "")
    return Target(None, found["module"], found["name"])


def _existing(path: Path, text: str) -> Path:
    if path.is_file():
        return path.resolve()
    if path.is_dir():
        raise ModelError(f"{text!r} is a folder, not a model. Name the file in it: {path / 'model.py'}, say.", ref=text)
    near = path.with_name(path.name + ".py")
    hint = "A model is named file.py, file.py:name, package.module:name or file.onnx."
    if near.is_file():
        hint = f"Did you mean {near}?"
    raise ModelError(f"There is no model {text!r}: no such file in {path.resolve().parent}. {hint}", ref=text)


def reference_of(target: Callable[..., Any]) -> tuple[str, str] | None:
    """(`ref`, `folder`) by which another process finds this function or class; None where it cannot.

    It cannot when the target was typed at a prompt or in a notebook, or made inside a function.
    """
    name = getattr(target, "__qualname__", "")
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    if module is None or not name or "<" in name:
        return None
    file = getattr(module, "__file__", None)
    if not file or not Path(file).is_file() or _attribute(module, name) is not target:
        return None
    dotted = module.__spec__.name if module.__spec__ is not None else module.__name__
    if module.__package__ and Path(file).suffix == ".py":
        levels = dotted.count(".") + (Path(file).name == "__init__.py")
        return f"{dotted}:{name}", str(Path(file).resolve().parents[levels])
    return f"{Path(file).resolve()}:{name}", ""


def _attribute(module: ModuleType, name: str) -> object:
    found: object = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found
