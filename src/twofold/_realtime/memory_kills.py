"""How often the kernel has killed a process because memory ran out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

__all__ = ["COUNTS", "memory_kills"]

# Whose count it is: this process's group where it has one of its own, its container's (cgroup 2, cgroup 1), this
# machine's.
OWN_GROUP: Final = Path("/proc/self/cgroup")
GROUPS: Final = Path("/sys/fs/cgroup")
COUNTS: Final = (
    GROUPS / "memory.events",
    GROUPS / "memory" / "memory.oom_control",
    Path("/proc/vmstat"),
)


def memory_kills(counts: tuple[Path, ...] | None = None) -> int:
    """The count so far, in the first of these files that says it (None: those of the kernel); 0 where none does.

    Only one counts: in a container the machine's count is that of all its neighbours.
    """
    for path in (*_of_own_group(), *COUNTS) if counts is None else counts:
        try:
            lines = path.read_text().splitlines()
        except (OSError, ValueError):
            continue
        for line in lines:
            name, _, count = line.partition(" ")
            if name == "oom_kill" and count.strip().isdigit():
                return int(count)
    return 0


def _of_own_group() -> Iterator[Path]:
    """`0::/system.slice/twofold.service` -> the events of that group; in a container it is often not to be seen."""
    try:
        groups = OWN_GROUP.read_text().splitlines()
    except OSError:
        return
    for group in groups:
        _, controllers, path = group.split(":", 2)
        if controllers == "":
            yield GROUPS / path.lstrip("/") / "memory.events"
        elif controllers == "memory":
            yield GROUPS / "memory" / path.lstrip("/") / "memory.oom_control"
