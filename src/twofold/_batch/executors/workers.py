"""The worker processes of a run: started, ready, gone; and what each has in hand."""

from __future__ import annotations

import queue
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from twofold._errors import ModelError
from twofold._reference import ModelRef
from twofold._supervisor import Message, Worker, end_workers, error_from_message

if TYPE_CHECKING:
    from twofold._batch.work import SplitTask

__all__ = ["Call", "Hand", "Workers", "is_stopped"]

MODULE = "twofold._batch.worker"
MOST_STARTS = 3


@dataclass
class Call:
    """A call that is open. `until`: when it has taken too long."""

    rows: list[list[int]]
    until: float


@dataclass
class Hand:
    """A worker process, and what it has in hand."""

    worker: Worker
    ready: bool = False
    has_work: bool = False
    tasks: dict[int, SplitTask] = field(default_factory=dict)
    begun: set[int] = field(default_factory=set)
    """Those of its splits whose first call was made."""
    calls: dict[int, Call] = field(default_factory=dict)
    hung: int | None = None
    """The split whose call took too long; the worker was killed for it."""
    exceeded: bool = False
    """All workers together held more memory than they may, and this one most; it was killed for it."""
    stopped: bool = False
    """It was stopped (SIGSTOP) when its time was up: no call of its is to blame."""

    def end(self) -> None:
        end_workers([self.worker])


def is_stopped(pid: int) -> bool:
    """Whether somebody stopped this process (SIGSTOP). Known on Linux only."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in ("T", "t")
    except (OSError, IndexError):
        return False


class Workers:
    """Starts the first worker when it is made. They inherit these descriptors, and so hold the run's lock.

    `moved`: the model's files lie below the second of these folders; on the machine that packed them, below the first.
    """

    def __init__(
        self,
        ref: ModelRef,
        inherited: Sequence[int] = (),
        moved: tuple[str, str] | None = None,
        priority: str = "normal",
    ) -> None:
        self.ref = ref
        self._priority = priority
        self._inherited = inherited
        self._moved = moved
        self.hands: dict[int, Hand] = {}
        self.facts: Message = {}
        """What the first worker that was ready said about the model."""
        self._events: queue.SimpleQueue[tuple[Worker, Message | None]] = queue.SimpleQueue()
        self._unready_ends = 0
        self.start()

    def start(self) -> Hand:
        args = {"model": self.ref.to_json(), "moved": self._moved, "priority": self._priority}
        worker = Worker.start(MODULE, args, events=self._events, holds=self._inherited)
        hand = self.hands[worker.pid] = Hand(worker)
        return hand

    def dismiss(self, hand: Hand) -> None:
        """It has nothing in hand, and gets nothing any more."""
        del self.hands[hand.worker.pid]
        hand.worker.kill()

    def let_go(self) -> None:
        """Begin to end them all: they have nothing in hand any more. Giving their memory back takes them a while."""
        for hand in self.hands.values():
            hand.worker.kill()

    def end(self) -> None:
        end_workers([hand.worker for hand in self.hands.values()])
        self.hands.clear()

    def next_event(self, until: float | None) -> tuple[Hand, Message | None] | None:
        """The next message of a worker; None in it: it ended, and is forgotten here. None: it is `until` already.

        Raises what a worker says went wrong, and ModelError where workers end before they are ready.
        """
        while True:
            timeout = None if until is None else max(0.0, until - time.monotonic())
            try:
                worker, message = self._events.get(timeout=timeout)
            except queue.Empty:
                return None
            hand = self.hands.get(worker.pid)
            if hand is None or hand.worker is not worker:
                continue
            if message is None:
                del self.hands[worker.pid]
                if not hand.ready:
                    self._ended_unready(worker)
            elif "error" in message:
                raise error_from_message(message["error"])
            elif "ready" in message:
                hand.ready = True
                self.facts = message["ready"]
            return hand, message

    def _ended_unready(self, worker: Worker) -> None:
        self._unready_ends += 1
        if self._unready_ends >= MOST_STARTS:
            raise ModelError(
                f"the worker process that loads the model {worker.how_it_ended()} before it was ready, {MOST_STARTS} "
                "times. Does the model end the process when it is loaded, or need more memory than there is? `twofold "
                "describe` loads it in the same way."
            )
