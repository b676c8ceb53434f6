"""Whether a package is there, without importing it."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

__all__ = ["installed"]


@cache
def installed(module: str) -> bool:
    """Whether this module can be imported, as far as can be told; looked up once."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # not even a part of the name
        return False
