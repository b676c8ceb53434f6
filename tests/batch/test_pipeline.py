"""Reading ahead and writing behind: what is left early is left at once."""

import queue
import threading
import time
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
        for _ in ahead(items(), "reading ahead"):
            waits.wait()
            break
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

    given = ahead(items(), "reading ahead")
    assert [next(given) for _ in range(20)] == list(range(20))
    with pytest.raises(ValueError, match="broken at 20"):
        next(given)


def test_an_error_behind_is_raised_at_the_next_item_or_when_leaving() -> None:
    def write(item: int) -> None:
        if item == 1:
            raise OSError("disk full")

    def put_many() -> None:
        with behind(write, "writing behind") as put:
            for item in range(10):
                put(item)

    with pytest.raises(OSError, match="disk full"):
        put_many()


def test_at_most_one_item_waits() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for n in range(20):
            made.append(n)
            yield n

    for n in ahead(items(), "reading ahead"):
        time.sleep(0.001)
        assert len(made) <= n + 4


def test_leaving_waits_for_the_work_behind() -> None:
    done: list[int] = []

    def work(item: int) -> None:
        time.sleep(0.002)
        done.append(item)

    with behind(work, "writing behind") as put:
        for n in range(10):
            put(n)
    assert done == list(range(10))


def test_a_failure_behind_is_told_while_nothing_more_comes() -> None:
    told = threading.Event()

    def work(item: int) -> None:
        raise OSError(f"no room for {item}")

    def put_one() -> None:
        with behind(work, "writing behind", lambda error: told.set()) as put:
            put(7)
            assert told.wait(10)

    with pytest.raises(OSError, match="no room for 7"):
        put_one()


def test_an_error_in_front_drops_what_waits() -> None:
    begun: list[int] = []

    def work(item: int) -> None:
        begun.append(item)
        time.sleep(0.02)

    def put_and_fail() -> None:
        with behind(work, "writing behind") as put:
            put(1)
            raise KeyError

    with pytest.raises(KeyError):
        put_and_fail()
    assert begun in ([], [1])
