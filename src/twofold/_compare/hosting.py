"""The parent's side of a process that hosts a part of a comparison: started, listened to, and ended."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from twofold._errors import RunStopped
from twofold._supervisor import Message, Worker, error_from_message

__all__ = ["COMPARE_HOST", "Host", "hosting"]

COMPARE_HOST = "twofold._compare.host"


@dataclass
class Host:
    """A host process and what it says."""

    worker: Worker
    events: queue.SimpleQueue[tuple[Worker, Message | None]]

    def wait(self, key: str) -> Any:
        """The next message of this kind. Raises what the host says went wrong."""
        while True:
            _, message = self.events.get()
            if message is None:
                raise RunStopped(f"a process of the comparison {self.worker.how_it_ended()} before it was done.")
            if "failed" in message:
                raise error_from_message(message["failed"])
            if key in message:
                return message[key]


@contextmanager
def hosting(module: str, task: Message) -> Iterator[Host]:
    """Runs `python -m module` with this task, for as long as the `with` lasts."""
    events: queue.SimpleQueue[tuple[Worker, Message | None]] = queue.SimpleQueue()
    worker = Worker.start(module, task, events=events)
    try:
        yield Host(worker, events)
    finally:
        worker.kill()
        worker.join()
