"""What every broker does behind the one interface: the one in memory, NATS from its wheel, Kafka's mock cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tests.processes import wait_for
from tests.stream.brokers import Kafka, Nats
from twofold._errors import InputError, OutputError, UsageError
from twofold._stream.memory import MemoryBroker
from twofold._stream.messages import Letter, Message, Sink, Source
from twofold._stream.places import open_sink, open_source


class Broker(Protocol):
    def source(self, topic: str, group: str) -> Source: ...
    def sink(self, topic: str) -> Sink: ...


class ByPlace:
    def __init__(self, server: Nats | Kafka) -> None:
        self.server = server
        self._opened: list[Source | Sink] = []

    def source(self, topic: str, group: str) -> Source:
        self.server.make(topic)
        source = open_source(self.server.place(topic, group))
        self._opened.append(source)
        return source

    def sink(self, topic: str) -> Sink:
        self.server.make(topic)
        sink = open_sink(self.server.place(topic))
        self._opened.append(sink)
        return sink

    def close(self) -> None:
        for each in self._opened:
            each.close()
        self.server.close()


@pytest.fixture(params=["memory", "nats", pytest.param("kafka", marks=pytest.mark.heavy)])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    if request.param == "memory":
        yield MemoryBroker()
        return
    found = ByPlace(Nats(tmp_path) if request.param == "nats" else Kafka(tmp_path))
    yield found
    found.close()


def read(source: Source, n_messages: int, most: int = 100) -> tuple[list[Message], object]:
    """So many messages, and the last mark."""
    found: list[Message] = []
    mark = None
    until = time.monotonic() + 30
    while len(found) < n_messages and time.monotonic() < until:
        taken = source.receive(min(most, n_messages - len(found)), 0.2)
        assert taken is not None
        if taken.messages:
            found += taken.messages
            mark = taken.mark
    return found, mark


def letters(*numbers: int) -> list[Letter]:
    return [Letter(b'{"number":%d}' % n, f"in/0/{n}", b"k", (("from", b"test"),)) for n in numbers]


def test_what_is_sent_is_received_in_order_with_key_and_headers(broker: Broker) -> None:
    sink, source = broker.sink("numbers"), broker.source("numbers", "g")
    began = time.time()
    assert sink.send(letters(*range(50))) is False
    found, _ = read(source, 50, most=7)
    assert [message.value for message in found] == [b'{"number":%d}' % n for n in range(50)]
    assert len({message.id for message in found}) == 50
    assert {message.key for message in found} == {b"k"}
    assert all(("from", b"test") in message.headers for message in found)
    assert all(began - 1 <= message.at <= time.time() + 1 for message in found)


def test_nothing_there_is_no_message_within_the_wait(broker: Broker) -> None:
    source = broker.source("numbers", "g")
    for _ in range(2):
        taken = source.receive(10, 0.05)
        assert taken is not None
        assert list(taken.messages) == []
    taken = source.receive(0, 0)
    assert taken is not None
    assert list(taken.messages) == []


def test_another_reader_of_the_group_goes_on_at_the_commit_and_sees_the_same_ids(broker: Broker) -> None:
    sink = broker.sink("numbers")
    sink.send(letters(*range(10)))
    first = broker.source("numbers", "g")
    found, mark = read(first, 4, most=4)
    first.commit(mark)
    rest, _ = read(first, 6)
    first.close()
    again, _ = read(broker.source("numbers", "g"), 6)
    assert [(m.id, m.value) for m in again] == [(m.id, m.value) for m in rest]
    other, _ = read(broker.source("numbers", "other"), 10)
    assert [m.id for m in other] == [m.id for m in (*found, *rest)]


def test_lag_is_what_was_not_received(broker: Broker) -> None:
    sink, source = broker.sink("numbers"), broker.source("numbers", "g")
    sink.send(letters(*range(10)))
    read(source, 10, most=10)
    wait_for(lambda: source.receive(10, 0.01) and source.lag() == 0)


def test_what_comes_does_not_wait_for_more(broker: Broker) -> None:
    """`receive` of many gives one message as soon as it is there."""
    sink, source = broker.sink("numbers"), broker.source("numbers", "g")
    sink.send(letters(0))
    read(source, 1, most=1000)  # the group has been joined
    sink.send(letters(1))
    began = time.monotonic()
    found, _ = read(source, 1, most=1000)
    assert len(found) == 1
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nats://127.0.0.1:1/t", "needs group="),
        ("kafka:///t?group=a", "names no server and topic"),
        ("amqp://h/t?group=a", "there is no amqp://"),
        ("numbers.jsonl", "names no server and topic"),
        ("nats://127.0.0.1:1/t?group=a&from=middle", "it is start or end"),
        ("nats://127.0.0.1:1/t?group=a&batch=5", "there is no setting 'batch'"),
    ],
)
def test_a_wrong_source_names_the_option_and_what_it_takes(text: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        open_source(text)


def test_a_server_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    import twofold._stream.nats as nats

    monkeypatch.setattr(nats, "CONNECT_S", 0.5)
    with pytest.raises(InputError, match=r"SOURCE: no NATS server answers at 127.0.0.1:1: .* Is it running"):
        open_source("nats://127.0.0.1:1/t?group=a")
    with pytest.raises(OutputError, match=r"--dead-letters: no NATS server answers at 127.0.0.1:1: "):
        open_sink("nats://u:secret@127.0.0.1:1/t", "--dead-letters")


def test_a_subject_that_no_stream_holds(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    with pytest.raises(InputError, match=r"no stream of the NATS server holds the subject 'nowhere'. Create one"):
        open_source(server.place("nowhere", "g"))
    with pytest.raises(OutputError, match="SINK: no stream of the NATS server holds the subject 'nowhere'"):
        open_sink(server.place("nowhere"))
    server.close()


def test_nats_keeps_an_answer_once_and_lets_one_process_of_a_group_commit(tmp_path: Path) -> None:
    server = Nats(tmp_path)
    broker = ByPlace(server)
    sink = broker.sink("numbers")
    sink.send(letters(0, 1, 2))
    sink.send(letters(1, 2, 3))  # what a restart sends again
    one, two = broker.source("numbers", "g"), broker.source("numbers", "g")
    found, mark = read(one, 4)
    assert [m.value for m in found] == [b'{"number":%d}' % n for n in range(4)]
    read(two, 4)
    one.commit(mark)
    with pytest.raises(InputError, match="another process reads 'numbers' for the same group"):
        two.commit(mark)
    broker.close()
