"""The loop over the broker in memory: what is committed has been acknowledged, in order, and nothing is lost."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

import twofold
from tests.processes import wait_for
from twofold._errors import OutputError, RunStopped
from twofold._model import load
from twofold._options import StreamOptions
from twofold._runner import Runner
from twofold._stream.counts import Counts
from twofold._stream.memory import MemoryBroker, MemorySink
from twofold._stream.messages import Letter, Sink
from twofold._stream.run import Compute, answer_messages


@twofold.model
def parity(number: int) -> str:
    if number == 13:
        raise twofold.BadRow("thirteen is unlucky")
    return "Even" if number % 2 == 0 else "Odd"


RUNNER = Runner(load(parity))


class Running:
    """A stream from "in" to "out" and "out-dead" in a thread, until `stop`."""

    def __init__(
        self, broker: MemoryBroker, sink: Sink | None = None, compute: Compute = RUNNER.run, **options: Any
    ) -> None:
        self.counts = Counts()
        self.error: BaseException | None = None
        self._stop = threading.Event()
        self.source = broker.source("in")
        sink = sink or broker.sink("out")
        settings = StreamOptions(**options)

        def run() -> None:
            try:
                answer_messages(
                    RUNNER.signature, compute, self.source, sink, broker.sink("out-dead"), settings, self.counts,
                    self._stop.is_set,
                )  # fmt: skip
            except BaseException as error:
                self.error = error

        self.thread = threading.Thread(target=run)
        self.thread.start()

    def stop(self) -> None:
        self._stop.set()
        self.thread.join(30)
        if self.error is not None:
            raise self.error


class Sinking(MemorySink):
    """Calls `before` before it acknowledges."""

    def __init__(self, broker: MemoryBroker, before: Callable[[Sequence[Letter]], object]) -> None:
        super().__init__(broker, "out")
        self._before = before

    def send(self, letters: Sequence[Letter], *given: Any) -> bool:
        self._before(letters)
        return super().send(letters, *given)


def put(broker: MemoryBroker, *numbers: int) -> None:
    for number in numbers:
        broker.put("in", b'{"number":%d}' % number, b"%d" % (number % 3))


def numbers_of(values: Sequence[bytes]) -> list[int]:
    return [json.loads(value)["number"] for value in values]


def test_all_are_answered_in_order_and_committed() -> None:
    broker = MemoryBroker()
    put(broker, *range(20))
    running = Running(broker, batch_rows=3)
    wait_for(lambda: len(broker.values("out")) == 19)
    put(broker, 20)
    wait_for(lambda: broker.committed("in", "twofold") == [21])
    running.stop()
    assert numbers_of(broker.values("out")) == [n for n in range(21) if n != 13]
    assert numbers_of(broker.values("out-dead")) == [13]
    assert running.counts.to_json() | {"seconds": 0, "messages_per_second": 0} == {
        "messages": 21, "answered": 20, "dead_letters": 1, "seconds": 0, "messages_per_second": 0,
    }  # fmt: skip


def test_the_order_of_each_key_is_kept_over_partitions() -> None:
    broker = MemoryBroker(partitions=4)
    put(broker, *[n for n in range(200) if n != 13])
    running = Running(broker, batch_rows=7)
    wait_for(lambda: len(broker.values("out")) == 199)
    running.stop()
    for partition in broker.topic("out"):
        for key in (b"0", b"1", b"2"):
            found = numbers_of([message.value for message in partition if message.key == key])
            assert found == sorted(found)


def test_nothing_is_committed_that_was_not_acknowledged() -> None:
    broker = MemoryBroker()
    put(broker, 1, 2, 3)
    go_on = threading.Event()
    running = Running(broker, Sinking(broker, lambda _: go_on.wait(20)), batch_rows=1)
    time.sleep(0.1)
    assert broker.committed("in", "twofold") == [0]
    go_on.set()
    wait_for(lambda: broker.committed("in", "twofold") == [3])
    running.stop()


def test_a_sink_that_fails_ends_the_stream_and_the_next_start_sends_the_same_ids() -> None:
    broker = MemoryBroker()
    put(broker, *range(10))
    seen: list[str] = []

    def fail(letters: Sequence[Letter]) -> None:
        seen.extend(letter.id for letter in letters)
        if len(seen) > 6:
            raise OutputError("the topic is gone")

    running = Running(broker, Sinking(broker, fail), batch_rows=2)
    running.thread.join(20)
    assert isinstance(running.error, OutputError)
    assert broker.committed("in", "twofold") == [6]
    again: list[str] = []
    running = Running(broker, Sinking(broker, lambda letters: again.extend(letter.id for letter in letters)))
    wait_for(lambda: broker.committed("in", "twofold") == [10])
    running.stop()
    assert numbers_of(broker.values("out")) == list(range(10))
    assert again[:2] == seen[6:8]


def test_while_the_sink_is_slow_little_is_read_and_the_source_is_kept_alive() -> None:
    broker = MemoryBroker()
    put(broker, *range(100))
    go_on = threading.Event()
    running = Running(broker, Sinking(broker, lambda _: go_on.wait(20)), batch_rows=2)
    asked: list[int] = []
    receive = running.source.receive
    running.source.receive = lambda most, wait_s: asked.append(most) or receive(most, wait_s)  # type: ignore[func-returns-value, method-assign]
    wait_for(lambda: 0 in asked)
    assert running.source.lag() is not None
    assert running.source.lag() >= 90  # type: ignore[operator]
    go_on.set()
    wait_for(lambda: len(broker.values("out")) == 99)
    running.stop()


def test_before_a_partition_is_given_up_what_is_in_flight_is_committed() -> None:
    broker = MemoryBroker()
    put(broker, 1, 2, 3)
    running = Running(broker, Sinking(broker, lambda _: time.sleep(0.05)), batch_rows=1)
    wait_for(lambda: not running.source.lag())
    assert running.source.before_loss() is True
    received = sum(running.source._next)
    assert broker.committed("in", "twofold")[0] >= received - 1
    running.stop()
    assert broker.committed("in", "twofold") == [3]


def test_stopping_finishes_what_is_in_flight() -> None:
    broker = MemoryBroker()
    put(broker, *range(8))
    running = Running(broker, Sinking(broker, lambda _: time.sleep(0.05)), batch_rows=2)
    wait_for(lambda: broker.values("out"))
    running.stop()
    assert broker.committed("in", "twofold") == [len(broker.values("out"))]


def test_a_sink_that_hangs_does_not_hold_up_the_end_for_ever() -> None:
    broker = MemoryBroker()
    put(broker, 1)
    go_on = threading.Event()
    running = Running(broker, Sinking(broker, lambda _: go_on.wait(20)), drain_timeout_s=0.1)
    wait_for(lambda: not running.source.lag())
    with pytest.raises(RunStopped, match=r"could not be delivered within 0.1 s. Nothing of it was committed"):
        running.stop()
    go_on.set()


def test_what_arrived_while_the_model_was_busy_is_one_call() -> None:
    broker = MemoryBroker()
    sizes: list[int] = []

    def compute(batch: Any) -> Any:
        sizes.append(batch.n_rows)
        if len(sizes) == 1:
            put(broker, *range(1, 8))
        return RUNNER.run(batch)

    put(broker, 0)
    running = Running(broker, compute=compute)
    wait_for(lambda: len(broker.values("out")) == 8)
    running.stop()
    assert sizes == [1, 7]
