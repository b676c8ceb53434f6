"""Against what others serve the fraud model with: requests a second of two workers against mosec, and the median
latency at one connection against FastAPI.

    python -m benchmarks.peers [--quick]

mosec (benchmarks/mosec_app.py) has two processes that compute and its own dynamic batching. All answer the same bodies
with the same values, which is looked at first. The load comes from wrk, where it is on PATH, on the same cores.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack

from benchmarks.processes import workplace
from benchmarks.realtime import bodies_of, load, throughput
from benchmarks.results import Goal, Results
from benchmarks.servers import FASTAPI, MOSEC, OURS, check_equal, predictions, running

GROUP = "fraud model, two workers"
SIDES = (OURS, MOSEC)


def one_connection(results: Results, bodies: list[bytes], seconds: float) -> None:
    with ExitStack() as stack:
        servers = {side: stack.enter_context(running(side, "fraud", bodies[0])) for side in (OURS, FASTAPI)}
        check_equal({side: predictions(server, bodies[:50]) for side, server in servers.items()})
        alone: dict[str, list[float]] = {side: [] for side in servers}
        for _ in range(results.rounds):
            for side, server in servers.items():
                alone[side].append(load(server, bodies, 1, seconds)[2] * 1e3)
    group = "fraud model, one worker"
    results.add(group, "median latency, one connection", "µs", alone, Goal(0.6, FASTAPI))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    rounds, seconds = (1, 1.0) if quick else (5, 3.0)
    results = Results.begin("peers", rounds, quick=quick)
    bodies = bodies_of("fraud")
    with ExitStack() as stack:
        folder = stack.enter_context(workplace())
        servers = {side: stack.enter_context(running(side, "fraud", bodies[0], workers=2)) for side in SIDES}
        time.sleep(2)  # until the second process is there too
        check_equal({side: predictions(server, bodies[:50]) for side, server in servers.items()})
        found: dict[str, list[float]] = {side: [] for side in SIDES}
        cpu: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(rounds):
            for side, server in servers.items():
                found[side].append(throughput(server, bodies, seconds, folder))
                cpu[side].append(load(server, bodies, 64, seconds)[0])
    results.add(GROUP, "requests/s, 64 connections", "/s", found, Goal(3, MOSEC, at_least=True))
    results.add(GROUP, "server CPU a request", "µs", cpu)
    one_connection(results, bodies, seconds)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
