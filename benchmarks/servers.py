"""The servers that are measured, each as a process of its own on a free port."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.processes import EVEN, FRAUD, TWOFOLD

__all__ = ["FASTAPI", "HAND", "OURS", "Server", "running"]

OURS, HAND, FASTAPI = "twofold", "by hand", "FastAPI"
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
    how = ["--port", str(port), "--workers", str(workers), "--no-access-log", "--log-level", "warning"]
    return [sys.executable, "-m", "uvicorn", "benchmarks.fastapi_app:app", *how], f"/{kind}"


@contextmanager
def running(side: str, kind: str, body: bytes, workers: int = 1) -> Iterator[Server]:
    """A server of the model `kind` (even, fraud) that has answered `body`. FastAPI's processes each load the model."""
    port = _free_port()
    command, path = _command(side, kind, port, workers)
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


def _answers(port: int, path: str, body: bytes) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        return answer.status == 200 and b'"prediction"' in answer.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
