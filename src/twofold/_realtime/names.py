"""The names under which models are served."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from twofold._errors import UsageError

__all__ = ["check_name", "check_names"]

NAME: Final = re.compile(r"[^\W_][\w.-]*", re.ASCII)


def check_name(name: str) -> None:
    """Raises UsageError for a name that could not stand in a path."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"A model cannot have the name {name!r}: names are letters, digits, dots, dashes and underscores, and "
            "begin with a letter or a digit.",
            name=name,
        )


def check_names(named: Iterable[tuple[str, str]]) -> None:
    """Raises UsageError where two models have one name. `named`: of each its name, and what it was given as."""
    seen: set[str] = set()
    for name, given in named:
        if name in seen:
            raise UsageError(
                f"Two models have the name {name!r}. Give one of them another: other={given}, say.", name=name
            )
        seen.add(name)
