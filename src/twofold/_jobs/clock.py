"""The time of day, in seconds since 1970 (UTC), and waiting for it. Tests have a clock of their own."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime

__all__ = ["Clock", "utc_text"]


class Clock:
    """The clock of this machine. It may jump: whoever asks it twice cannot rely on the order of the answers."""

    def now(self) -> float:
        return time.time()

    def wait(self, seconds: float, wake: threading.Event) -> None:
        """Return after so many seconds, or as soon as `wake` is set."""
        wake.wait(max(0.0, seconds))


def utc_text(at: float) -> str:
    """2026-11-24T02:30:00Z"""
    return datetime.fromtimestamp(int(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
