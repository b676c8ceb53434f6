"""Stream loops written by hand, with the same client: one message a call, and all that arrived a call.

    python -m benchmarks.stream_loops plain|batched MODEL.onnx BROKERS SOURCE SINK MESSAGES

They check nothing, name nothing, put no message aside, and commit when they end.
"""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
import orjson
from confluent_kafka import Consumer, Producer


def main(how: str, model: str, brokers: str, source: str, sink: str, messages: str) -> None:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    consumer = Consumer({"bootstrap.servers": brokers, "group.id": how + sink, "auto.offset.reset": "earliest",
                         "enable.auto.commit": False, "fetch.wait.max.ms": 100})  # fmt: skip
    producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "linger.ms": 0,
                         "queue.buffering.max.messages": 1_000_000})  # fmt: skip
    consumer.subscribe([source])
    left, most = int(messages), 1 if how == "plain" else 1024
    while left > 0:
        first = consumer.poll(0.2)
        if first is None:
            continue
        found = [first, *consumer.consume(most - 1, 0)] if most > 1 else [first]
        rows = [orjson.loads(message.value() or b"") for message in found]
        features = np.array([row["features"] for row in rows], np.float32)
        scores = session.run(None, {"features": features})[0].reshape(-1).tolist()
        for message, row, score in zip(found, rows, scores, strict=True):
            row["prediction"] = score
            producer.produce(sink, orjson.dumps(row), message.key())
        producer.poll(0)
        left -= len(found)
    producer.flush()
    consumer.commit(asynchronous=False)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
