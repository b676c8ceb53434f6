"""Three stages at once: reading ahead, the work itself in the calling thread, writing behind.

At most one finished item waits between two stages, so that memory is bounded by the items in hand.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

__all__ = ["ahead", "behind"]

T = TypeVar("T")
WAITING_ITEMS = 1


class _Stopped(Exception):
    """The other side needs no more."""


class _Failed:
    def __init__(self, error: BaseException) -> None:
        self.error = error


_END: Any = object()


class _Pipe(Generic[T]):
    """A bounded queue that can be closed while somebody waits to put."""

    def __init__(self) -> None:
        self._items: deque[Any] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, item: Any) -> None:
        with self._changed:
            while len(self._items) >= WAITING_ITEMS and not self._closed:
                self._changed.wait()
            if self._closed:
                raise _Stopped
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> Any:
        with self._changed:
            while not self._items and not self._closed:
                self._changed.wait()
            if not self._items:
                return _END
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """Drop what waits; who puts is stopped, who gets is told that this is the end."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify_all()


def ahead(items: Iterator[T], name: str) -> Iterator[T]:
    """The same items, made in a thread that is one ahead. What it raises is raised here, in its turn.

    Who leaves early does not wait for the thread: it may itself wait for something that never comes.
    """
    pipe: _Pipe[T] = _Pipe()

    def make() -> None:
        try:
            for item in items:
                pipe.put(item)
            pipe.put(_END)
        except _Stopped:
            pass
        except BaseException as error:
            try:
                pipe.put(_Failed(error))
            except _Stopped:
                pass

    thread = threading.Thread(target=make, name=name, daemon=True)
    thread.start()
    try:
        while (item := pipe.get()) is not _END:
            if isinstance(item, _Failed):
                raise item.error
            yield item
        thread.join()
    finally:
        pipe.close()


@contextmanager
def behind(
    work: Callable[[T], None], name: str, on_failure: Callable[[BaseException], None] | None = None
) -> Iterator[Callable[[T], None]]:
    """Gives a function that hands an item to `work`, which runs in a thread; leaving waits until all are done.

    What `work` raises is raised at the next item, or when leaving; it is not called again after that. `on_failure` is
    told at once, in that thread: the next item may be long in coming.
    """
    pipe: _Pipe[T] = _Pipe()
    failed: list[BaseException] = []

    def consume() -> None:
        try:
            while (item := pipe.get()) is not _END:
                work(item)
        except BaseException as error:
            failed.append(error)
            pipe.close()
            if on_failure is not None:
                on_failure(error)

    thread = threading.Thread(target=consume, name=name, daemon=True)
    thread.start()

    def put(item: T) -> None:
        try:
            pipe.put(item)
        except _Stopped:
            raise failed[0] from None

    try:
        yield put
        put(_END)
    except BaseException:
        pipe.close()  # what waits is dropped; what is being written comes to its end
        raise
    finally:
        thread.join()
    if failed:
        raise failed[0]
