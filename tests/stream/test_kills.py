"""The stream's process is killed at random moments: nothing is lost, and what is repeated has the same id."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import PICKY
from tests.processes import wait_for
from tests.stream.brokers import Nats


def started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    (folder / "picky.py").write_text(PICKY)
    return subprocess.Popen([sys.executable, "-m", "twofold", "stream", "picky.py", *words], cwd=folder,
                            stderr=subprocess.PIPE)  # fmt: skip


class Feed:
    """Writes messages into a subject, one after the other, in a thread."""

    def __init__(self, server: Nats, topic: str, n_messages: int, pause_s: float) -> None:
        async def put(jetstream: Any) -> None:
            import asyncio

            for number in range(n_messages):
                await jetstream.publish(topic, b'{"number":%d}' % number)
                await asyncio.sleep(pause_s)

        self._thread = threading.Thread(target=server.run, args=[put])
        self._thread.start()

    def end(self) -> None:
        self._thread.join(60)


def stored(server: Nats, topic: str) -> list[dict[str, Any]]:
    """All messages of the stream of this name."""

    async def read(jetstream: Any) -> list[dict[str, Any]]:
        info = await jetstream.stream_info(topic)
        sequences = range(info.state.first_seq or 1, info.state.last_seq + 1)
        return [json.loads((await jetstream.get_msg(topic, sequence)).data) for sequence in sequences]

    found: list[dict[str, Any]] = server.run(read)
    return found


def kill_at_random(server: Nats, folder: Path, kills: int, n_messages: int, **sink: Any) -> list[dict[str, Any]]:
    """The answers in the sink after so many kills of the stream, and a last run that ends with SIGTERM."""
    server.make("numbers")
    server.run(lambda jetstream: jetstream.add_stream(name="out", subjects=["out"], **sink))
    server.make("out-dead")
    words = (server.place("numbers", "g"), server.place("out"))
    feed = Feed(server, "numbers", n_messages, kills * 0.6 / n_messages)
    chance = random.Random(8)
    for _ in range(kills):
        process = started(folder, *words)
        time.sleep(chance.uniform(0.4, 0.9))
        process.kill()
        process.communicate()
    feed.end()
    process = started(folder, *words)
    wait_for(lambda: len({each["number"] for each in stored(server, "out")}) == n_messages - 2, 60)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said.decode()
    assert b"messages" in said
    return stored(server, "out")


def check(server: Nats, found: list[dict[str, Any]], n_messages: int) -> None:
    once = {each["_id"]: each for each in found}
    assert {each["number"] for each in once.values()} == set(range(n_messages)) - {0, 13}
    assert len(once) == n_messages - 2
    assert all(each == once[each["_id"]] for each in found)
    assert {each["number"] for each in stored(server, "out-dead")} == {0, 13}


def test_killed_at_random_moments_nothing_is_lost_and_repeats_have_the_same_id(tmp_path: Path) -> None:
    """The window in which JetStream drops repeated ids is closed: they show."""
    server = Nats(tmp_path / "store")
    found = kill_at_random(server, tmp_path, 3, 300, duplicate_window=0.1)
    check(server, found, 300)
    server.close()


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_100_kills_and_each_answer_is_there_exactly_once(tmp_path: Path) -> None:
    """Within JetStream's window each answer is there once, in order."""
    server = Nats(tmp_path / "store")
    found = kill_at_random(server, tmp_path, 100, 5000)
    check(server, found, 5000)
    assert [each["number"] for each in found] == [n for n in range(5000) if n not in (0, 13)]
    server.close()


def test_a_broker_that_is_killed_and_started_again(tmp_path: Path) -> None:
    server = Nats(tmp_path / "store")
    for topic in ("numbers", "out", "out-dead"):
        server.make(topic)
    process = started(tmp_path, server.place("numbers", "g"), server.place("out"))
    Feed(server, "numbers", 50, 0).end()
    wait_for(lambda: len(stored(server, "out")) == 48)
    server.kill()
    time.sleep(0.3)
    server.start()
    Feed(server, "numbers", 50, 0).end()
    wait_for(lambda: len(stored(server, "out")) == 96)
    process.terminate()
    _, said = process.communicate(timeout=30)
    assert process.returncode == 0, said.decode()
    found = stored(server, "out")
    assert [each["number"] for each in found] == 2 * [n for n in range(50) if n not in (0, 13)]
    assert len({each["_id"] for each in found}) == 96
    server.close()
