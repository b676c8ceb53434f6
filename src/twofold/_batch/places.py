"""Where stored bytes lie, by a path or a URL, and how that is shown."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["is_url", "shown"]

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
