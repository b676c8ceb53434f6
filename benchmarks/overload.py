"""Overload: what a server does with three times the requests it can answer; and models that wait.

    python -m benchmarks.overload [--quick]

The model holds a core for 2 ms a row, in one model process, so that the server process and the load have the other
core. Requests fall due at random moments, whatever the server does, and each has a deadline of 100 ms. The capacity is
what 8 connections get that send one request after the other.
"""

from __future__ import annotations

import argparse
import json
import sys
import threading
import time
from pathlib import Path

from benchmarks.results import Goal, Results
from benchmarks.servers import Server, serving
from twofold._compare.usage import tree_memory_mb
from twofold._load.plan import LoadPlan, LoadResult
from twofold._load.run import run_load

SLOW = Path(__file__).parent / "slow.py"
DEADLINE_MS = 100
BODIES = [json.dumps({"number": n}).encode() for n in range(1, 1001)]
REACH = "of what is to be reached"


def load(server: Server, seconds: float, *, rate: float = 0.0, connections: int = 8, skip_s: float = 0.0) -> LoadResult:
    deadline = (("X-Deadline-Ms", str(DEADLINE_MS)),) if rate else ()
    plan = LoadPlan(
        host="127.0.0.1", port=server.port, path=server.path, headers=deadline, rate=rate, min_seconds=seconds,
        connections=1000 if rate else connections, warmup_seconds=skip_s,
    )  # fmt: skip
    return run_load(plan, BODIES)


def percentile(values: object, share: float) -> float:
    found = sorted(values)  # type: ignore[call-overload]
    return float(found[min(len(found) - 1, int(share * len(found)))]) if found else 0.0


def in_time(result: LoadResult) -> float:
    """Answers within the deadline, a second."""
    return sum(seconds <= DEADLINE_MS / 1000 for seconds in result.answered_s) / result.seconds


class Memory:
    """What a server's processes hold, looked at now and then."""

    def __init__(self, pid: int) -> None:
        self.seen_mb: list[float] = []
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Memory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            self.seen_mb.append(tree_memory_mb(self._pid))


def overload(results: Results, seconds: float) -> None:
    group = "2 ms a row, one model process"
    with serving(f"{SLOW}:Busy", BODIES[0], "--isolate", "--workers", "1") as server:
        load(server, 1.0)
        closed = load(server, seconds)
        capacity = closed.requests / closed.seconds
        results.add(group, "capacity", "/s", {"8 connections": [capacity]})
        found: dict[str, LoadResult] = {}
        memory: dict[str, list[float]] = {}
        for times in (0.5, 1.0, 3.0):
            with Memory(server.pid) as watched:
                found[f"{times:g}x"] = load(server, seconds, rate=times * capacity, skip_s=1.0)
            memory[f"{times:g}x"] = watched.seen_mb
        after = load(server, seconds, rate=0.5 * capacity, skip_s=2.0)
    peak = max(capacity, *(in_time(result) for result in found.values()))
    sides = {name: [in_time(result)] for name, result in found.items()}
    results.add(
        group, "answered within 100 ms", "/s", {"peak": [peak], **sides}, Goal(0.95, "peak", "3x", at_least=True)
    )
    after_95 = {
        "0.5x before": [percentile(found["0.5x"].answered_s, 0.95) * 1e3],
        "0.5x, 2 s after 3x": [percentile(after.answered_s, 0.95) * 1e3],
    }
    results.add(
        group,
        "95th percentile of answers",
        "ms",
        {**{n: [percentile(r.answered_s, 0.95) * 1e3] for n, r in found.items()}},
    )
    results.add(
        group, "95th percentile, back to normal", "ms", after_95, Goal(1.3, "0.5x before", "0.5x, 2 s after 3x")
    )
    results.add(
        group,
        "refused or failed, after 3x",
        "share",
        {"0.5x, 2 s after 3x": [1 - after.achieved / max(1, after.offered)]},
    )
    late = sum(count for code, count in found["3x"].codes.items() if not code.startswith("429"))
    refused = sorted(found["3x"].refused_s)
    refused = refused[: len(refused) - late]  # the others have waited until their deadline
    results.add(group, "refusals at 3x: median", "ms", {"3x": [percentile(refused, 0.5) * 1e3]})
    results.add(
        group, "refusals at 3x: 99th percentile", "ms", {"3x": [percentile(refused, 0.99) * 1e3]}, Goal(5, side="3x")
    )
    half = len(memory["3x"]) // 2
    held = {"first half": [max(memory["3x"][:half])], "second half": [max(memory["3x"][half:])]}
    results.add(group, "memory of all processes at 3x", "MB", held, Goal(1.05, "first half", "second half"))
    for name, result in {**found, "after": after}.items():
        print(name, result.offered, result.codes, f"generator busy {result.generator_busy:.2f}", file=sys.stderr)


def waiting(results: Results, seconds: float) -> None:
    for model, title in (("waits", "async"), ("waits_in_threads", "threads")):
        with serving(f"{SLOW}:{model}", BODIES[0]) as server:
            result = load(server, seconds, connections=64, skip_s=1.0)
        found = {REACH: [64 / 0.05], "twofold": [result.requests / result.seconds]}
        results.add(f"50 ms of waiting a row, {title}", "64 connections", "/s", found, Goal(0.95, REACH, at_least=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="shorter loads")
    given = parser.parse_args()
    began = time.perf_counter()
    seconds = 4.0 if given.quick else 15.0
    results = Results.begin("overload", 1, quick=given.quick)
    overload(results, seconds)
    waiting(results, seconds)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
