"""The answer of a model with several outputs."""

from __future__ import annotations

from typing import Any

__all__ = ["Answer"]


class Answer(dict[str, Any]):
    """The answer of a model with several outputs: a dict whose items are attributes too."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the answer has no {name!r}; it has {', '.join(self)}") from None
