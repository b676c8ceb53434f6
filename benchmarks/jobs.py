"""The scheduler: what it costs idle, how late firings start, and what kills do to them.

    python -m benchmarks.jobs [--quick]

A job file of 1,000 jobs. Idle: none falls due; the CPU time of the scheduler's process. Late: a few fall due every two
seconds, each a shell that writes down when it began. Killed: two schedulers on one state are killed (SIGKILL) at random
moments and started again; each firing's command writes a line at its beginning and one at its end. Exit code 1 when a
firing ran twice or never, or a moment of a schedule has none.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmarks.processes import TWOFOLD, workplace
from benchmarks.results import OURS, Goal, Results

JOBS = 1000
BUSY_JOBS = 4
KILLED_JOBS = 3
TICKS = os.sysconf("SC_CLK_TCK")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    results = Results.begin("jobs", 1, quick=quick)
    with workplace() as folder:
        idle(results, folder / "idle", 5 if quick else 15)
        late(results, folder / "late", 10 if quick else 20)
        wrong = kills(results, folder / "kills", 4 if quick else 100)
    results.save(time.perf_counter() - began)
    return 1 if wrong else 0


def idle(results: Results, folder: Path, seconds: float) -> None:
    scheduler = up(folder, [job(f"job-{n}", f'schedule = "0 0 {n % 28 + 1} {n % 12 + 1} *"') for n in range(JOBS)])
    time.sleep(2)
    before = cpu_s(scheduler.pid)
    time.sleep(seconds)
    share = 100 * (cpu_s(scheduler.pid) - before) / seconds
    end(scheduler)
    results.add(f"{JOBS:,} jobs", "idle, share of a core", "%", {OURS: [share]}, Goal(1.0))


def late(results: Results, folder: Path, seconds: float) -> None:
    quiet = [job(f"job-{n}", f'schedule = "0 0 {n % 28 + 1} 1 *"') for n in range(JOBS - BUSY_JOBS)]
    run = 'run = ["sh", "-c", "date +%s.%N > began-$TWOFOLD_JOB-$TWOFOLD_JOB_TIME"]\n'
    busy = [job(f"busy-{n}", 'every = "2s"', run) for n in range(BUSY_JOBS)]
    scheduler = up(folder, [*quiet, *busy])
    time.sleep(seconds)
    end(scheduler)
    found = []
    for path in folder.glob("began-*"):
        due = datetime.fromisoformat(path.name[-20:].replace("Z", "+00:00")).timestamp()
        if text := path.read_text():
            found.append(float(text) - due)
    group = f"{JOBS:,} jobs, {BUSY_JOBS} due every 2 s, {len(found)} firings"
    results.add(group, "a command begins after its time, median", "s", {OURS: [sorted(found)[len(found) // 2]]})
    results.add(group, "a command begins after its time, latest", "s", {OURS: [max(found)]}, Goal(1.0))


def kills(results: Results, folder: Path, n_kills: int) -> int:
    """How many firings were not run exactly once."""
    run = (
        'run = ["sh", "-c", "trap : TERM; echo $TWOFOLD_JOB $TWOFOLD_JOB_TIME begin >> log; sleep 0.05;'
        ' echo $TWOFOLD_JOB $TWOFOLD_JOB_TIME end >> log"]\n'
    )
    jobs = [job(f"job-{n}", 'every = "1s"\nmissed = "all"', run) for n in range(KILLED_JOBS)]
    draw = random.Random(8)
    schedulers = [up(folder, jobs), up(folder, jobs)]
    for n in range(n_kills):
        time.sleep(draw.uniform(0.05, 1.0))
        index = draw.randrange(2)
        schedulers[index].kill()
        schedulers[index].wait()
        schedulers[index] = up(folder, jobs)
        if sys.stderr.isatty():
            print(f"\r{n + 1} kills", end="", file=sys.stderr, flush=True)
    time.sleep(3)
    for scheduler in schedulers:
        end(scheduler)
    lines = Counter((folder / "log").read_text().splitlines())
    n_firings = wrong = gaps = 0
    for n in range(KILLED_JOBS):
        firings = history(folder, f"job-{n}")
        moments = [datetime.fromisoformat(one["time"].replace("Z", "+00:00")).timestamp() for one in firings]
        gaps += sum(later - earlier != 1 for earlier, later in pairwise(moments))
        for one in firings:
            n_ends = lines[f"job-{n} {one['time']} end"]
            n_begins = lines[f"job-{n} {one['time']} begin"]
            if one["state"] == "done":
                n_firings += 1
                wrong += n_ends != 1 or n_begins != 1
            else:
                wrong += n_ends > 1
    group = f"{n_kills} kills of two schedulers, {KILLED_JOBS} jobs a second"
    results.add(group, "firings that are done", "", {OURS: [n_firings]})
    results.add(group, "firings run twice, or not to their end", "", {OURS: [wrong]}, Goal(0))
    results.add(group, "moments without a firing", "", {OURS: [gaps]}, Goal(0))
    return wrong + gaps


def job(name: str, starts: str, run: str = 'run = "true"\n') -> str:
    return f'[[job]]\nname = "{name}"\n{starts}\n{run}'


def up(folder: Path, jobs: Sequence[str]) -> subprocess.Popen[bytes]:
    folder.mkdir(exist_ok=True)
    path = folder / "jobs.toml"
    if not path.exists():
        path.write_text("max_runs = 8\n" + "".join(jobs))
    with (folder / "up.log").open("ab") as log:
        return subprocess.Popen([*TWOFOLD, "jobs", "up", "jobs.toml"], cwd=folder, stderr=log)


def end(scheduler: subprocess.Popen[bytes]) -> None:
    scheduler.terminate()
    scheduler.wait(timeout=60)


def history(folder: Path, name: str) -> list[dict[str, Any]]:
    """The firings of a job, the oldest first."""
    command = [*TWOFOLD, "jobs", "history", name, "--limit", "100000", "--json"]
    shown = subprocess.run(command, cwd=folder, check=True, capture_output=True).stdout
    return list(reversed(json.loads(shown)))


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    sys.exit(main())
