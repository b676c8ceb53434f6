"""--set name=value: constructor arguments from text, typed by the constructor's annotations."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from twofold._blame import one_line
from twofold._errors import ModelError, UsageError, shorten

__all__ = ["read_settings"]

_BY_NAME = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def read_settings(owner: type, settings: Mapping[str, str]) -> dict[str, Any]:
    """The keyword arguments for `owner(...)`.

    Text becomes what the annotation says (where there is none, what the default is): numbers, true and false, text,
    paths, dates, enums and literals as they are written, lists and mappings as JSON, `null` for None. Raises UsageError
    for a name the constructor does not have and for text that does not fit; ModelError for an argument without a value.
    """
    try:
        parameters = dict(inspect.signature(owner).parameters)
    except (TypeError, ValueError):  # a class written in C
        parameters = {}
    known = {name: p for name, p in parameters.items() if p.kind in _BY_NAME}
    for name in settings:
        if name not in known:
            raise UsageError(
                f"{owner.__name__} has no setting {name!r}. {_listed(known)}", name=name, settings=sorted(known)
            )
    missing = [name for name, p in known.items() if p.default is inspect.Parameter.empty and name not in settings]
    if missing:
        raise ModelError(
            f"The constructor of {owner.__name__} needs {' and '.join(missing)}: give a value with "
            + " ".join(f"--set {name}=…" for name in missing),
            missing=missing,
        )
    if not settings:
        return {}
    hints = _hints_of(owner)
    return {name: _typed(owner, known[name], hints.get(name), text) for name, text in settings.items()}


def _listed(known: Mapping[str, inspect.Parameter]) -> str:
    if not known:
        return "Its constructor takes no arguments."
    shown = [n if p.default is inspect.Parameter.empty else f"{n} (default {p.default!r})" for n, p in known.items()]
    return f"It has {', '.join(shown)}."


def _hints_of(owner: Any) -> dict[str, Any]:
    try:
        return get_type_hints(owner.__init__, include_extras=True)
    except Exception as error:
        raise ModelError(
            f"The annotations of the constructor of {owner.__name__} cannot be read: {one_line(error)}. "
            "Import or define the names they use."
        ) from error


def _typed(owner: type, parameter: inspect.Parameter, hint: Any, text: str) -> Any:
    if hint is None:
        default = parameter.default
        hint = str if default in (inspect.Parameter.empty, None) else type(default)
    members = get_args(hint)
    if hint is Path or (Path in members and str not in members and text != "null"):
        return Path(text)
    if hint is str or hint is Any:
        return text
    try:
        if _is_json(hint):
            return msgspec.json.decode(text, type=hint, strict=False)
        return msgspec.convert(text, hint, strict=False)
    except (msgspec.MsgspecError, TypeError) as error:
        said = one_line(error)
        # of plain text msgspec knows only that it is a str, and of a choice only that it is none of them
        more = "" if said.startswith(("Expected", "Invalid enum value")) and not _is_json(hint) else f": {said}"
        raise UsageError(
            f"--set {parameter.name}={shorten(text)} does not fit the constructor of {owner.__name__}, "
            f"which takes {_words(hint)} for {parameter.name}{more}.",
            name=parameter.name,
        ) from error


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return "one of " + ", ".join(map(repr, get_args(hint)))
    if isinstance(hint, type) and issubclass(hint, Enum):
        return "one of " + ", ".join(repr(member.value) for member in hint)
    return hint.__name__ if isinstance(hint, type) and get_origin(hint) is None else str(hint).replace("typing.", "")


def _is_json(hint: Any) -> bool:
    kinds = [get_origin(hint) or hint, *(get_origin(member) or member for member in get_args(hint))]
    return any(kind in (list, tuple, set, frozenset, dict) or hasattr(kind, "__struct_fields__") for kind in kinds)
