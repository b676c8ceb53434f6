"""Sends what was computed and commits what was sent, in order, in a thread behind the reading and computing."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from twofold._errors import RunStopped
from twofold._stream.counts import Counts
from twofold._stream.messages import Letter, Mark, Sink, Source

__all__ = ["Computed", "Delivery"]

WAITING: Final = 2
SETTLE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Computed:
    """What became of the messages that a source gave at once. `came`: when each of them was written."""

    letters: Sequence[Letter]
    dead: Sequence[Letter]
    mark: Mark
    came: Sequence[float]


class Delivery:
    """Dead letters first, then the answers, then the commit: whatever was committed has been acknowledged."""

    def __init__(self, source: Source, sink: Sink, dead: Sink, counts: Counts) -> None:
        self._source, self._sink, self._dead, self._counts = source, sink, dead, counts
        self._waiting: deque[Computed] = deque()
        self._changed = threading.Condition()
        self._error: BaseException | None = None
        self._over = False
        self._thread = threading.Thread(target=self._run, name="twofold-delivery", daemon=True)
        self._thread.start()

    def put(self, computed: Computed, keep_alive: Callable[[], object]) -> None:
        """Hand on; waits while two wait already, and calls `keep_alive` meanwhile. Raises what delivering raised."""
        while True:
            with self._changed:
                if self._error is None and len(self._waiting) >= WAITING:
                    self._changed.wait(0.1)
                if self._error is not None:
                    raise self._error
                if len(self._waiting) < WAITING:
                    self._waiting.append(computed)
                    self._changed.notify_all()
                    return
            keep_alive()

    def settle(self, within_s: float = SETTLE_S) -> bool:
        """Wait until all that was handed on is committed. False: it is not, in this time."""
        until = time.monotonic() + within_s
        with self._changed:
            while self._waiting and self._error is None:
                left = until - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(min(left, 0.5))
        return self._error is None

    def close(self, within_s: float) -> None:
        """Finish all that was handed on. Raises what delivering raised, and RunStopped when it takes too long."""
        settled = self.settle(within_s)
        with self._changed:
            self._over = True
            self._changed.notify_all()
        if self._error is not None:
            raise self._error
        if not settled:
            raise RunStopped(
                f"what was in flight could not be delivered within {within_s:g} s. Nothing of it was committed: the "
                "next start answers it again, with the same ids."
            )
        self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._over:
                    self._changed.wait()
                if self._over:
                    return
                computed = self._waiting[0]
            try:
                self._deliver(computed)
            except BaseException as error:
                self._error = error
            with self._changed:
                if self._error is None:
                    self._waiting.popleft()
                self._changed.notify_all()
                if self._error is not None:
                    return

    def _deliver(self, computed: Computed) -> None:
        if computed.dead:
            self._dead.send(computed.dead)
        committed = False
        if computed.letters or computed.mark is not None:
            committed = self._sink.send(computed.letters, self._source, computed.mark)
        if not committed and computed.mark is not None:
            self._source.commit(computed.mark)
        self._counts.delivered(len(computed.letters), len(computed.dead), computed.came)
