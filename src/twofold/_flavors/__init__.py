"""Flavors: what kinds of model files there are. A new one is a line here and a module beside this one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

from twofold._errors import ModelError
from twofold._flavors.loaded import Loaded
from twofold._flavors.snippets import snippet_for
from twofold._reference import ModelRef

__all__ = ["FLAVORS", "Flavor", "Loaded", "flavor_of", "load_with"]


@dataclass(frozen=True, slots=True)
class Flavor:
    """Where the module with `load(ref) -> Loaded` is; `takes` names the options that have a meaning for it."""

    module: str
    takes: frozenset[str]


FLAVORS: dict[str, Flavor] = {
    ".py": Flavor("twofold._flavors.python", frozenset({"settings"})),
    ".onnx": Flavor("twofold._flavors.onnx", frozenset({"outputs", "nulls"})),
}


def flavor_of(file: Path | None) -> Flavor:
    """The flavor of a model file by its suffix; of a module (None), Python.

    Raises ModelError for a suffix that is not known, with the class that loads such a file.
    """
    suffix = ".py" if file is None else file.suffix.lower()
    flavor = FLAVORS.get(suffix)
    if flavor is None:
        assert file is not None
        raise ModelError(
            f"{file.name} is not a model that twofold loads by itself: it loads {' and '.join(sorted(FLAVORS))} files. "
            f"Save these lines as model.py beside it, adapt the row, and use model.py instead:\n\n{snippet_for(file)}",
            file=str(file),
        )
    return flavor


def load_with(flavor: Flavor, ref: ModelRef) -> Loaded:
    """Load the model in this process."""
    load = cast(Callable[[ModelRef], Loaded], import_module(flavor.module).load)
    return load(ref)
