"""What holds for a request whichever way it takes: X-Deadline-Ms and X-Request-Id, and how long its body may take."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from twofold._realtime.http.problems import Refusal

__all__ = [
    "BODY_BYTES_A_SECOND",
    "BODY_S",
    "DEADLINE",
    "REQUEST_ID",
    "deadline_in",
    "request_id_in",
    "usable_request_id",
]

DEADLINE = b"x-deadline-ms"
REQUEST_ID = b"x-request-id"

# A request that does not come to its end holds memory. Its body has so long, and a second more for each of so many
# bytes.
BODY_S = 20.0
BODY_BYTES_A_SECOND = 1000

MILLISECONDS = re.compile(rb"[0-9]{1,9}")
USABLE = re.compile(rb"[!#-\[\]-~]{1,128}")  # visible ASCII that may stand in JSON as it is


def deadline_in(named: Mapping[bytes, bytes]) -> float | None:
    """Seconds that a request gives its answer; None where it says nothing. Raises Refusal for anything but digits."""
    given = named.get(DEADLINE)
    if given is None:
        return None
    if MILLISECONDS.fullmatch(given) is None or not int(given):
        shown = given.decode("latin-1")[:100]
        raise Refusal("bad_request", f"X-Deadline-Ms is a number of milliseconds, from 1 on, not {shown!r}.")
    return int(given) / 1000


def usable_request_id(given: bytes) -> bytes:
    """The X-Request-Id that was given; b"" where it cannot be used."""
    return given if USABLE.fullmatch(given) is not None else b""


def request_id_in(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The request's own id, b"" where it has none that can be used."""
    for name, value in headers:
        if name == REQUEST_ID:
            return usable_request_id(value)
    return b""
