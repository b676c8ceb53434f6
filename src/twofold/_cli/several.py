"""Several models on one command line: their names, and which setting is for which of them."""

from __future__ import annotations

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

    One model takes every setting. Of several, each takes those that begin with its name (the one given, or the one
    that its reference ends with): `--set fraud.threshold=0.5`, `--outputs b.label,b.score`. `nulls` is for all
    the model files. Raises UsageError for a name that is used twice, and for a setting of none of them.
    """
    found = [_named(text) for text in given]
    if len(found) == 1:
        name, reference = found[0]
        return [(name, ModelChoice(reference, dict(settings), tuple(outputs), nulls))]
    known = _known(found)
    for_settings = {name: {} for name in known}  # type: dict[str, dict[str, str]]
    for key, value in settings.items():
        name, rest = _split("--set", key, known)
        for_settings[name][rest] = value
    for_outputs = {name: [] for name in known}  # type: dict[str, list[str]]
    for key in outputs:
        name, rest = _split("--outputs", key, known)
        for_outputs[name].append(rest)
    return [
        (
            name,
            ModelChoice(
                reference,
                for_settings[short],
                tuple(for_outputs[short]),
                "refuse" if _is_python(reference) else nulls,
            ),
        )
        for short, (name, reference) in zip(known, found, strict=True)
    ]


def _named(text: str) -> tuple[str, str]:
    """The name before the first "=", where there is one, and the reference."""
    match = NAMED.fullmatch(text)
    if match is None or Path(text).exists():
        return "", text
    from twofold._realtime.names import check_name

    check_name(match["name"])
    return match["name"], match["reference"]


def _known(found: Sequence[tuple[str, str]]) -> list[str]:
    """How each is called on this command line, in order."""
    known: list[str] = []
    for name, reference in found:
        called = name or _own_name(reference)
        if called in known:
            raise UsageError(
                f"Two models have the name {called!r}. Give one of them another: other={reference}, say.", name=called
            )
        known.append(called)
    return known


def _own_name(reference: str) -> str:
    """`a.py:Fraud` -> Fraud, `b.onnx` -> b: the name it will have; for `a.py` it is not known before it is loaded."""
    name = reference.rpartition(":")[2]
    return Path(name).stem if name == reference or "/" in name or "\\" in name else name


def _split(option: str, key: str, known: Sequence[str]) -> tuple[str, str]:
    for name in sorted(known, key=len, reverse=True):
        if key.startswith(f"{name}.") and len(key) > len(name) + 1:
            return name, key[len(name) + 1 :]
    raise UsageError(
        f"{option} {key}: there are several models, so say whose it is: {option} {known[0]}.{key}, say. "
        f"They are called {', '.join(known)} here, before they are loaded; NAME=MODEL gives another name.",
        name=key,
    )


def _is_python(reference: str) -> bool:
    return Path(reference).suffix != ".onnx"
