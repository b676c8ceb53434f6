"""What each process of a server tells the others: its connections, and what it has counted.

Memory that all of them see, without locks: each process writes in its own slot only. The numbers of a process that is
gone are added to those of the past, so that a counter never falls.

    how many slots to look at | connections of all slots, for each port | process ids of all slots | past | slot 0 | …

From "past" on they are CELLS numbers a model.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import Final

from twofold._realtime.counters import CELLS, GAUGES

__all__ = ["GRPC", "HTTP", "Board"]

HTTP, GRPC = 0, 1  # the ports whose connections are shared out

NOBODY: Final = -1.0
PORTS: Final = 2
NUMBER_BYTES: Final = 8


class Board:
    """The slots of the processes of one server that serves `n_models` models."""

    SLOTS: Final = 1024

    def __init__(self, fd: int, n_models: int = 1) -> None:
        self.fd = fd
        self.n_models = n_models
        numbers = memoryview(mmap.mmap(fd, self._bytes(n_models))).cast("d")
        self._used, numbers = numbers[:1], numbers[1:]
        self._connections = [numbers[at * self.SLOTS : (at + 1) * self.SLOTS] for at in range(PORTS)]
        self._pids = numbers[PORTS * self.SLOTS : (PORTS + 1) * self.SLOTS]
        self._counts = numbers[(PORTS + 1) * self.SLOTS :]

    @classmethod
    def create(cls, n_models: int = 1) -> Board:
        """A new one, with nobody on it; other processes inherit `fd` and open it with `Board(fd, n_models)`."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("twofold")
        else:
            fd, path = tempfile.mkstemp(prefix="twofold-")
            os.unlink(path)  # noqa: PTH108
        os.ftruncate(fd, cls._bytes(n_models))
        board = cls(fd, n_models)
        for slot in range(cls.SLOTS):
            board.leave(slot)
        return board

    @classmethod
    def _bytes(cls, n_models: int) -> int:
        return NUMBER_BYTES * (1 + (PORTS + 1) * cls.SLOTS + (1 + cls.SLOTS) * n_models * CELLS)

    def close(self) -> None:
        os.close(self.fd)

    @property
    def used(self) -> int:
        """From this slot on nobody has one: slots are few, and looked at with every connection."""
        return int(self._used[0])

    # Connections

    def put(self, slot: int, connections: int, port: int = HTTP) -> None:
        self._connections[port][slot] = connections

    def leave(self, slot: int, port: int | None = None) -> None:
        """That process accepts no more connections (None: on any port)."""
        for at, connections in enumerate(self._connections):
            if port in (None, at):
                connections[slot] = NOBODY

    def someone_has_fewer(self, slot: int, port: int = HTTP) -> bool:
        """Whether another process has fewer connections than this one."""
        connections = self._connections[port]
        mine = connections[slot]
        return any(NOBODY < number < mine for number in connections[: self.used])

    def alone(self, slot: int, port: int = HTTP) -> bool:
        """Whether no other process accepts."""
        connections = self._connections[port][: self.used]
        return all(number == NOBODY or at == slot for at, number in enumerate(connections))

    # Counts

    def enter(self, slot: int, pid: int) -> None:
        """A process has this slot from now on. Called by the parent, as `clear`."""
        self._pids[slot] = pid
        self._used[0] = max(self.used, slot + 1)

    def cells(self, slot: int, model: int) -> memoryview[float]:
        """The numbers that the process in this slot counts of the model with this place in the list."""
        return self._cells(1 + slot, model)

    def clear(self, slot: int) -> None:
        """That process is gone: what it counted belongs to the past. To be called once a process."""
        self.leave(slot)
        self._pids[slot] = 0
        used = self.used
        while used and not self._pids[used - 1]:
            used -= 1
        self._used[0] = used
        for model in range(self.n_models):
            gone, past = self._cells(1 + slot, model), self._cells(0, model)
            for at in GAUGES:
                gone[at] = 0.0
            for at, number in enumerate(gone):
                if number:
                    past[at] += number
                    gone[at] = 0.0

    def sums(self, model: int) -> list[float]:
        """The numbers of one model, over all processes that are or were there."""
        return [sum(column) for column in zip(*self._in_use(model), strict=True)]

    def pids(self) -> list[int]:
        """The processes that have a slot."""
        return [int(pid) for pid in self._pids[: self.used] if pid]

    def _in_use(self, model: int) -> Iterator[memoryview[float]]:
        yield self._cells(0, model)
        for slot, pid in enumerate(self._pids[: self.used]):
            if pid:
                yield self._cells(1 + slot, model)

    def _cells(self, place: int, model: int) -> memoryview[float]:
        first = (place * self.n_models + model) * CELLS
        return self._counts[first : first + CELLS]
