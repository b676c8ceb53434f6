"""How many connections each server process has, where all of them can see it."""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from typing import Final

__all__ = ["Board"]

NOBODY: Final = -1


class Board:
    """A number per process, in memory that all of them see: how many connections it has open."""

    SLOTS: Final = 1024

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._numbers = memoryview(mmap.mmap(fd, 4 * self.SLOTS)).cast("i")

    @classmethod
    def create(cls) -> Board:
        """A new one, with nobody on it; other processes inherit `fd` and open it with `Board(fd)`."""
        if hasattr(os, "memfd_create"):
            fd = os.memfd_create("twofold")
        else:
            fd, path = tempfile.mkstemp(prefix="twofold-")
            os.unlink(path)  # noqa: PTH108
        os.write(fd, NOBODY.to_bytes(4, sys.byteorder, signed=True) * cls.SLOTS)
        return cls(fd)

    def close(self) -> None:
        os.close(self.fd)

    def put(self, slot: int, connections: int) -> None:
        self._numbers[slot] = connections

    def clear(self, slot: int) -> None:
        """That process is gone."""
        self._numbers[slot] = NOBODY

    def someone_has_fewer(self, slot: int) -> bool:
        """Whether another process has fewer connections than this one."""
        mine = self._numbers[slot]
        return any(NOBODY < number < mine for number in self._numbers)

    def alone(self, slot: int) -> bool:
        """Whether no other process accepts."""
        return all(number == NOBODY or at == slot for at, number in enumerate(self._numbers))
