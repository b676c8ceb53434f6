"""What Kafka adds: partitions that change hands, while processes are killed. On librdkafka's mock cluster."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.commands import PICKY
from tests.stream.brokers import Kafka
from twofold._stream.messages import Letter, Message, Source
from twofold._stream.places import open_sink, open_source

pytestmark = pytest.mark.heavy


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Kafka]:
    found = Kafka(tmp_path)
    for topic in ("numbers", "out", "out-dead"):
        found.make(topic)
    yield found
    found.close()


def feed(server: Kafka, numbers: range) -> None:
    sink = open_sink(server.place("numbers"))
    sink.send([Letter(b'{"number":%d}' % n, f"f/{n}", b"%d" % (n % 5)) for n in numbers])
    sink.close()


def take(source: Source, n_messages: int, timeout_s: float = 30) -> list[Message]:
    found: list[Message] = []
    until = time.monotonic() + timeout_s
    while len(found) < n_messages and time.monotonic() < until:
        taken = source.receive(1000, 0.2)
        assert taken is not None
        found += taken.messages
    return found


def started(server: Kafka, folder: Path, sink: str = "out") -> subprocess.Popen[bytes]:
    (folder / "picky.py").write_text(PICKY)
    words = ["stream", "picky.py", server.place("numbers", "g"), server.place(sink)]
    return subprocess.Popen([sys.executable, "-m", "twofold", *words], cwd=folder, stderr=subprocess.PIPE)


@pytest.mark.timeout(240)
def test_killed_and_rebalanced_nothing_is_lost_and_repeats_have_the_same_id(server: Kafka, tmp_path: Path) -> None:
    answers = open_source(server.place("out", "reader"))
    dead = open_source(server.place("out-dead", "reader"))
    found: list[Message] = []
    first = started(server, tmp_path)
    for step in range(4):
        feed(server, range(100 * step, 100 * step + 100))
        if step == 1:
            second = started(server, tmp_path)  # takes over some of the partitions
        found += take(answers, 40)
        if step in (0, 2):
            (first if step == 0 else second).kill()
            (first if step == 0 else second).communicate()
            if step == 0:
                first = started(server, tmp_path)
    until = time.monotonic() + 60
    while len({m.value for m in found}) < 398 and time.monotonic() < until:
        found += take(answers, 1, 1)
    first.terminate()
    _, said = first.communicate(timeout=60)
    assert first.returncode == 0, said.decode()
    rows = [json.loads(message.value) for message in found]
    once = {row["_id"]: row for row in rows}
    assert {row["number"] for row in once.values()} == set(range(400)) - {0, 13}
    assert len(once) == 398
    assert all(row == once[row["_id"]] for row in rows)
    assert {json.loads(m.value)["number"] for m in take(dead, 2)} == {0, 13}
    assert {m.headers[-1][1].decode() for m in found} == set(once)
    answers.close()
    dead.close()
