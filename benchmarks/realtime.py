"""Real time against the ceiling: server CPU per request, throughput and latency, one server process each.

    python -m benchmarks.realtime [--rounds 5] [--seconds 3]

Both servers answer the same bodies with the same model; the load comes from `twofold._compare.load`, in a process of
its own. Goal: at most 1.4x the CPU of the hand-written server.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from benchmarks.common import EVEN, FEATURES, HERE, TWOFOLD, make_trees, show, workplace
from twofold._compare.load import LoadPlan, run_load
from twofold._compare.usage import tree_cpu_s


@dataclass
class Server:
    port: int
    pid: int


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@contextmanager
def by_hand(model: str) -> Iterator[Server]:
    port = free_port()
    command = [sys.executable, str(HERE / "ceiling.py"), str(port), model]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield Server(port, process.pid)
        finally:
            process.kill()


@contextmanager
def twofold(model: str) -> Iterator[Server]:
    command = [*TWOFOLD, "serve", model, "--port", "0", "--inline", "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        url = urlsplit(process.stderr.readline().split()[-1])
        assert url.port, process.stderr.read()
        try:
            yield Server(url.port, process.pid)
        finally:
            process.terminate()


def load(server: Server, bodies: list[bytes], connections: int, seconds: float) -> tuple[float, float, float]:
    """Microseconds of server CPU a request, requests a second, median milliseconds."""
    plan = LoadPlan(
        host="127.0.0.1", port=server.port, connections=connections, min_seconds=seconds, warmup_seconds=0.3
    )
    before = tree_cpu_s(server.pid)
    result = run_load(plan, bodies)
    after = tree_cpu_s(server.pid)
    if set(result.statuses) != {200}:
        raise SystemExit(f"not every answer was a 200: {result.statuses}, {result.answers[:3]}")
    assert before is not None
    assert after is not None
    median_ms = statistics.median(result.latencies_s) * 1e3
    return (after - before) / result.requests_with_warmup * 1e6, result.requests / result.seconds, median_ms


def bench(title: str, models: tuple[str, str], bodies: list[bytes], rounds: int, seconds: float) -> None:
    ours: list[tuple[float, float, float]] = []
    theirs: list[tuple[float, float, float]] = []
    alone: tuple[list[float], list[float]] = ([], [])
    with twofold(models[0]) as one, by_hand(models[1]) as other:
        for _ in range(rounds):
            ours.append(load(one, bodies, 64, seconds))
            theirs.append(load(other, bodies, 64, seconds))
            alone[0].append(load(one, bodies, 1, 1.0)[2])
            alone[1].append(load(other, bodies, 1, 1.0)[2])
    show(f"{title}: server CPU a request", "us", [o[0] for o in ours], [t[0] for t in theirs], "1.4")
    show(f"{title}: requests a second, 64 conn.", "/s", [o[1] for o in ours], [t[1] for t in theirs])
    show(f"{title}: median latency, 64 conn.", "ms", [o[2] for o in ours], [t[2] for t in theirs])
    show(f"{title}: median latency, one at a time", "ms", *alone)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0)
    given = parser.parse_args()
    numbers = [json.dumps({"number": n}).encode() for n in range(1000)]
    bench("even or odd", (str(EVEN), "even"), numbers, given.rounds, given.seconds)
    with workplace() as folder:
        trees = str(make_trees(Path(folder, "trees.onnx")))
        rows = np.random.default_rng(1).normal(size=(1000, FEATURES)).astype(np.float32)
        bodies = [json.dumps({"features": [float(str(x)) for x in row]}).encode() for row in rows]
        bench("100 trees, 30 floats", (trees, trees), bodies, given.rounds, given.seconds)


if __name__ == "__main__":
    main()
