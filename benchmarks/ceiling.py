"""The ceiling: the least a Python server can do for `POST /predict`, written by hand for one model.

An asyncio.Protocol on uvloop, httptools and msgspec. It collects the rows of one tick of the event loop and runs the
model in it. No other routes, no limits, no deadlines, no errors, no checks: what twofold's server costs beyond this is
the price of everything it does for its users.

    python benchmarks/ceiling.py parity 8001
    python benchmarks/ceiling.py fraud.onnx 8001        one input "features" [N, k], one output "probability"
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import httptools
import msgspec
import uvloop

Rows = list[Any]


class Number(msgspec.Struct):
    number: int


class Features(msgspec.Struct):
    features: list[float]


class Label(msgspec.Struct):
    prediction: str


class Probability(msgspec.Struct):
    probability: float


def parity(rows: Rows) -> Rows:
    return [Label("Even" if row.number % 2 == 0 else "Odd") for row in rows]


def onnx_model(path: str) -> Callable[[Rows], Rows]:
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    outputs = [session.get_outputs()[-1].name]

    def predict(rows: Rows) -> Rows:
        features = np.array([row.features for row in rows], dtype=np.float32)
        return [Probability(p) for p in session.run(outputs, {"features": features})[0].ravel().tolist()]

    return predict


class Gatherer:
    """The rows of this tick, and where their answers go."""

    def __init__(self, predict: Callable[[Rows], Rows], row_type: type) -> None:
        self.loop = asyncio.get_running_loop()
        self.predict = predict
        self.decode: Callable[[bytes], Any] = msgspec.json.Decoder(row_type).decode
        self.encode = msgspec.json.Encoder().encode
        self.waiting: list[tuple[asyncio.Transport, Any]] = []

    def add(self, transport: asyncio.Transport, body: bytes) -> None:
        if not self.waiting:
            self.loop.call_soon(self.run)
        self.waiting.append((transport, self.decode(body)))

    def run(self) -> None:
        waiting, self.waiting = self.waiting, []
        for (transport, _), answer in zip(waiting, self.predict([row for _, row in waiting]), strict=True):
            text = self.encode(answer)
            transport.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text)
            )


class Connection(asyncio.Protocol):
    def __init__(self, gatherer: Gatherer) -> None:
        self.gatherer = gatherer
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.gatherer.add(self.transport, self.body)
        self.body = b""


async def main(model: str, port: int) -> None:
    gatherer = Gatherer(parity, Number) if model == "parity" else Gatherer(onnx_model(model), Features)
    server = await asyncio.get_running_loop().create_server(lambda: Connection(gatherer), "127.0.0.1", port)
    print(f"http://127.0.0.1:{port}", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2])))
