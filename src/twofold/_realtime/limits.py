"""What a Service promises and what it refuses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from twofold._options import ServeOptions

__all__ = ["Limits", "Reason", "Refused", "limits_of"]

Reason = Literal["deadline", "queue", "streams"]

WHY: dict[Reason, str] = {
    "deadline": "What waits already takes longer than the deadline allows. Try again in {after} s.",
    "queue": "Too many bytes of requests wait already. Try again in {after} s.",
    "streams": "As many answers stream already as --max-streams allows. Try again in {after} s.",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one Service. `deadline_s`: the longest that a request may take; a caller can only shorten it. `batch_rows`:
    rows a model call sees at most. `max_body_bytes`: of one request. `queue_bytes`: of the bodies of all requests that
    wait. `max_streams`: answers in pieces, running or waiting for a place."""

    deadline_s: float = 30.0
    batch_rows: int = 1024
    max_body_bytes: int = 32 << 20
    queue_bytes: int = 64 << 20
    max_streams: int = 64


def limits_of(options: ServeOptions) -> Limits:
    return Limits(
        deadline_s=options.deadline_s,
        batch_rows=options.batch_rows,
        max_body_bytes=options.max_body_bytes,
        max_streams=options.max_streams,
    )


class Refused(Exception):
    """A request is not taken in, because it could not be answered in time or would need too much memory (HTTP: 429,
    code `overloaded`). Nothing has been computed for it. `str()` of it is for the caller's eyes.

    `retry_after_s`: when it may be worth trying again.
    """

    def __init__(self, reason: Reason, retry_after_s: float) -> None:
        super().__init__(WHY[reason].format(after=max(1, math.ceil(retry_after_s))))
        self.reason: Reason = reason
        self.retry_after_s = retry_after_s

    @property
    def retry_after(self) -> int:
        """The value of the header `Retry-After`: whole seconds, at least 1."""
        return max(1, math.ceil(self.retry_after_s))
