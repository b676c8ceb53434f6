"""Model processes that leave a server process between two calls: for another server process, or for good."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from twofold._realtime.model_process import ProcessBackend

if TYPE_CHECKING:
    from twofold._realtime.model_process import _ModelProcess

__all__ = ["LeavableBackend"]

# Rows that wait are started in the next tick of the event loop.
IDLE_S: Final = 0.005


class LeavableBackend(ProcessBackend):
    """A ProcessBackend whose processes can be let go without the loss of a call."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._released: set[int] = set()
        self._hands_over = False

    def release(self, pid: int) -> None:
        """That process leaves, now or at the end of its call."""
        self._released.add(pid)
        for process in [each for each in self._idle if each._pid == pid]:  # noqa: SLF001 (their backend asks)
            self._let_go(process)

    def hand_over(self) -> None:
        """Whatever has nothing to do leaves, as long as one stays: somebody may still ask."""
        self._hands_over = True
        self._let_idle_go()

    def idle(self, process: _ModelProcess) -> None:
        super().idle(process)
        if process._pid in self._released:  # noqa: SLF001
            self._let_go(process)
        elif self._hands_over:
            asyncio.get_running_loop().call_later(IDLE_S, self._let_idle_go)

    def _let_idle_go(self) -> None:
        for process in list(self._idle):
            if len(self._joined) > 1:
                self._let_go(process)

    def _let_go(self, process: _ModelProcess) -> None:
        self.left(process)
        process.close()
