"""The files of the models that are served: has one of them changed?"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["PERIOD_S", "Stamp", "Watch", "stamp_of"]

PERIOD_S: Final = 0.5

# Of a file: nanoseconds of its last change, bytes. None: it is not there.
Stamp = tuple[int, int] | None


def stamp_of(path: str) -> Stamp:
    try:
        found = os.stat(path)  # noqa: PTH116 (twice a second, for every file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


class Watch:
    """Looks at the files now and then. A file that is being written counts as changed once it has come to rest."""

    def __init__(self) -> None:
        self._loaded: dict[str, Stamp] = {}  # as they were before what is served now was loaded
        self._seen: dict[str, Stamp] = {}

    def changed(self) -> bool:
        """To be called every PERIOD_S: whether a file is another one than at the last `begin`, and at rest."""
        before, self._seen = self._seen, {path: stamp_of(path) for path in self._loaded}
        return self._seen != self._loaded and self._seen == before

    def begin(self) -> None:
        """What is there now is about to be loaded."""
        self._loaded = {path: stamp_of(path) for path in self._loaded}

    def look_at(self, files: Mapping[str, Sequence[int] | None]) -> None:
        """These are the files of what is served, with their stamps when it had been loaded (as JSON has them)."""
        told: dict[str, Stamp] = {path: (stamp[0], stamp[1]) if stamp else None for path, stamp in files.items()}
        self._loaded = {path: self._loaded.get(path, stamp) for path, stamp in told.items()}
