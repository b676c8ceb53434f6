"""How long to wait before a refused request is sent again."""

from __future__ import annotations

import email.utils
import random
import time
from datetime import UTC
from typing import Final

from twofold._wire.exchange import Reply, problem_code

__all__ = ["pause_s"]

FIRST_S: Final = 0.1
LONGEST_S: Final = 5.0
SPREAD: Final = 0.25  # those who were refused together do not come back together
BUSY: Final = (429, 503)


def pause_s(reply: Reply, attempt: int) -> float | None:
    """Seconds until the next attempt (`attempt` counts from 0); None: the answer stands.

    What the server says with Retry-After, and a little more; else twice as long each time, by chance somewhere between
    nothing and that. Predictions have no effects, so that asking again is safe; but a row whose process ended is asked
    again once only, as it may be what ended it.
    """
    if reply.status not in BUSY or (attempt > 0 and problem_code(reply.body) == "worker_lost"):
        return None
    told_s = _told_s(reply.headers.get("retry-after", ""))
    if told_s is not None:
        return told_s * (1.0 + SPREAD * random.random())
    return random.random() * min(LONGEST_S, FIRST_S * 2.0**attempt)


def _told_s(text: str) -> float | None:
    """Retry-After: whole seconds, or a date."""
    if text.strip().isdecimal():
        return float(text)
    try:
        at = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return max(0.0, (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() - time.time())
