"""The API keys of a server, read from where they are kept: a file, or the environment. Never from a command line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from twofold._errors import UsageError

__all__ = ["ENVIRONMENT", "read_keys"]

ENVIRONMENT: Final = "TWOFOLD_API_KEY"
KEY: Final = re.compile(r"[!-~]+")  # what an Authorization header holds as it is


def read_keys(file: str | Path | None) -> tuple[str, ...]:
    """The keys of a file (one a line; # begins a comment), else the one of TWOFOLD_API_KEY; () where neither is given.

    Raises UsageError for a file that cannot be read or holds no key, and for what cannot be a key.
    """
    if file is None:
        given = os.environ.get(ENVIRONMENT, "")
        return _checked([given], ENVIRONMENT) if given else ()
    try:
        lines = Path(file).read_text("utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise UsageError(f"The API keys cannot be read from {file}: {error}. It has to hold a key a line.") from error
    keys = [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]
    if not keys:
        raise UsageError(f"There is no API key in {file}. Write one into it, a line each.")
    return _checked(keys, str(file))


def _checked(keys: Iterable[str], where: str) -> tuple[str, ...]:
    for number, key in enumerate(keys, 1):
        if KEY.fullmatch(key) is None:
            raise UsageError(f"API key {number} of {where} has a space in it, or a character that is not ASCII.")
    return tuple(keys)
