"""A timer that is exact to some 0.05 ms. The event loops round to whole milliseconds, which is late for a request."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from typing import Any

__all__ = ["Timer"]

CLOCK_MONOTONIC = 1
TFD_TIMER_ABSTIME = 1


class _Spec(ctypes.Structure):
    """struct itimerspec: an interval, and the first expiry."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("value_s", ctypes.c_long),
        ("value_ns", ctypes.c_long),
    )


class Timer:
    """Calls `callback` once, at the moment it was last set to. A timer of Linux's (timerfd) where there is one."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
        self._loop = loop
        self._callback = callback
        self._handle: asyncio.TimerHandle | None = None
        self._fd = -1
        self._libc: Any = None
        if sys.platform == "linux":
            libc = ctypes.CDLL(None, use_errno=True)
            if hasattr(libc, "timerfd_create"):
                self._libc, self._spec = libc, _Spec()
                self._fd = libc.timerfd_create(CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd >= 0:
            self._spec_ref = ctypes.byref(self._spec)
            loop.add_reader(self._fd, self._expired)

    def set(self, at_s: float) -> None:
        """Call at this time.perf_counter(); never if this is not set again before."""
        if self._fd >= 0:
            whole = int(at_s)
            self._spec.value_s, self._spec.value_ns = whole, max(1, int((at_s - whole) * 1e9))
            self._libc.timerfd_settime(self._fd, TFD_TIMER_ABSTIME, self._spec_ref, None)
            return
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.call_at(self._loop.time() + at_s - time.perf_counter(), self._callback)

    def close(self) -> None:
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1
        if self._handle is not None:
            self._handle.cancel()

    def _expired(self) -> None:
        try:
            os.read(self._fd, 8)
        except BlockingIOError:  # it was set again meanwhile
            return
        self._callback()
