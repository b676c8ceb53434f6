"""Runs that are killed at random moments and started again: is anything lost, repeated, out of order or half-visible?

    python -m benchmarks.faults [--kills 1000] [--seed N] [--output out.parquet|out.csv|out/]

writes benchmarks/results/faults.json, which docs/reliability.md shows.

Each blow is a SIGKILL of the command or of one of its workers (as the OOM killer does), or a stop of one of them for
a while (SIGSTOP, SIGCONT). After each: what is visible is nothing or all; no worker is left without its command. When a
run ends, its output and its quarantine are compared, byte for byte, with those of a run that nobody disturbed. The
model counts its rows, so that what was computed twice is known as well.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.results import Results

__all__ = ["Job", "Track", "batter"]

MODEL = """
import os
import time

import twofold

rows = os.open(COUNT, os.O_WRONLY | os.O_APPEND | os.O_CREAT)


@twofold.model
def slow(number: int) -> str:
    time.sleep(0.0005)
    os.write(rows, b".")
    if number % 100 == 7:
        raise twofold.BadRow("seven")
    return str(number)
"""
SPLIT_ROWS, BATCH_ROWS, WORKERS = 50, 20, 2
IN_FLIGHT = 2 * WORKERS * SPLIT_ROWS
"""Rows that are computed or waited for in a worker at a time, at most."""
STOPPED_S = 0.3
BLOWS = ("kill command", "kill worker", "stop command", "stop worker")
WEIGHTS = (5, 3, 1, 1)
WORDS = (
    "the command killed (SIGKILL)",
    "a worker killed (SIGKILL)",
    "the command stopped for a while (SIGSTOP)",
    "a worker stopped for a while (SIGSTOP)",
)
WRONG = {
    "output or quarantine other than undisturbed, in any byte": "another output or quarantine",
    "something partial visible": "something partial",
    "a worker left without its command": "outlived its command",
    "ended otherwise than done": "exit code",
    "more computed again than was in flight, and 1 %": "computed again after",
}
"""What must not be -> the word for it in a track's problems."""
OUTPUTS = ("out.parquet", "out.csv", "out/")
FULL = 100
"""With fewer blows it is a look at whether it works."""


@dataclass(frozen=True)
class Job:
    """A run in a folder of its own."""

    folder: Path
    name: str
    rows: int

    def prepare(self) -> Job:
        (self.folder / "slow.py").write_text(MODEL.replace("COUNT", repr(str(self.folder / "rows"))))
        lines = [f"r{row},{row}\n" for row in range(self.rows)]
        (self.folder / "in.csv").write_text("id,number\n" + "".join(lines))
        return self

    @property
    def output(self) -> Path:
        return self.folder / self.name.rstrip("/")

    @property
    def state(self) -> Path:
        return self.folder / f"{self.output.name}.twofold"

    def start(self, *how: str) -> subprocess.Popen[bytes]:
        sizes = ["--split-rows", str(SPLIT_ROWS), "--batch-rows", str(BATCH_ROWS), "--workers", str(WORKERS)]
        command = [sys.executable, "-m", "twofold", "batch", "slow.py", "in.csv", self.name, *sizes, *how]
        with self.said.open("wb") as said:
            return subprocess.Popen(command, cwd=self.folder, stdout=subprocess.DEVNULL, stderr=said)

    @property
    def said(self) -> Path:
        """What the latest start said."""
        return self.folder / "said"

    def clear(self) -> None:
        shutil.rmtree(self.state, ignore_errors=True)
        shutil.rmtree(self.output, ignore_errors=True)
        self.output.unlink(missing_ok=True)
        (self.folder / "rows").unlink(missing_ok=True)

    def computed(self) -> int:
        """Rows that the model was called with, in all starts."""
        return (self.folder / "rows").stat().st_size if (self.folder / "rows").exists() else 0

    def seen(self) -> str:
        """What is visible now, as one word; "" for nothing."""
        return _digest(self.output)

    def found(self) -> tuple[str, str]:
        """Output and quarantine."""
        return self.seen(), _digest(self.state / "quarantine.jsonl")


@dataclass
class Track:
    """What became of it."""

    blows: Counter[str] = field(default_factory=Counter)
    runs: int = 0
    repeated_rows: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def repeated_a_kill(self) -> float:
        """Rows computed again, for each kill."""
        return self.repeated_rows / max(1, self.blows["kill command"] + self.blows["kill worker"])

    def __str__(self) -> str:
        blows = ", ".join(f"{self.blows[blow]} x {blow}" for blow in BLOWS)
        said = "\n".join(self.problems) or "every output and quarantine as that of an undisturbed run, byte for byte"
        return f"{blows}\n{self.runs} runs ended; {self.repeated_a_kill:.0f} rows repeated a kill\n{said}"


