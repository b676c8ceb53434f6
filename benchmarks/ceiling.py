"""The ceiling: the least server that answers the same requests with the same model.

An asyncio.Protocol on uvloop with httptools and msgspec; the rows of one event-loop tick make one call. No headers but
the length, no deadline, no limits, no errors: what `twofold serve` costs beyond this is the price of a real server.

    python -m benchmarks.ceiling PORT even|fraud     prints "ready" when it listens
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import Any

import httptools
import msgspec
import uvloop

from benchmarks.processes import FRAUD

Predict = Callable[[list[Any]], list[bytes]]  # decoded rows -> the bodies of their answers


def onnx_model(path: str) -> tuple[type, Predict]:
    """A model with one input `features` float32[rows, k] and one output of shape [rows] or [rows, 1]."""
    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    row = msgspec.defstruct("row", [(name, list[float])])
    encode = msgspec.json.Encoder().encode

    def predict(rows: list[Any]) -> list[bytes]:
        features = np.array([getattr(r, name) for r in rows], dtype=np.float32)
        values = session.run(None, {name: features})[0].reshape(len(rows))
        return [encode({"prediction": float(str(value))}) for value in values]

    return row, predict


def even_model() -> tuple[type, Predict]:
    """The even/odd example."""
    row = msgspec.defstruct("row", [("number", int)])
    encode = msgspec.json.Encoder().encode

    def predict(rows: list[Any]) -> list[bytes]:
        return [encode({"prediction": "Even" if r.number % 2 == 0 else "Odd"}) for r in rows]

    return row, predict


class Ceiling(asyncio.Protocol):
    waiting: list[tuple[Any, asyncio.Transport]] = []  # noqa: RUF012 - shared by all connections on purpose
    decoder: msgspec.json.Decoder[Any]
    predict: Predict

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport
        self.parser = httptools.HttpRequestParser(self)
        self.body = b""

    def data_received(self, data: bytes) -> None:
        self.parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        row, self.body = self.decoder.decode(self.body), b""
        if not self.waiting:
            asyncio.get_running_loop().call_soon(self.answer)
        self.waiting.append((row, self.transport))

    @classmethod
    def answer(cls) -> None:
        waiting, cls.waiting = cls.waiting, []
        bodies = cls.predict([row for row, _ in waiting])
        for (_, transport), body in zip(waiting, bodies, strict=True):
            transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


async def listen(port: int, model: str) -> None:
    row, predict = even_model() if model == "even" else onnx_model(str(FRAUD))
    Ceiling.decoder, Ceiling.predict = msgspec.json.Decoder(row), staticmethod(predict)
    server = await asyncio.get_running_loop().create_server(Ceiling, "127.0.0.1", port)
    print("ready", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(listen(int(sys.argv[1]), sys.argv[2]))
