"""Readers that can only go forward, kept open between splits.

A compressed file, or a row group that was cut, has no way in but from its start. So a process that has read one split
keeps the reader where that split ended; the next split of the file goes on from there instead of from the start.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import Final, Protocol, TypeVar, cast

from twofold._batch.opening import identity_of

__all__ = ["Cursor", "borrowed", "identity"]

MAX_IDLE: Final = 8


class Cursor(Protocol):
    """A reader that is open. `row` is the next row it gives; `done`: there are no more."""

    row: int
    done: bool

    def close(self) -> None: ...


C = TypeVar("C", bound=Cursor)

_idle: list[tuple[Hashable, Cursor]] = []
_lock = threading.Lock()


def identity(path: str) -> Hashable:
    """A file as it is now: one that is written again is another."""
    return path, *identity_of(path)


@contextmanager
def borrowed(key: Hashable, row: int, opened: Callable[[], C]) -> Iterator[C]:
    """An idle cursor of this key that has not passed `row` (of several, the one nearest to it), or a new one.

    It is idle again afterwards, unless something went wrong or it is done.
    """
    # What is kept under a key was opened for that key.
    cursor = cast("C | None", _take(key, row)) or opened()
    try:
        yield cursor
    except BaseException:
        cursor.close()
        raise
    if cursor.done:
        cursor.close()
        return
    with _lock:
        _idle.append((key, cursor))
        oldest = _idle.pop(0)[1] if len(_idle) > MAX_IDLE else None
    if oldest is not None:
        oldest.close()


def _take(key: Hashable, row: int) -> Cursor | None:
    with _lock:
        found = [cursor for other, cursor in _idle if other == key and cursor.row <= row]
        if not found:
            return None
        best = max(found, key=lambda cursor: cursor.row)
        _idle[:] = [(other, cursor) for other, cursor in _idle if cursor is not best]
        return best
