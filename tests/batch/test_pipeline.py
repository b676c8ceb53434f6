"""Reading ahead and writing behind: what is left early is left at once."""

import queue
import threading
from collections.abc import Iterator

import pytest

from twofold._batch.pipeline import ahead, behind


def test_who_leaves_early_does_not_wait_for_an_item_that_may_never_come() -> None:
    coming: queue.SimpleQueue[int] = queue.SimpleQueue()
    waits = threading.Event()

    def items() -> Iterator[int]:
        yield 1
        waits.set()
        yield coming.get()

    left = threading.Event()

    def lane() -> None:
        with pytest.raises(ValueError, match="the model is broken"):
            for _ in ahead(items(), "reading ahead"):
                waits.wait()
                raise ValueError("the model is broken")
        left.set()

    thread = threading.Thread(target=lane, daemon=True)
    thread.start()
    assert left.wait(5)
    coming.put(2)  # the reading thread finds that nobody wants it, and ends
    thread.join()


def test_items_come_in_order_and_an_error_in_its_turn() -> None:
    def items() -> Iterator[int]:
        yield from range(20)
        raise ValueError("broken at 20")

    seen = []
    with pytest.raises(ValueError, match="broken at 20"):
        for item in ahead(items(), "reading ahead"):
            seen.append(item)
    assert seen == list(range(20))


def test_an_error_behind_is_raised_at_the_next_item_or_when_leaving() -> None:
    def write(item: int) -> None:
        if item == 1:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), behind(write, "writing behind") as put:
        for item in range(10):
            put(item)
