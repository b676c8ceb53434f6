"""What is wrong in a job: which field, and why."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

__all__ = ["Wrong", "did_you_mean"]


class Wrong(ValueError):
    """`message` follows the field's name in what a person reads."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(f"{field}: {message}" if field else message)
        self.field = field
        self.message = message


def did_you_mean(name: str, known: Sequence[str], what: str) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f"Did you mean {close[0]!r}?" if close else f"{what}: {', '.join(known)}."
