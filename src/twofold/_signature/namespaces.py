"""Annotations as objects, also where they are strings: `from __future__ import annotations`, local classes.

A name in a string annotation is looked up in the module of its function or class, then in what the function closes
over, then, for something defined inside a function that is still running, in that function's local variables.
"""

from __future__ import annotations

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

from twofold._signature.place import Place

__all__ = ["hints_of_class", "hints_of_function", "unalias"]


def hints_of_function(function: Callable[..., Any], place: Place) -> dict[str, Any]:
    """Its annotations by parameter name ("return" for the result), `Annotated` kept.

    Raises ModelError where a name is unknown.
    """
    return _hints(function, _local_names(function), place)


def hints_of_class(owner: type, place: Place) -> dict[str, Any]:
    """The annotations of its fields by name, of its bases too, `Annotated` kept; ModelError for an unknown name."""
    return _hints(owner, _enclosing(owner.__qualname__, owner.__module__), place)


def _hints(target: Any, local_names: dict[str, Any], place: Place) -> dict[str, Any]:
    try:
        return typing.get_type_hints(target, localns=local_names or None, include_extras=True)
    except NameError as error:
        missing = error.name or ""
        users = _users(target, missing)
        spelled = f"an annotation ({users})" if users else "an annotation"
        place.refuse(
            f"cannot be read: {spelled} uses the name {missing!r}, which is not to be found when the program runs. "
            "Import or define it at the top of the file, not under `if TYPE_CHECKING:` and not inside a function.",
            missing=missing,
        )
    except Exception as error:  # annotations are the user's code
        place.refuse(f"cannot be read: its annotations do not evaluate ({error}). Correct the annotation.")


def _users(target: Any, missing: str) -> str:
    """Which annotations of `target` use this name, as `name: annotation`."""
    bases = target.__mro__ if isinstance(target, type) else (target,)
    found = []
    for base in bases:
        try:
            written = inspect.get_annotations(base)
        except NameError:  # Python 3.14 evaluates annotations on access
            continue
        found += [f"`{name}: {text}`" for name, text in written.items() if isinstance(text, str) and missing in text]
    return ", ".join(dict.fromkeys(found))


def _local_names(function: Callable[..., Any]) -> dict[str, Any]:
    inner = getattr(function, "__func__", function)
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    names = _enclosing(getattr(inner, "__qualname__", ""), getattr(inner, "__module__", ""))
    code = getattr(inner, "__code__", None)
    for name, cell in zip(getattr(code, "co_freevars", ()), getattr(inner, "__closure__", None) or (), strict=False):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # not assigned yet
            continue
    return names


def _enclosing(qualified: str, module: str) -> dict[str, Any]:
    """The local variables of the functions around a definition, as far as those are still running."""
    outer, marker, _ = qualified.rpartition(".<locals>.")
    names: dict[str, Any] = {}
    frame = sys._getframe(1) if marker else None  # noqa: SLF001 - the only way to see a caller's local classes
    while frame is not None and outer:
        if frame.f_code.co_qualname == outer and frame.f_globals.get("__name__") == module:
            names = {**frame.f_locals, **names}
            outer = outer.rpartition(".<locals>.")[0]
        frame = frame.f_back
    return names


def unalias(hint: Any) -> Any:
    """What a type alias or a NewType stands for; the hint itself where it is none.

    `type Vector = list[float]`, and aliases with parameters: `NDArray[np.float32]` is one since NumPy 2.5.
    """
    while True:
        origin = typing.get_origin(hint)
        if hasattr(hint, "__supertype__"):
            hint = hint.__supertype__
        elif type(hint).__name__ == "TypeAliasType":
            hint = hint.__value__
        elif type(origin).__name__ == "TypeAliasType":
            given = dict(zip(origin.__type_params__, typing.get_args(hint), strict=False))
            value = origin.__value__
            parameters = getattr(value, "__parameters__", ())
            hint = value[tuple(given.get(parameter, parameter) for parameter in parameters)] if parameters else value
        else:
            return hint
