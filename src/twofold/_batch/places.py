"""Where stored bytes lie, by a path or a URL: what stands there now, how it is opened, and how it is shown."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any, Final

from twofold._errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Identity", "identity_of", "is_url", "open_input", "shown"]

Identity = list[Any]
"""What tells one state of a file from another, as JSON. Local: [size, mtime in ns]."""

URL = re.compile(r"[a-z][a-z0-9+]*://")
USER: Final = re.compile(r"(?<=://)[^/?#]*@")
SECRET: Final = re.compile(r"(?<=[?&])(user|password|passfile|sslpassword|sslkey)=[^&]*", re.IGNORECASE)


def is_url(place: str) -> bool:
    return URL.match(place) is not None


def shown(place: str) -> str:
    """A path or URL for records, logs and people: without user name and password."""
    if not is_url(place):
        return place
    head, query, rest = place.partition("query=")
    return SECRET.sub(r"\1=…", USER.sub("", head)) + query + rest


def identity_of(path: str) -> Identity:
    """The state of a stored file now. InputError where it is not there any more."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError as error:
        raise InputError(
            f"the input {shown(path)!r} cannot be read any more: {error.strerror}.", path=shown(path)
        ) from error
    return [found.st_size, found.st_mtime_ns]


def open_input(path: str, *, mapped: bool = False) -> pa.NativeFile:
    """The bytes of a stored file, to be read at any place; `mapped`: in memory, where it lies on this machine."""
    import pyarrow as pa

    return pa.memory_map(path) if mapped else pa.OSFile(path)
