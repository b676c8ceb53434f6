"""How often the kernel has killed a process because memory ran out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["memory_kills"]

# Of this container, where there is one; else of this machine.
COUNTS: Final = (Path("/sys/fs/cgroup/memory.events"), Path("/proc/vmstat"))


def memory_kills(counts: tuple[Path, ...] = COUNTS) -> int:
    """The count so far; 0 where the kernel does not say."""
    found = 0
    for path in counts:
        with suppress(OSError, ValueError):
            for line in path.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill":
                    found += int(count)
    return found
