"""Real time against the ceiling and against what one would write by hand, over real sockets.

    python -m benchmarks.realtime [--quick]

The ceiling (benchmarks/ceiling.py) is the least server that gives the same answers; FastAPI
(benchmarks/fastapi_app.py) is what a user would write. All answer the same bodies with the same model. The load comes
from `twofold._load`, in a process of its own; where it would be the bottleneck, from wrk if that is on PATH.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from benchmarks.processes import workplace
from benchmarks.results import Goal, Results, median
from benchmarks.servers import FASTAPI, HAND, OURS, Server, check_equal, predictions, running
from twofold._compare.usage import tree_cpu_s, tree_memory_mb
from twofold._load.plan import LoadPlan
from twofold._load.run import run_load

CONNECTIONS = 64
SIDES = (OURS, HAND, FASTAPI)
WRK = """
wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
local requests, at = {}, 0
init = function()
    for line in io.lines(os.getenv("BODIES")) do requests[#requests + 1] = wrk.format(nil, nil, nil, line) end
end
request = function()
    at = at % #requests + 1
    return requests[at]
end
"""


def bodies_of(kind: str) -> list[bytes]:
    """A thousand requests."""
    random = np.random.default_rng(1)
    if kind == "even":
        return [json.dumps({"number": int(n)}).encode() for n in random.integers(0, 1 << 40, 1000)]
    rows = random.normal(size=(1000, 30)).astype(np.float32)
    return [json.dumps({"features": [float(str(x)) for x in row]}).encode() for row in rows]


def load(server: Server, bodies: list[bytes], connections: int, seconds: float) -> tuple[float, float, float]:
    """Microseconds of server CPU a request, requests a second, median milliseconds."""
    plan = LoadPlan(
        host="127.0.0.1", port=server.port, path=server.path, connections=connections, min_seconds=seconds,
        warmup_seconds=0.3,
    )  # fmt: skip
    before = tree_cpu_s(server.pid) or 0.0
    result = run_load(plan, bodies)
    cpu_s = (tree_cpu_s(server.pid) or 0.0) - before
    if set(result.statuses) != {200}:
        raise SystemExit(f"not every answer was a 200: {result.statuses}, {result.answers[:3]}")
    median_ms = median(result.latencies_s) * 1e3
    return cpu_s / result.requests_with_warmup * 1e6, result.requests / result.seconds, median_ms


def throughput(server: Server, bodies: list[bytes], seconds: float, folder: Path) -> float:
    """Requests a second at 64 connections, by wrk where it is there."""
    if shutil.which("wrk") is None:
        return load(server, bodies, CONNECTIONS, seconds)[1]
    script, lines = folder / "post.lua", folder / "bodies.jsonl"
    script.write_text(WRK)
    lines.write_bytes(b"\n".join(bodies))
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(script)]
    url = f"http://127.0.0.1:{server.port}{server.path}"
    done = subprocess.run(
        [*command, url], env={"BODIES": str(lines)}, executable=shutil.which("wrk"), capture_output=True, text=True
    )
    found = re.search(r"Requests/sec:\s+([\d.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise SystemExit(f"wrk says: {done.stdout}{done.stderr}")
    return float(found[1])


def one_process(results: Results, kind: str, title: str, seconds: float) -> None:
    """Each server as one process that computes in its event loop."""
    bodies = bodies_of(kind)
    with ExitStack() as stack:
        servers = {side: stack.enter_context(running(side, kind, bodies[0])) for side in SIDES}
        check_equal({side: predictions(server, bodies[:50]) for side, server in servers.items()})
        many: dict[str, list[tuple[float, float, float]]] = {side: [] for side in SIDES}
        alone: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(results.rounds):
            for side, server in servers.items():
                many[side].append(load(server, bodies, CONNECTIONS, seconds))
            for side, server in servers.items():
                alone[side].append(load(server, bodies, 1, seconds / 2)[2] * 1e3)
    group = f"{title}, one process"
    add = results.add
    add(group, "server CPU a request", "µs", {s: [m[0] for m in many[s]] for s in SIDES}, Goal(1.4, HAND))
    add(group, "requests/s, 64 connections", "/s", {s: [m[1] for m in many[s]] for s in SIDES})
    add(group, "median latency, one connection", "µs", alone, Goal(1.3, HAND))


def two_processes(results: Results, kind: str, title: str, seconds: float) -> None:
    bodies = bodies_of(kind)
    sides = (OURS, FASTAPI)
    with ExitStack() as stack:
        folder = stack.enter_context(workplace())
        servers = {side: stack.enter_context(running(side, kind, bodies[0], workers=2)) for side in sides}
        time.sleep(2)  # until the second process is there too
        found: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(results.rounds):
            for side, server in servers.items():
                found[side].append(throughput(server, bodies, seconds, folder))
        group = f"{title}, two processes"
        results.add(group, "requests/s, 64 connections", "/s", found, Goal(5, FASTAPI, at_least=True))
        memory = {side: [tree_memory_mb(server.pid)] for side, server in servers.items()}
        results.add(group, "memory of all processes, after the load", "MB", memory, Goal(200))
        idle = {side: [idle_percent(server, 10 * seconds / 3)] for side, server in servers.items()}
        results.add(group, "CPU when idle, of one core", "%", idle, Goal(0.5))


def idle_percent(server: Server, seconds: float) -> float:
    time.sleep(1)
    before = tree_cpu_s(server.pid) or 0.0
    time.sleep(seconds)
    return ((tree_cpu_s(server.pid) or 0.0) - before) / seconds * 100


def starts(results: Results, kind: str, title: str) -> None:
    body = bodies_of(kind)[0]
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(results.rounds):
        for side in SIDES:
            with running(side, kind, body) as server:
                found[side].append(server.first_answer_s)
    results.add(f"{title}, one process", "first right answer after the start", "s", found, Goal(1.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    given = parser.parse_args()
    began = time.perf_counter()
    rounds, seconds = (1, 1.0) if given.quick else (5, 3.0)
    results = Results.begin("realtime", rounds, quick=given.quick)
    tool = "wrk (one thread)" if shutil.which("wrk") else "twofold's own generator, for want of wrk"
    results.notes.append(f"Requests/s of two processes: load from {tool}, on the same cores as the servers.")
    for kind, title in (("fraud", "fraud model"), ("even", "even or odd")):
        one_process(results, kind, title, seconds)
        if kind == "fraud":
            starts(results, kind, title)
        two_processes(results, kind, title, seconds)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