def batter(job: Job, kills: int, seed: int) -> Track:
    """Disturb runs until so many blows were struck, and let the last one end."""
    moment, track = random.Random(seed), Track()
    job.clear()
    whole = _undisturbed(job)
    while sum(track.blows.values()) < kills:
        job.clear()
        struck = Counter[str]()
        ended = None
        while ended is None:
            with job.start() as process:
                if sum(track.blows.values()) + sum(struck.values()) < kills:
                    _strike(job, process, moment, struck)
                workers = workers_of(process.pid)
                code = process.wait(120)
            if any(not _gone(pid) for pid in workers):
                track.problems.append(f"a worker outlived its command after {dict(struck)}")
            if code in (0, 3):
                ended = code
            elif code != -signal.SIGKILL:
                track.problems.append(f"exit code {code} after {dict(struck)}: {job.said.read_text()}")
                break
            if job.seen() not in ("", whole[0]):
                track.problems.append(f"something partial is visible after {dict(struck)}")
        if job.found() != whole:
            track.problems.append(f"another output or quarantine after {dict(struck)}")
        repeated = job.computed() - job.rows
        losses = struck["kill command"] + struck["kill worker"]
        if not 0 <= repeated <= losses * IN_FLIGHT + 0.01 * job.rows:
            track.problems.append(f"{repeated} rows computed again after {dict(struck)}")
        track.repeated_rows += repeated
        track.blows += struck
        track.runs += 1
    return track


def _undisturbed(job: Job) -> tuple[str, str]:
    with job.start() as process:
        code = process.wait(120)
    if code != 3:
        raise SystemExit(f"the undisturbed run ended with exit code {code}")
    return job.found()


def _strike(job: Job, process: subprocess.Popen[bytes], moment: random.Random, struck: Counter[str]) -> None:
    """At a random row of those that are left; now and then before the first, and a little after the last."""
    after, done = moment.uniform(0, 0.5), moment.random() * (job.rows + IN_FLIGHT)
    while process.poll() is None and job.computed() < done and moment.random() > 0.002:
        time.sleep(0.005)
    time.sleep(after * (moment.random() < 0.2))
    (blow,) = moment.choices(BLOWS, WEIGHTS)
    verb, whom = blow.split()
    victims = [process.pid] if whom == "command" else workers_of(process.pid)[:1]
    if process.poll() is not None or not victims:
        return
    struck[blow] += 1
    with suppress(ProcessLookupError):
        os.kill(victims[0], signal.SIGKILL if verb == "kill" else signal.SIGSTOP)
    if verb == "stop":
        time.sleep(STOPPED_S)
        with suppress(ProcessLookupError):
            os.kill(victims[0], signal.SIGCONT)


def workers_of(pid: int) -> list[int]:
    """The processes that it started."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return [int(word) for word in found.stdout.split()]


def _gone(pid: int) -> bool:
    until = time.monotonic() + 10
    while time.monotonic() < until:
        state = subprocess.run(
            ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        if not state.strip() or state.startswith("Z"):
            return True
        time.sleep(0.02)
    return False


def _digest(path: Path) -> str:
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.is_file())
        return hashlib.sha256("".join(f"{file.name} {_digest(file)}" for file in files).encode()).hexdigest()
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def keep(results: Results, tracks: dict[str, Track]) -> None:
    """The track record: a column for each kind of output."""

    def add(what: str, counts: dict[str, float]) -> None:
        results.add("killed, and started again", what, "", {name: [count] for name, count in counts.items()})

    for blow, what in zip(BLOWS, WORDS, strict=True):
        add(what, {name: track.blows[blow] for name, track in tracks.items()})
    add("runs that ended", {name: track.runs for name, track in tracks.items()})
    for what, sign in WRONG.items():
        add(what, {name: sum(sign in problem for problem in track.problems) for name, track in tracks.items()})
    add("rows computed again, for each kill", {name: track.repeated_a_kill for name, track in tracks.items()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000, help="blows, for each output")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--output", action="append", help="may be repeated; all three kinds, where it is not given")
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    began, tracks = time.monotonic(), {}
    results = Results.begin("faults", 1, quick=given.kills < FULL)
    for name in given.output or OUTPUTS:
        with tempfile.TemporaryDirectory(prefix="twofold-faults-") as folder:
            tracks[name] = batter(Job(Path(folder), name, 3000).prepare(), given.kills, given.seed)
        print(f"{name}: {tracks[name]}", flush=True)
    keep(results, tracks)
    if not given.output:
        results.notes.append(f"Seed {given.seed}; runs of 3,000 rows in 60 splits, two workers.")
        results.save(time.monotonic() - began)
    sys.exit(1 if any(track.problems for track in tracks.values()) else 0)


if __name__ == "__main__":
    main()
