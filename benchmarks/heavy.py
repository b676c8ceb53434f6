"""A heavy model in two model processes: gathering must not leave one of them idle.

    python -m benchmarks.heavy [--quick]

The model needs 10 ms of a core for each row, and a row is no cheaper in a batch: a stand-in for an embedding of a text
(`heavy` in benchmarks/slow.py). 16 connections, each of which sends its next request when it has its answer.
"""

from __future__ import annotations

import argparse
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks.overload import BODIES
from benchmarks.realtime import load
from benchmarks.results import OURS, Goal, Results
from benchmarks.servers import check_equal, predictions, serving

MODEL = f"{Path(__file__).parent / 'slow.py'}:heavy"
ALONE = "one row a call"
PROCESSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    rounds, seconds = (1, 4.0) if quick else (5, 8.0)
    results = Results.begin("heavy", rounds, quick=quick)
    how = ["--isolate", "--workers", str(PROCESSES)]
    with ExitStack() as stack:
        servers = {
            OURS: stack.enter_context(serving(MODEL, BODIES[0], *how)),
            ALONE: stack.enter_context(serving(MODEL, BODIES[0], *how, "--batch-rows", "1")),
        }
        time.sleep(2)  # until both processes of both are there
        check_equal({side: predictions(server, BODIES[:20]) for side, server in servers.items()})
        rate: dict[str, list[float]] = {side: [] for side in servers}
        busy: dict[str, list[float]] = {side: [] for side in servers}
        for _ in range(rounds):
            for side, server in servers.items():
                _, per_second, _ = load(server, BODIES, 16, seconds)
                rate[side].append(per_second)
                busy[side].append(per_second * 0.010 / PROCESSES * 100)
    group = "heavy model, 10 ms a row, two model processes"
    results.add(group, "requests/s, 16 connections", "/s", rate, Goal(1.0, ALONE, at_least=True))
    results.add(group, "share of both processes' time that went into rows", "%", busy)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
