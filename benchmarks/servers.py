"""The servers that are measured, each as a process of its own on a free port."""

from __future__ import annotations

import http.client
import json
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from benchmarks.processes import EVEN, FRAUD, TWOFOLD

__all__ = [
    "FASTAPI",
    "HAND",
    "MOSEC",
    "OURS",
    "Server",
    "check_equal",
    "free_port",
    "predictions",
    "running",
    "serving",
    "started",
]

OURS, HAND, FASTAPI, MOSEC = "twofold", "by hand", "FastAPI", "mosec"
START_S = 30.0


@dataclass(frozen=True)
class Server:
    port: int
    path: str
    pid: int
    first_answer_s: float
    """Seconds from its start to its first right answer."""


def _command(side: str, kind: str, port: int, workers: int) -> tuple[list[str], str]:
    """The command, and the path that it answers on."""
    if side == OURS:
        model = str(EVEN if kind == "even" else FRAUD)
        how = ["--port", str(port), "--inline", "--workers", str(workers)]
        return [*TWOFOLD, "serve", model, *how], "/predict"
    if side == HAND:
        return [sys.executable, "-m", "benchmarks.ceiling", str(port), kind], "/predict"
    if side == MOSEC:
        how = ["--port", str(port), "--log-level", "warning"]
        return [sys.executable, "-m", "benchmarks.mosec_app", str(workers), *how], "/predict"
    how = ["--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", "benchmarks.fastapi_app:app", *how], f"/{kind}"


@contextmanager
def running(side: str, kind: str, body: bytes, workers: int = 1) -> Iterator[Server]:
    """A server of the model `kind` (even, fraud) that has answered `body`. FastAPI's processes each load the model."""
    port = free_port()
    command, path = _command(side, kind, port, workers)
    with started(command, port, path, body) as server:
        yield server


@contextmanager
def serving(model: str, body: bytes, *options: str) -> Iterator[Server]:
    """`twofold serve` of this model, with these options, that has answered `body`."""
    port = free_port()
    with started([*TWOFOLD, "serve", model, "--port", str(port), *options], port, "/predict", body) as server:
        yield server


@contextmanager
def started(command: Sequence[str], port: int, path: str, body: bytes) -> Iterator[Server]:
    """A server by its command, from its first right answer on."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            while not _answers(port, path, body):
                if process.poll() is not None or time.perf_counter() - began > START_S:
                    raise SystemExit(f"{' '.join(command)} does not answer")
                time.sleep(0.005)
            yield Server(port, path, process.pid, time.perf_counter() - began)
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()


def predictions(server: Server, bodies: Sequence[bytes]) -> list[Any]:
    """What it answers to these requests, one after the other: `prediction`, or the data of the only tensor."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    found = []
    for body in bodies:
        connection.request("POST", server.path, body, {"Content-Type": "application/json"})
        answer = json.loads(connection.getresponse().read())
        found.append(answer["prediction"] if "prediction" in answer else answer["outputs"][0]["data"][0])
    connection.close()
    return found


def check_equal(answers: Mapping[str, Sequence[Any]]) -> None:
    """Ends this program where two sides answer the same requests with other values (of numbers: float32)."""
    kept = {side: [_float32(value) for value in values] for side, values in answers.items()}
    first = next(iter(kept))
    for side, values in kept.items():
        if values != kept[first]:
            raise SystemExit(f"{side} does not answer as {first} does: {values[:3]}, {kept[first][:3]}")


def _float32(value: Any) -> Any:
    return struct.pack("f", value) if isinstance(value, float) else value


def _answers(port: int, path: str, body: bytes) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        return answer.status == 200 and any(word in content for word in (b'"prediction"', b'"outputs"'))
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
