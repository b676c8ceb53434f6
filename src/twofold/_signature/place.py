"""Place: where in the user's code a hint stands, so that every refusal names it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from twofold._errors import ModelError

__all__ = ["Place", "hint_name", "place_of"]


@dataclass(frozen=True, slots=True)
class Place:
    """A parameter, a field or the result of one function.

    `function` is its name and file; `label` such as "parameter `amount`"; `name` the bare name; `role` says which way
    values go; `pydantic` that pydantic itself checks the value when its model is made.
    """

    function: str
    label: str
    name: str = ""
    role: str = "input"
    pydantic: bool = False
    within: tuple[type, ...] = ()

    def refuse(self, message: str, **data: Any) -> NoReturn:
        """Raise ModelError: this place, then the message."""
        raise ModelError(f"{self.label} of {self.function} {message}", place=self.name, **data)

    def at_field(self, owner: type, name: str, *, pydantic: bool) -> Place:
        label = f"field `{owner.__name__}.{name}`"
        return replace(self, label=label, name=name, pydantic=pydantic, within=(*self.within, owner))


def place_of(function: Callable[..., Any], role: str) -> Place:
    """The place of the whole function, to be narrowed to its parameters."""
    code = getattr(function, "__code__", None)
    shown = f"`{getattr(function, '__qualname__', repr(function)).replace('<locals>.', '')}`"
    if code is not None:
        shown += f" ({code.co_filename}:{code.co_firstlineno})"
    return Place(function=shown, label="the result" if role == "output" else "a parameter", role=role)


def hint_name(hint: object) -> str:
    """A hint as its author would write it."""
    if isinstance(hint, type) and not getattr(hint, "__args__", None):
        module = hint.__module__.partition(".")[0]
        short = {"numpy": "np.", "pandas": "pd.", "polars": "pl.", "pyarrow": "pa."}.get(module, "")
        return f"{short}{hint.__name__}"
    return repr(hint).replace("typing.", "").replace("collections.abc.", "")
