"""A broker in memory, for tests and for trying things: topics of partitions, groups with offsets."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Sequence

from twofold._stream.messages import Headers, Letter, Mark, Message, Source, Taken

__all__ = ["MemoryBroker", "MemorySink", "MemorySource"]


class MemoryBroker:
    """Topics that live as long as this object. Each group of readers goes on where it last committed."""

    def __init__(self, partitions: int = 1) -> None:
        self._partitions = partitions
        self._topics: dict[str, list[list[Message]]] = {}
        self._committed: dict[tuple[str, str], list[int]] = {}
        self.changed = threading.Condition()

    def topic(self, name: str) -> list[list[Message]]:
        """The messages of each partition."""
        return self._topics.setdefault(name, [[] for _ in range(self._partitions)])

    def put(self, topic: str, value: bytes, key: bytes | None = None, headers: Headers = ()) -> None:
        with self.changed:
            partitions = self.topic(topic)
            at = zlib.crc32(key or b"") % len(partitions)
            found = partitions[at]
            found.append(Message(value, f"{topic}/{at}/{len(found)}", time.time(), key, headers))
            self.changed.notify_all()

    def values(self, topic: str) -> list[bytes]:
        return [message.value for partition in self.topic(topic) for message in partition]

    def committed(self, topic: str, group: str) -> list[int]:
        """The offset of each partition at which the group goes on."""
        return self._committed.setdefault((topic, group), [0] * self._partitions)

    def source(self, topic: str, group: str = "twofold") -> MemorySource:
        return MemorySource(self, topic, group)

    def sink(self, topic: str) -> MemorySink:
        return MemorySink(self, topic)


class MemorySource:
    """One reader of a topic, for one group."""

    def __init__(self, broker: MemoryBroker, topic: str, group: str) -> None:
        self._broker = broker
        self._partitions = broker.topic(topic)
        self._committed = broker.committed(topic, group)
        self._next = list(self._committed)
        self.before_loss: Callable[[], object] = lambda: None

    def receive(self, most: int, wait_s: float) -> Taken | None:
        with self._broker.changed:
            if most and not self.lag():
                self._broker.changed.wait(wait_s)
            found: list[Message] = []
            for at, partition in enumerate(self._partitions):
                first = self._next[at]
                taken = partition[first : first + most - len(found)]
                self._next[at] += len(taken)
                found += taken
            return Taken(found, list(self._next))

    def commit(self, mark: Mark) -> None:
        self._committed[:] = mark

    def lag(self) -> int | None:
        return sum(map(len, self._partitions)) - sum(self._next)

    def close(self) -> None:
        pass


class MemorySink:
    """Writes to one topic."""

    def __init__(self, broker: MemoryBroker, topic: str) -> None:
        self._broker = broker
        self._topic = topic

    def send(self, letters: Sequence[Letter], source: Source | None = None, mark: Mark = None) -> bool:  # noqa: ARG002
        for letter in letters:
            self._broker.put(self._topic, letter.value, letter.key, letter.headers)
        return False

    def close(self) -> None:
        pass
