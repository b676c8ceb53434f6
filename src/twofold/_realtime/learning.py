"""What a Service learns of its model, kept on the disk: read at the start, written now and then and at the end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from twofold._profile import Profile, profile_path

if TYPE_CHECKING:
    from twofold._realtime.service import Service

__all__ = ["Learning", "seconds_to_lay_out_by"]

FIRST_KEPT_S: Final = 5.0
KEPT_S: Final = 60.0
SLOW_S: Final = 0.005
# A model that was too slow for a server process and now answers a row within this, its way to a model process
# included, may return there at the next start.
QUICK_S: Final = 0.0005

_writing = threading.Lock()  # two models may be of one version, and have one file


def seconds_to_lay_out_by(version: str, measured_s: float | None) -> float | None:
    """What one row takes, as far as the layout is concerned: measured just now, or remembered as slow."""
    if measured_s is None or not Profile.read(profile_path(version)).slow:
        return measured_s
    return max(measured_s, SLOW_S)


class Learning:
    """Keeps the profile of one Service. Belongs to its event loop."""

    def __init__(self, version: str, one_row_s: float | None = None, *, isolated: bool = False) -> None:
        """`one_row_s`: as measured just now, where that was done in this process. `isolated`: it runs in model
        processes."""
        self._isolated = isolated
        self._path: Path = profile_path(version)
        self.profile = Profile.read(self._path)
        if one_row_s is not None and not self.profile.known:
            self.profile.learn(1, one_row_s)
        self._kept = self.profile.changes
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, service: Service, on_slow: Callable[[float], None]) -> None:
        """Keep the profile from now on; `on_slow` gets the seconds of a row that holds the event loop up, once."""

        loop = asyncio.get_running_loop()

        def slow(seconds: float) -> None:
            self.profile.slow = True
            self._kept = -1
            self._keep()
            on_slow(seconds)

        service.on_slow = slow
        self._timer = loop.call_later(FIRST_KEPT_S, self._keep)

    def end(self) -> None:
        """Keep what is known now; waits for the disk."""
        if self._timer is not None:
            self._timer.cancel()
        self._write()

    def _keep(self) -> None:
        """In a thread: a disk may be slow, and requests are not to wait for it."""
        loop = asyncio.get_running_loop()
        if self._timer is not None:
            self._timer.cancel()
        self._timer = loop.call_later(KEPT_S, self._keep)
        loop.run_in_executor(None, self._write)

    def _write(self) -> None:
        with _writing:
            profile = self.profile
            if profile.changes == self._kept:
                return
            self._kept = profile.changes
            profile.slow = profile.slow or Profile.read(self._path).slow  # others may have seen it
            if self._isolated and 0 < profile.typical_s(1) < QUICK_S:
                profile.slow = False
            profile.write(self._path)
