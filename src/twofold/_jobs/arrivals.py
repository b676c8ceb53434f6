"""Files that arrive in a folder: each is seen once it has stopped changing, and stands for one firing.

A file is its path, size and time: written again, it is another one. Names that begin with . or _, or end as those of
unfinished files do, are passed over. Looking is by listing, which network file systems answer as well.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISREG

from twofold._jobs.job import JobSpec
from twofold._jobs.store import NewFiring, Store

__all__ = ["Arrivals"]

UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".crdownload", ".filepart", ".download", ".swp", "~", ".twofold")
LOOK_S = 1.0


@dataclass
class _Watched:
    job: JobSpec
    known: set[str]
    """Keys that are written down."""
    waiting: dict[str, tuple[str, float]] = field(default_factory=dict)
    """Path -> its key, and since when it has not changed."""


class Arrivals:
    """Looks at the folders of jobs that watch one."""

    def __init__(self, store: Store, jobs: Mapping[str, JobSpec], folder: Path) -> None:
        self._store = store
        self._folder = folder
        self._watched = [_Watched(job, store.keys(name, "file")) for name, job in jobs.items() if job.watch is not None]
        self._looked = float("-inf")

    def next_look(self) -> float | None:
        return self._looked + LOOK_S if self._watched else None

    def look(self, now: float, paused: set[str]) -> list[NewFiring]:
        """Write down the files that have arrived; gives them. A paused job's files wait."""
        if not self._watched or self._looked <= now < self._looked + LOOK_S:
            return []
        self._looked = now
        new: list[NewFiring] = []
        for watched in self._watched:
            if watched.job.name not in paused:
                found = list(self._arrived(watched, now))
                self._store.add(found)
                watched.known.update(one.key for one in found)
                new += found
        return new

    def _arrived(self, watched: _Watched, now: float) -> Iterator[NewFiring]:
        assert watched.job.watch is not None
        still: dict[str, tuple[str, float]] = {}
        for path, size, mtime_ns in _files(str(self._folder / watched.job.watch)):
            key = f"{path}|{size}|{mtime_ns}"
            if key in watched.known:
                continue
            before, since = watched.waiting.get(path, ("", now))
            since = since if before == key and since <= now else now
            if before == key and now - since >= watched.job.settle_s:
                yield NewFiring(watched.job.name, key, int(now), "file", path, due=now)
            else:
                still[path] = (key, since)
        watched.waiting = still


def _files(place: str) -> Iterator[tuple[str, int, int]]:
    """Path, size and time of the finished files of a folder (searched to the bottom) or a glob, by their names."""
    if glob.has_magic(place):
        paths = glob.glob(place, recursive=True)  # noqa: PTH207
    else:
        paths = []
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if not _is_hidden(name)]  # these are gone into
            paths += [os.path.join(folder, name) for name in names]  # noqa: PTH118
    for path in sorted(paths):
        if _is_hidden(path.rpartition(os.sep)[2]):
            continue
        try:
            found = os.stat(path)  # noqa: PTH116
        except OSError:  # gone meanwhile
            continue
        if S_ISREG(found.st_mode):
            yield path, found.st_size, found.st_mtime_ns


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_")) or name.lower().endswith(UNFINISHED)
