"""Several models on one command line: their names, and which setting is for which of them."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import click

from twofold._cli.base import ModelChoice, choosing, names, pairs
from twofold._errors import UsageError

__all__ = ["choices", "models_options"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

NAMED: Final = re.compile(r"(?P<name>[^=/\\]*)=(?P<reference>.+)", re.DOTALL)


def models_options(function: _Function) -> _Function:
    """As `model_options`, for several models, each with the name that it was given or "": `models`, a list of pairs."""

    @click.argument("models", metavar="[NAME=]MODEL...", nargs=-1, required=True)
    @choosing
    @functools.wraps(function)
    def with_choices(
        *args: Any,
        models: tuple[str, ...],
        settings: tuple[str, ...],
        outputs: str,
        nulls: Literal["refuse", "nan"],
        **rest: Any,
    ) -> Any:
        return function(*args, models=choices(models, pairs("--set", settings), names(outputs), nulls), **rest)

    return with_choices  # type: ignore[return-value]


def choices(
    given: Sequence[str], settings: Mapping[str, str], outputs: Sequence[str], nulls: Literal["refuse", "nan"]
) -> list[tuple[str, ModelChoice]]:
    """`fraud=a.py:Fraud` and `b.onnx` -> [("fraud", …), ("", …)].

    One model takes every setting. Of several, each takes those that begin with its name (the one given, or its
    own; that of its file does as well): `--set fraud.threshold=0.5`, `--outputs b.label,b.score`. `nulls` is for all
    the model files. Raises UsageError for a name that is used twice, and for a setting of none of them.
    """
    found = [_named(text) for text in given]
    if len(found) == 1:
        name, reference = found[0]
        return [(name, ModelChoice(reference, dict(settings), tuple(outputs), nulls))]
    known = _known(found)
    for_settings: list[dict[str, str]] = [{} for _ in found]
    for key, value in settings.items():
        number, rest = _split("--set", key, known)
        for_settings[number][rest] = value
    for_outputs: list[list[str]] = [[] for _ in found]
    for key in outputs:
        number, rest = _split("--outputs", key, known)
        for_outputs[number].append(rest)
    return [
        (
            name,
            ModelChoice(
                reference,
                for_settings[number],
                tuple(for_outputs[number]),
                "refuse" if _is_python(reference) else nulls,
            ),
        )
        for number, (name, reference) in enumerate(found)
    ]


def _named(text: str) -> tuple[str, str]:
    """The name before the first "=", where there is one, and the reference."""
    match = NAMED.fullmatch(text)
    if match is None or Path(text).exists():
        return "", text
    from twofold._realtime.names import check_name

    check_name(match["name"])
    return match["name"], match["reference"]


def _known(found: Sequence[tuple[str, str]]) -> dict[str, int]:
    """Name -> which of them: first those that they will be served under, then the shorter way to name a file."""
    from twofold._realtime.names import check_names

    names = [(name, name) if name else _own_names(reference) for name, reference in found]
    check_names((served, reference) for (served, _), (_, reference) in zip(names, found, strict=True))
    known = {served: number for number, (served, _) in enumerate(names)}
    for number, (_, other) in enumerate(names):
        known.setdefault(other, number)
    return known


def _own_names(reference: str) -> tuple[str, str]:
    """The name that a model will have, and that of its file: `a.py:Fraud` -> Fraud, `b.onnx` -> b. What `a.py` has can
    mostly be read in it; where it cannot, it is not known before the model is loaded, and the file's name stands."""
    name = reference.rpartition(":")[2]
    if name != reference and "/" not in name and "\\" not in name:
        return name.rpartition(".")[2], name
    file = Path(name)
    marked = _marked_in(file) if file.suffix == ".py" else []
    return marked[0] if len(marked) == 1 else file.stem, file.stem


def _marked_in(file: Path) -> list[str]:
    """The functions and classes in this file with `@twofold.model` above them. It is not run."""
    try:
        body = ast.parse(file.read_bytes()).body
    except (OSError, SyntaxError, ValueError):  # loading it will tell
        return []
    definitions = [node for node in body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef))]
    return [node.name for node in definitions if any(map(_is_mark, node.decorator_list))]


def _is_mark(decorator: ast.expr) -> bool:
    named = decorator.func if isinstance(decorator, ast.Call) else decorator
    return "model" in (getattr(named, "attr", ""), getattr(named, "id", ""))


def _split(option: str, key: str, known: Mapping[str, int]) -> tuple[int, str]:
    """Which model `name.rest` is for, and the rest."""
    for name in sorted(known, key=len, reverse=True):
        if key.startswith(f"{name}.") and len(key) > len(name) + 1:
            return known[name], key[len(name) + 1 :]
    served = list(known)[: len(set(known.values()))]
    raise UsageError(
        f"{option} {key}: there are several models, so say whose it is: {option} {served[0]}.{key}, say. "
        f"They are called {', '.join(served)} here; NAME=MODEL gives another name.",
        name=key,
    )


def _is_python(reference: str) -> bool:
    return Path(reference).suffix != ".onnx"
