"""A lease: held by who renewed it last, until it runs out. For outputs that other machines reach, too."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from twofold._errors import RunStopped, UsageError

__all__ = ["LEASE_S", "holder", "refuse_held", "renewing", "taken_over"]

LEASE_S = 60.0
RENEW_S = 15.0


def holder(place: str) -> dict[str, Any]:
    """Who this is, for the lease; `place` as `StateFolder.place` says."""
    return {"host": socket.gethostname(), "pid": os.getpid(), "place": place}


def refuse_held(by: dict[str, Any], place: str, seconds_left: float, shown: str) -> None:
    """UsageError where another holds the lease. One of this very place is dead: we hold its lock."""
    if seconds_left > 0 and by.get("place") != place:
        raise UsageError(
            f"another run (process {by.get('pid')} on {by.get('host')}) is writing {shown!r} right now. Wait for "
            f"it, or stop it; then start this one again. Of one that died there it is free in {seconds_left:.0f} s.",
            pid=str(by.get("pid")),
            host=by.get("host"),
        )


def taken_over(shown: str) -> RunStopped:
    return RunStopped(
        f"another run has taken over {shown!r}, because this one was not heard of for {LEASE_S:.0f} s. Nothing of this "
        "one is lost or written twice; the other one ends it."
    )


@contextmanager
def renewing(renew: Callable[[], None]) -> Iterator[None]:
    """Renew from time to time, in a thread. What fails is tried again; whoever publishes looks whose the lease is."""
    ended = threading.Event()

    def work() -> None:
        while not ended.wait(RENEW_S):
            try:
                renew()
            except RunStopped:
                return
            except Exception:
                continue

    thread = threading.Thread(target=work, name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
