"""A plan for 10^12 rows on 1,000 nodes, with figures: `python -m benchmarks.scale` (a minute; nothing large is run).

measured    what a split costs where the run was started: processor time and memory of its plan and its report, and
            what a commit costs on this machine's disk
simulated   how much longer than ideal a run takes, by the splits that each place gets: nodes differ in speed, some
            are slow, splits differ in work, nodes die
planned     from both, by the cost of a row
"""

from __future__ import annotations

import argparse
import heapq
import json
import random
import tempfile
import time
import tracemalloc
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from benchmarks.results import OURS, Results, median
from twofold._batch.sources import FileSplit
from twofold._batch.stores.local import local_store
from twofold._batch.tracker import RunTracker
from twofold._batch.work import SplitTask

ROWS = 10**12
NODES, CORES = 1000, 16
ROW_S = {"2.5 µs": 2.5e-6, "100 µs": 1e-4, "10 ms": 1e-2}
LEAST_A_PLACE = 32
LONGEST_S = 300.0
WORK_S = 3600.0
MOST_A_RUN = 1_000_000


@dataclass(frozen=True)
class World:
    """What goes wrong. Speeds and the work of splits are log-normal with these sigmas; a share of the nodes is so many
    times slower; each node dies so many times an hour, and is not replaced."""

    speed_sigma: float = 0.1
    skew_sigma: float = 0.25
    slow_share: float = 0.01
    slowness: float = 3.0
    deaths_an_hour: float = 0.0


