"""Calls that are looked at when they are over: for the prediction log, and for traces."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol, cast

from twofold._columns import Batch
from twofold._realtime.tickets import Part
from twofold._runner import Result

__all__ = ["Watcher", "watched"]

LOG = logging.getLogger("twofold")

Start = Callable[[Batch, Callable[[Result], None], float], None]
"""`Backend.start_call`."""
Watcher = Callable[[list[Part], float, Batch, Result], None]
"""Sees the parts of a call, when it began (a time.monotonic()), its rows, and what became of them."""


class _Call(Protocol):
    parts: list[Part]
    began: float

    def __call__(self, result: Result) -> None: ...


def watched(start_call: Start, watcher: Watcher) -> Start:
    """`start_call`, of whose calls `watcher` sees each one when its answers are out."""

    def start(batch: Batch, call: Callable[[Result], None], deadline: float) -> None:
        def done(result: Result) -> None:
            call(result)
            known = cast("_Call", call)
            try:
                watcher(known.parts, known.began, batch, result)
            except Exception:
                LOG.exception("a call could not be logged")

        start_call(batch, done, deadline)

    return start
