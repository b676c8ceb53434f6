"""Overload: what a server does with three times the requests it can answer; and models that wait.

    python -m benchmarks.overload [--quick]

The model holds a core for 2 ms a row, in one model process, so that the server process and the load have the other
core. Requests fall due at random moments, whatever the server does, and each has a deadline of 100 ms. In each round:
the capacity (what 8 connections get that send one request after the other), half of it in short windows, half of it,
all of it and three times it, the windows again, and the capacity again. It is back to normal from the first window on
after which none is slower than the slowest of those before, and none has a refusal.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import uvloop

from benchmarks.results import OURS, Goal, Results, median
from benchmarks.servers import Server, serving
from twofold._compare.usage import tree_memory_mb
from twofold._load.loops import loop_of
from twofold._load.plan import LoadPlan, LoadResult

SLOW = Path(__file__).parent / "slow.py"
DEADLINE_MS = 100
BODIES = [json.dumps({"number": n}).encode() for n in range(1, 1001)]
REACH = "of what is to be reached"
QUANTILES = {"p50": 0.5, "p99": 0.99}
RATES = {"0.5x": 0.5, "1x": 1.0, "3x": 3.0}
WINDOWS, WINDOW_S = 8, 0.5


def _plan(server: Server, seconds: float, *, rate: float = 0.0, connections: int = 8, skip_s: float = 0.0) -> LoadPlan:
    deadline = (("X-Deadline-Ms", str(DEADLINE_MS)),) if rate else ()
    return LoadPlan(
        host="127.0.0.1", port=server.port, path=server.path, headers=deadline, rate=rate, min_seconds=seconds,
        connections=1000 if rate else connections, warmup_seconds=skip_s,
    )  # fmt: skip


def load(plan: LoadPlan) -> LoadResult:
    """In this process, which does nothing else: one load follows the other at once."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(loop_of(plan, BODIES).run())


def percentile(values: Sequence[float], share: float) -> float:
    found = sorted(values)
    return found[min(len(found) - 1, int(share * len(found)))] if found else 0.0


def in_time(result: LoadResult) -> float:
    """Answers within the deadline, a second."""
    return sum(seconds <= DEADLINE_MS / 1000 for seconds in result.answered_s) / result.seconds


def refusals_s(result: LoadResult) -> list[float]:
    """How long those waited who were refused at once: not those whose deadline passed."""
    others = sum(count for code, count in result.codes.items() if not code.startswith("429"))
    refused = sorted(result.refused_s)
    return refused[: len(refused) - others]


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


@dataclass(frozen=True)
class Round:
    before: float
    """Capacity, requests/s."""
    calm: list[LoadResult]
    at: dict[str, LoadResult]
    memory_mb: list[float]
    back: list[LoadResult]
    after: float

    @property
    def peak(self) -> float:
        """The most that were answered in time, a second."""
        return max(self.before, self.after, *(in_time(result) for result in self.at.values()))

    @property
    def normal_s(self) -> float:
        """Seconds from the end of the overload until everything was as before."""
        slowest = max(percentile(window.answered_s, 0.95) for window in self.calm)
        odd = [
            number
            for number, window in enumerate(self.back)
            if len(window.answered_s) < window.offered or percentile(window.answered_s, 0.95) > slowest
        ]
        return (odd[-1] + 1) * WINDOW_S if odd else 0.0


def one_round(server: Server, seconds: float) -> Round:
    def capacity() -> float:
        closed = load(_plan(server, seconds, skip_s=0.5))
        return closed.requests / closed.seconds

    def windows() -> list[LoadResult]:
        return [load(_plan(server, WINDOW_S, rate=0.5 * before)) for _ in range(WINDOWS)]

    before = capacity()
    calm = windows()
    at = {name: load(_plan(server, seconds, rate=RATES[name] * before, skip_s=1.0)) for name in ("0.5x", "1x")}
    with Memory(server.pid) as memory:
        at["3x"] = load(_plan(server, seconds, rate=RATES["3x"] * before, skip_s=1.0))
    back = windows()
    found = Round(before, calm, at, memory.seen_mb, back, capacity())
    for name, result in at.items():
        print(name, result.offered, result.codes, f"generator busy {result.generator_busy:.2f}", file=sys.stderr)
    return found


def overload(results: Results, seconds: float) -> None:
    group = "2 ms a row, one model process"
    with serving(f"{SLOW}:Busy", BODIES[0], "--isolate", "--workers", "1") as server:
        load(_plan(server, 1.0))
        rounds = [one_round(server, seconds) for _ in range(results.rounds)]
    add = results.add
    add(group, "capacity", "/s", {"before": [r.before for r in rounds], "after": [r.after for r in rounds]})
    of_peak = {name: [in_time(r.at[name]) / r.peak * 100 for r in rounds] for name in RATES}
    add(group, "answered within 100 ms, of the peak rate", "%", of_peak, Goal(95, side="3x", at_least=True))
    slow = {name: [percentile(r.at[name].answered_s, 0.95) * 1e3 for r in rounds] for name in RATES}
    add(group, "95th percentile of answers", "ms", slow)
    refused = {name: [percentile(refusals_s(r.at["3x"]), q) * 1e3 for r in rounds] for name, q in QUANTILES.items()}
    add(group, "refusals: median", "ms", {"3x": refused["p50"]})
    add(group, "refusals: 99th percentile", "ms", {"3x": refused["p99"]}, Goal(5, side="3x"))
    add(group, "until normal after the overload", "s", {"3x": [r.normal_s for r in rounds]}, Goal(2, side="3x"))
    held = {"at the start": [r.memory_mb[0] for r in rounds], "at the end": [r.memory_mb[-1] for r in rounds]}
    add(f"{group}: memory at 3x", "all processes", "MB", held, Goal(1.05, "at the start", "at the end"))
    each = ", ".join(f"{share:.1f}" for share in of_peak["3x"])
    results.notes.append(f"In time at 3x, of the peak, each round: {each} %; median {median(of_peak['3x']):.1f} %.")


def waiting(results: Results, seconds: float) -> None:
    for model, title in (("waits", "async"), ("waits_in_threads", "threads")):
        found: dict[str, list[float]] = {REACH: [], OURS: []}
        with serving(f"{SLOW}:{model}", BODIES[0]) as server:
            for _ in range(results.rounds):
                result = load(_plan(server, seconds, connections=64, skip_s=1.0))
                found[REACH].append(64 / 0.05)
                found[OURS].append(result.requests / result.seconds)
        results.add(f"50 ms of waiting a row, {title}", "64 connections", "/s", found, Goal(0.95, REACH, at_least=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    results = Results.begin("overload", 1 if quick else 5, quick=quick)
    overload(results, 2.0 if quick else 10.0)
    waiting(results, 2.0 if quick else 5.0)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