def makespan(nodes: int, cores: int, splits: int, split_s: float, world: World, *, pull: bool = True) -> float:
    """Seconds until the last split is done, over the seconds if all places had shared the work evenly.

    A place has one split waiting beside the one it computes, until there are fewer left than places; a node that dies
    gives back what its places had in hand. `pull` False: each place gets its share in advance, as a static plan does.
    """
    chance = random.Random(7)
    speeds = [chance.lognormvariate(0, world.speed_sigma) for _ in range(nodes)]
    speeds = [speed / (world.slowness if n < world.slow_share * nodes else 1) for n, speed in enumerate(speeds)]
    mean = -(world.skew_sigma**2) / 2
    work = [split_s * chance.lognormvariate(mean, world.skew_sigma) for _ in range(splits)]
    ideal = sum(work) / (cores * sum(speeds))
    places = nodes * cores
    if not pull:
        loads = [0.0] * places
        for split, cost in enumerate(work):
            loads[split * places // splits] += cost
        return max(load / speeds[place // cores] for place, load in enumerate(loads)) / ideal
    dies = [chance.expovariate(world.deaths_an_hour / 3600) if world.deaths_an_hour else 1e99 for _ in range(nodes)]
    return _pulled(places, cores, speeds, work, dies) / ideal


def _pulled(places: int, cores: int, speeds: list[float], work: list[float], dies: list[float]) -> float:
    waiting = deque(work)
    ahead: list[list[float]] = [[] for _ in range(places)]
    free = [(0.0, place) for place in range(places)]
    end, idle = 0.0, []
    while free:
        now, place = heapq.heappop(free)
        end = max(end, now)
        if not ahead[place] and not waiting:
            idle.append(place)
            continue
        cost = ahead[place].pop() if ahead[place] else waiting.popleft()
        if len(waiting) >= places:
            ahead[place].append(waiting.popleft())
        done = now + cost / speeds[place // cores]
        if done <= dies[place // cores]:
            heapq.heappush(free, (done, place))
            continue
        waiting.extendleft([*ahead[place], cost])  # the node dies meanwhile: whoever is idle takes these
        ahead[place].clear()
        for _ in range(min(len(idle), len(waiting))):
            heapq.heappush(free, (max(end, dies[place // cores]), idle.pop()))
    return end


def simulate(results: Results, nodes: int) -> dict[int, float]:
    """Splits a place -> the time over the ideal, in the world without deaths."""
    found = {}
    for each in (1, 2, 4, 8, 16, LEAST_A_PLACE, 64):
        splits = each * nodes * CORES
        split_s = WORK_S / each  # the same work in all, in more and more splits
        world, dying = World(), World(deaths_an_hour=0.05)
        found[each] = makespan(nodes, CORES, splits, split_s, world)
        sides = {
            "shares in advance": [makespan(nodes, CORES, splits, split_s, world, pull=False)],
            "taken when free": [found[each]],
            "and nodes die, 5 % an hour": [makespan(nodes, CORES, splits, split_s, dying)],
        }
        results.add("time over the ideal", f"{each} splits a place", "x", sides)
    return found


def measure(results: Results, rounds: int, splits: int) -> tuple[float, float]:
    """(processor seconds, bytes) of a split where the run was started; and the commits that this disk takes."""
    committed: list[int] = []
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    tasks = [_task(index) for index in range(splits)]
    tracker = RunTracker(tasks, None, time.monotonic(), committed.append, None)
    for task in tasks:
        tracker.done(_report(task))
    used = (tracemalloc.get_traced_memory()[0] - before) / splits
    tracemalloc.stop()
    took = []
    for _ in range(rounds):
        tracker = RunTracker(tasks, None, time.monotonic(), committed.append, None)
        began = time.process_time()
        for task in tasks:
            json.dumps({"splits": [task.to_json()], "wait_s": 2.0})
            told = json.loads(json.dumps({"events": [["done", _report(task)]], "calls": 1}))
            tracker.done(told["events"][0][1])
        took.append((time.process_time() - began) / splits)
    results.add("a split, where the run was started", "processor time", "µs", {OURS: [1e6 * each for each in took]})
    results.add("a split, where the run was started", "memory", "bytes", {OURS: [used]})
    results.add("a split, on this machine's disk", "its commit", "ms", {OURS: [1e3 * _commit_s() for _ in took]})
    return median(took), used


def _task(index: int) -> SplitTask:
    file = FileSplit(f"/shared/rows/day={index % 365:03}/part-{index:06}.parquet", 0, 1 << 22, {"groups": [[0, 4]]})
    return SplitTask(index, f"part-{index:06d}-0123456789.parquet", file, 1 << 22, [1 << 30, 1 << 60])


def _report(task: SplitTask) -> dict[str, Any]:
    counts = {"rows_in": task.n_rows, "rows_out": task.n_rows, "rows_quarantined": 0}
    return {"index": task.index, "name": task.name, **counts, "reasons": {}, "first_errors": []}


def _commit_s(times: int = 100) -> float:
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        store = local_store(f"{folder}/out/")
        store.sweep((), pa.schema([]))
        began = time.perf_counter()
        for index in range(times):
            part = store.scratch / f"{index}.parquet"
            part.write_bytes(b"\0" * 4096)
            store.commit(f"part-{index:06d}.parquet", part, None, _report(_task(index)))
        return (time.perf_counter() - began) / times


def plan(results: Results, over: dict[int, float], split_cpu_s: float, split_bytes: float) -> None:
    """The whole job, by the cost of a row."""
    found: dict[tuple[str, str], dict[str, list[float]]] = {}
    for name, row_s in ROW_S.items():
        for figure, value in _planned(row_s, over, split_cpu_s, split_bytes).items():
            found.setdefault(figure, {})[f"{name} a row"] = [value]
    for (what, unit), sides in found.items():
        results.add(f"10^12 rows on {NODES:,} nodes of {CORES} cores", what, unit, sides)


def _planned(
    row_s: float, over: dict[int, float], split_cpu_s: float, split_bytes: float
) -> dict[tuple[str, str], float]:
    """(what, unit) -> the figure."""
    places = NODES * CORES
    ideal_s = ROWS * row_s / places
    each = max(LEAST_A_PLACE, -(-int(ideal_s) // int(LONGEST_S)))
    splits = each * places
    runs = -(-splits // MOST_A_RUN)
    whole_s = ideal_s * over[min(over, key=lambda known: abs(known - each))]
    return {
        ("the whole, if all went evenly", "h"): ideal_s / 3600,
        ("the whole, with stragglers", "h"): whole_s / 3600,
        ("splits of a place", ""): each,
        ("splits", ""): splits,
        ("rows of a split", ""): ROWS // splits,
        ("seconds of a split", "s"): ideal_s / each,
        ("runs of at most a million splits", ""): runs,
        ("commits a second", ""): splits / whole_s,
        ("one core, where the run was started", "%"): 100 * split_cpu_s * splits / whole_s,
        ("memory there, of one run", "MB"): split_bytes * splits / runs / 1e6,
        ("read by each node, at 150 bytes a row", "MB/s"): ROWS * 150 / NODES / whole_s / 1e6,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer nodes, fewer rounds")
    given = parser.parse_args()
    began = time.perf_counter()
    rounds, nodes, splits = (1, 50, 2_000) if given.quick else (5, NODES, 50_000)
    results = Results.begin("scale", rounds, quick=given.quick)
    over = simulate(results, nodes)
    cpu_s, used = measure(results, rounds, splits)
    plan(results, over, cpu_s, used)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
