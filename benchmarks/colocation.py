"""A batch at idle priority beside a server: what the server's callers notice, and what the batch gets.

    python -m benchmarks.colocation [--quick]

The server answers the fraud model on one process; requests fall due at random moments, 10, 30 and 50 % of what it can
answer. In each round the same load without the batch and beside it, one after the other. The batch is started in a
session of its own and never ends here: `twofold batch … --priority idle`.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.overload import percentile
from benchmarks.processes import COMPILED, FRAUD, TWOFOLD, run, workplace
from benchmarks.realtime import bodies_of
from benchmarks.realtime import load as flat_out
from benchmarks.results import OURS, Goal, Results, median
from benchmarks.servers import Server, serving
from twofold._compare.usage import tree_cpu_s
from twofold._load.plan import LoadPlan
from twofold._load.run import run_load

MAKE = FRAUD.with_name("make_data.py")
ALONE, CORES = "without batch", len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
SHARES = (0.1, 0.3, 0.5)


@contextmanager
def batch_beside(source: Path, output: Path) -> Iterator[int]:
    """The batch, at work."""
    command = [*TWOFOLD, "batch", str(FRAUD), str(source), f"{output}/", "--map", "features=f0..f29", "--overwrite"]
    process = subprocess.Popen(
        [*command, "--keep", "id", "--priority", "idle"],
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=COMPILED,
    )  # fmt: skip
    try:
        parts = output.with_name(output.name + ".twofold") / "parts"
        while not (parts.exists() and any(parts.iterdir())):
            if process.poll() is not None:
                raise SystemExit("the batch ended before it was measured")
            time.sleep(0.1)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def under_load(server: Server, bodies: list[bytes], rate: float, seconds: float) -> float:
    """The median of the answers' times, in ms."""
    plan = LoadPlan(
        host="127.0.0.1", port=server.port, path=server.path, rate=rate, connections=64, min_seconds=seconds,
        warmup_seconds=0.5,
    )  # fmt: skip
    return percentile(run_load(plan, bodies).latencies_s, 0.5) * 1e3


def idle_s(since: tuple[float, float] | None = None) -> tuple[float, float]:
    """Seconds of all cores that nothing used, and that normal work used, since boot (or since then)."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    ticks = [int(word) / os.sysconf("SC_CLK_TCK") for word in words]
    found = ticks[3] + ticks[4], sum(ticks[:3]) + sum(ticks[5:8])
    return found if since is None else (found[0] - since[0], found[1] - since[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    if not sys.platform.startswith("linux"):
        raise SystemExit("idle sessions are Linux's")
    began = time.perf_counter()
    rounds, seconds = (1, 3.0) if quick else (9, 5.0)
    results = Results.begin("colocation", rounds, quick=quick)
    bodies = bodies_of("fraud")
    with workplace() as folder, serving(str(FRAUD), bodies[0], "--workers", "1") as server:
        source, output = folder / "payments.parquet", folder / "out"
        run([sys.executable, str(MAKE), str(source), "3000000"])
        most = flat_out(server, bodies, 32, seconds)[1]
        for share in SHARES:
            medians: dict[str, list[float]] = {OURS: [], ALONE: []}
            got: list[float] = []
            for number in range(rounds):
                medians[ALONE].append(under_load(server, bodies, share * most, seconds))
                with batch_beside(source, output.with_name(f"out{number}")) as pid:
                    before, cpu_s = idle_s(), tree_cpu_s(pid) or 0.0
                    medians[OURS].append(under_load(server, bodies, share * most, seconds))
                    used_s, left = (tree_cpu_s(pid) or 0.0) - cpu_s, idle_s(before)[0]
                    got.append(100 * used_s / (used_s + left))
            pairs = [with_ / without for with_, without in zip(medians[OURS], medians[ALONE], strict=True)]
            group = f"a server at {share:.0%} of its most, a batch at idle priority beside it"
            results.add(group, "p50 of the answers", "ms", medians)
            results.add(group, "p50 beside over without, median of pairs", "x", {OURS: [median(pairs)]}, Goal(1.05))
            goal = Goal(90, at_least=True)
            results.add(group, "the batch's part of the CPU that nothing else used", "%", {OURS: got}, goal)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
