"""Kafka transactions: answers and offsets are committed together, and a later process fences an earlier one."""

from __future__ import annotations

import pytest

from tests.processes import wait_for
from tests.stream.brokers import Tansu
from twofold._errors import OutputError
from twofold._stream.messages import Letter, Taken
from twofold._stream.places import open_sink, open_source

pytestmark = pytest.mark.heavy


@pytest.mark.timeout(240)
def test_offsets_go_with_the_answers_and_the_earlier_process_is_fenced() -> None:
    server = Tansu()
    for topic in ("numbers", "out"):
        server.make(topic)
    feeding = open_sink(server.place("numbers"))
    feeding.send([Letter(b"%d" % n, f"f/{n}") for n in range(10)])
    source, first = open_source(server.place("numbers", "g")), open_sink(f"{server.place('out')}?transactions=t")

    def some() -> Taken | None:
        taken = source.receive(4, 0.2)
        return taken if taken is not None and taken.messages else None

    taken = wait_for(some, 60)
    assert taken is not None
    assert first.send([Letter(m.value, m.id) for m in taken.messages], source, taken.mark) is True
    second = open_sink(f"{server.place('out')}?transactions=t")
    assert second.send([Letter(b"a", "a")]) is False
    with pytest.raises(OutputError, match="fenced by a newer instance"):
        first.send([Letter(b"b", "b")], source, taken.mark)
    source.close()
    again = open_source(server.place("numbers", "g"))
    found = wait_for(lambda: (again.receive(100, 0.2) or Taken(())).messages, 60)
    assert next(message.value for message in found) == b"%d" % len(taken.messages)
    for each in (feeding, first, second, again):
        each.close()
    server.close()
