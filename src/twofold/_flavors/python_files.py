"""Finding a Python model: importing its file or module, and picking the model in it."""

from __future__ import annotations

import hashlib
import importlib
import sys
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from twofold._blame import said
from twofold._errors import ModelError, TwofoldError
from twofold._reference import MARK, ModelRef, importing, mark_of

__all__ = ["find"]

# What models import that an extra installs, in a version that fits.
EXTRAS: Final = {
    "onnxruntime": "onnx",
    "pandas": "pandas",
    "polars": "polars",
    "pydantic": "pydantic",
    "xllamacpp": "chat",
}

_imported: dict[Path, tuple[tuple[int, int], ModuleType]] = {}
_being_imported: dict[Path, ModuleType] = {}


def find(ref: ModelRef) -> Any:
    """The marked function or class that a reference names; imports its file or module.

    Raises ModelError, with the user's own line, when that fails, when there is no such name, when it is no model, and
    when a file has no model or several and no name was given.
    """
    target = ref.target
    if target.file is not None:
        module, shown = _import_file(target.file), target.file.name
    else:
        module, shown = _import_module(target.module, ref.folder), target.module
    if not target.name:
        return _only_model(module, shown)
    found: Any = module
    for part in target.name.split("."):
        found = getattr(found, part, None)
    if found is None:
        raise ModelError(f"{shown} has no {target.name!r}. {_models_listed(module, shown)}", ref=ref.ref)
    if mark_of(found) is None:
        raise ModelError(
            f"{target.name!r} in {shown} is not a model: write @twofold.model above it. "
            + _models_listed(module, shown),
            ref=ref.ref,
        )
    return found


def _models(module: ModuleType) -> dict[str, Any]:
    """Name -> model, for those defined in this module; if there are none, for those it imports."""
    found: dict[int, tuple[str, Any]] = {}
    for name, value in vars(module).items():
        if name != MARK and mark_of(value) is not None:
            found.setdefault(id(value), (name, value))
    here = [(n, v) for n, v in found.values() if getattr(v, "__module__", None) == module.__name__]
    return dict(here or found.values())


def _models_listed(module: ModuleType, shown: str) -> str:
    names = list(_models(module))
    if not names:
        return f"{shown} has no model at all."
    return f"{shown} has {'the model' if len(names) == 1 else 'the models'} {', '.join(names)}."


def _only_model(module: ModuleType, shown: str) -> Any:
    models = _models(module)
    if len(models) == 1:
        return next(iter(models.values()))
    if models:
        choices = " or ".join(f"{shown}:{name}" for name in models)
        raise ModelError(f"{shown} has {len(models)} models: say which one, {choices}.", names=list(models))
    raise ModelError(
        f"{shown} has no model: write @twofold.model above the function that answers one row "
        "(or above the class whose predict does)."
    )


def _import_module(name: str, folder: str) -> ModuleType:
    _first_on_path(folder or str(Path.cwd()))
    try:
        with importing(name):
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name and (name == error.name or name.startswith(error.name + ".")):
            raise ModelError(
                f"There is no module {name!r} to import (no {error.name!r} in {folder or Path.cwd()} or among the "
                "installed packages). A model in a file is named by its path: file.py:name.",
            ) from error
        raise _import_failed(name, error) from error
    except TwofoldError:
        raise
    except (Exception, SystemExit) as error:
        raise _import_failed(name, error) from error


def _import_file(file: Path) -> ModuleType:
    main = sys.modules.get("__main__")
    if _file_of(main) == file:
        assert main is not None
        return main  # the script that runs: not a second time, under another name
    state = file.stat()
    stamp = (state.st_mtime_ns, state.st_size)
    known = _imported.get(file)
    if known is not None and known[0] == stamp:
        return known[1]
    by_hand = sys.modules.get(file.stem)
    if known is None and by_hand is not None and _file_of(by_hand) == file:
        return by_hand
    if file in _being_imported:
        return _being_imported[file]  # it loads itself: what stands above that call is there
    _first_on_path(str(file.parent))
    module = _executed(file)
    _imported[file] = (stamp, module)
    return module


def _executed(file: Path) -> ModuleType:
    name = _free_name(file)
    loader = SourceFileLoader(name, str(file))
    spec = spec_from_file_location(name, file, loader=loader)
    assert isinstance(spec, ModuleSpec)
    module = module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = _being_imported[file] = module
    try:
        # not through the loader's cache of compiled files: it takes a file changed within a second for the old one
        code = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
        with importing(file.name):
            exec(code, module.__dict__)
    except BaseException as error:
        if before is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = before
        if isinstance(error, TwofoldError) or not isinstance(error, (Exception, SystemExit)):
            raise
        raise _import_failed(file.name, error) from error
    finally:
        del _being_imported[file]
    return module


def _free_name(file: Path) -> str:
    """The file's own name, unless another module has it: pickles and type hints look classes up by it."""
    stem = file.stem
    taken = sys.modules.get(stem)
    if stem.isidentifier() and stem not in sys.stdlib_module_names and (taken is None or _file_of(taken) == file):
        return stem
    return f"{stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"


def _file_of(module: ModuleType | None) -> Path | None:
    file = getattr(module, "__file__", None)
    return Path(file).resolve() if file else None


def _first_on_path(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)
    elif sys.path[0] != folder and sys.path[0]:
        sys.path.remove(folder)
        sys.path.insert(0, folder)


def _import_failed(shown: str, error: BaseException) -> ModelError:
    if isinstance(error, SyntaxError):
        line = f": {error.text.strip()}" if error.text else ""
        where = f"{Path(error.filename).name if error.filename else shown}:{error.lineno}"
        return ModelError(f"{where} is not valid Python: {error.msg}{line}")
    if isinstance(error, SystemExit):
        return ModelError(
            f"{shown} ends the process when it is imported: {said(error)}. Put what starts a program below "
            'if __name__ == "__main__":'
        )
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = " Install the package, or put the file beside the model's."
        if extra := EXTRAS.get((error.name or "").partition(".")[0]):
            hint = f" Install the package: pip install 'twofold[{extra}]'"
    return ModelError(f"{shown} cannot be imported: {said(error)}.{hint}")
