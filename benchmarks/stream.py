"""CPU of a message of a stream: `twofold stream` beside loops written by hand with the same client.

    python -m benchmarks.stream [MESSAGES]

The fraud model, JSON messages of 30 numbers, librdkafka's mock cluster in this process. A side's CPU is that of its
process for MESSAGES messages, less that for a tenth of them: starting is not counted. The median of three rounds; each
takes half a minute.
"""

from __future__ import annotations

import json
import resource
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MODEL = str(Path(__file__).parent.parent / "examples" / "fraud" / "fraud.onnx")
ROUNDS = 3


def cluster() -> tuple[Any, str]:
    """A producer that keeps the cluster, and the cluster's addresses."""
    from confluent_kafka import Producer

    keeper = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "x", "queue.buffering.max.messages": 10**6})
    brokers = keeper.list_topics(timeout=10).brokers.values()
    return keeper, ",".join(f"{each.host}:{each.port}" for each in brokers)


def fill(keeper: Any, topic: str, n_messages: int) -> None:
    import numpy as np

    rows = np.random.default_rng(1).random((1000, 30), np.float32).round(6).tolist()
    texts = [json.dumps({"features": row, "merchant": "m-17"}) for row in rows]
    for number in range(n_messages):
        keeper.produce(topic, texts[number % 1000], str(number % 64))
        if number % 10_000 == 0:
            keeper.poll(0)
    keeper.flush()


def stored(consumer: Any, topic: str) -> int:
    from confluent_kafka import TopicPartition

    partitions = consumer.list_topics(topic, timeout=10).topics[topic].partitions
    return sum(consumer.get_watermark_offsets(TopicPartition(topic, at), timeout=10)[1] for at in partitions)


def cpu_s(side: str, brokers: str, source: str, sink: str, n_messages: int) -> float:
    """The CPU that a process of this side takes to answer all messages of `source`, start and end included."""
    from confluent_kafka import Consumer

    asking = Consumer({"bootstrap.servers": brokers, "group.id": "asking"})
    if side == "twofold":
        url = f"kafka://{brokers}/"
        command = ["twofold", "stream", MODEL, f"{url}{source}?group={sink}", f"{url}{sink}"]
    else:
        command = ["benchmarks.stream_loops", side, MODEL, brokers, source, sink, str(n_messages)]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.Popen([sys.executable, "-m", *command], stderr=subprocess.DEVNULL)
    while process.poll() is None and stored(asking, sink) < n_messages:
        time.sleep(0.2)
    if side == "twofold":
        process.send_signal(signal.SIGTERM)
    process.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if stored(asking, sink) != n_messages:
        raise SystemExit(f"{side}: {stored(asking, sink)} answers, not {n_messages}")
    asking.close()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main(n_messages: int) -> None:
    keeper, brokers = cluster()
    few = n_messages // 10
    fill(keeper, "few", few)
    fill(keeper, "many", n_messages)
    found: dict[str, list[float]] = {"plain": [], "batched": [], "twofold": []}
    for number in range(ROUNDS):
        for side, costs in found.items():
            start = cpu_s(side, brokers, "few", f"few-{side}-{number}", few)
            whole = cpu_s(side, brokers, "many", f"many-{side}-{number}", n_messages)
            costs.append((whole - start) / (n_messages - few) * 1e6)
    for side, costs in found.items():
        print(
            f"{side:8} {statistics.median(costs):6.1f} us of CPU a message   ({', '.join(f'{c:.1f}' for c in costs)})"
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000)
