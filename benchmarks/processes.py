"""Whole processes: how long they take, on the clock and of CPU, and how much memory they hold."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from twofold._compare.usage import PeakMemory

__all__ = ["EVEN", "FRAUD", "HERE", "TWOFOLD", "Cost", "interleaved", "peak_mb", "run", "workplace"]

HERE = Path(__file__).parent
EVEN = HERE / "even.py"
FRAUD = HERE.parent / "examples" / "fraud" / "fraud.onnx"
TWOFOLD = [sys.executable, "-m", "twofold"]
COMPILED = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
"""The environment of what is measured: its modules are compiled once, as those of an installed package are."""


@dataclass(frozen=True)
class Cost:
    """Of one process and its children: seconds on the clock, seconds of CPU."""

    wall_s: float
    cpu_s: float


def run(command: Sequence[str]) -> Cost:
    """Run a command to its end, quietly. Ends this program when it fails."""
    before = os.times()
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=COMPILED)
    wall_s = time.perf_counter() - began
    _check(command, done.returncode, done.stderr)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Cost(wall_s, cpu_s)


def peak_mb(command: Sequence[str]) -> float:
    """Run a command to its end; the most memory that it and its children held at once, in MB."""
    with (
        subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=COMPILED
        ) as process,
        PeakMemory(process.pid, 0.05) as peak,
    ):
        _, complaint = process.communicate()
    _check(command, process.returncode, complaint)
    return peak.mb or float("nan")


def _check(command: Sequence[str], returncode: int, complaint: str) -> None:
    if returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{complaint}")


def interleaved(rounds: int, sides: Mapping[str, Callable[[], Cost]]) -> dict[str, list[Cost]]:
    """Each side once a round, so that what else the machine does meets all alike."""
    found: dict[str, list[Cost]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side())
    return found


@contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="twofold-bench-") as folder:
        yield Path(folder)
