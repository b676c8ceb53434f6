"""The fraud model behind mosec, with its dynamic batching on; one process a worker.

python -m benchmarks.mosec_app WORKERS [--port PORT …mosec's own options]
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from mosec import Server, Worker

from benchmarks.ceiling import onnx_model
from benchmarks.processes import FRAUD

BATCH_ROWS, WAIT_MS = 64, 1


class Fraud(Worker):
    def __init__(self) -> None:
        super().__init__()
        row, self._predict = onnx_model(str(FRAUD))
        self._decode: Any = msgspec.json.Decoder(row).decode

    def deserialize(self, data: bytes) -> Any:
        return self._decode(data)

    def serialize(self, data: Any) -> bytes:
        found: bytes = data
        return found

    def forward(self, data: list[Any]) -> list[bytes]:
        return self._predict(data)


if __name__ == "__main__":
    workers = int(sys.argv.pop(1))
    server = Server()
    server.append_worker(Fraud, num=workers, max_batch_size=BATCH_ROWS, max_wait_time=WAIT_MS, route="/predict")
    server.run()
