"""What a benchmark found: kept as JSON in benchmarks/results/, shown as a table of ratios."""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from benchmarks.machine import Machine, this_machine

__all__ = ["FOLDER", "Goal", "Measure", "Results", "load", "median"]

FOLDER = Path(__file__).parent / "results"
QUICK = FOLDER / "quick"  # of short runs: not kept in git, and in no page
OURS = "twofold"
COUNTS = ("", "rows")  # units of what is counted
median = statistics.median


class Goal(msgspec.Struct, frozen=True):
    """`side` is to be at most (`at_least`: at least) `limit` times `over`, another side; without it, `limit` itself."""

    limit: float
    over: str = ""
    side: str = OURS
    at_least: bool = False


class Measure(msgspec.Struct, kw_only=True):
    """One figure, of each side, in each round (interleaved)."""

    group: str
    what: str
    unit: str
    sides: dict[str, list[float]]
    goal: Goal | None = None

    def figure(self, side: str) -> float:
        return median(self.sides[side])

    def shown(self, side: str) -> str:
        """The figure for people; a count as it is."""
        figure = self.figure(side)
        return f"{figure:,.0f}" if self.unit in COUNTS and figure % 1 == 0 else shown(figure)

    def ratio(self, side: str, over: str) -> float:
        return self.figure(side) / self.figure(over) if self.figure(over) else float("inf")

    def reached(self) -> bool | None:
        """Whether the goal is; None where there is none."""
        goal = self.goal
        if goal is None or goal.side not in self.sides or (goal.over and goal.over not in self.sides):
            return None
        found = self.ratio(goal.side, goal.over) if goal.over else self.figure(goal.side)
        # as they are printed: two digits
        return round(found, 2) >= goal.limit if goal.at_least else round(found, 2) <= goal.limit


class Results(msgspec.Struct, kw_only=True):
    """All figures of one benchmark. `quick`: a short run, to see whether it works; its figures say little, and
    nothing of a goal."""

    name: str
    quick: bool
    rounds: int
    machine: Machine
    measures: list[Measure] = msgspec.field(default_factory=list)
    notes: list[str] = msgspec.field(default_factory=list)
    seconds: float = 0.0

    @classmethod
    def begin(cls, name: str, rounds: int, *, quick: bool) -> Results:
        return cls(name=name, quick=quick, rounds=rounds, machine=this_machine())

    def add(
        self, group: str, what: str, unit: str, sides: Mapping[str, Sequence[float]], goal: Goal | None = None
    ) -> None:
        """Note a figure, and print it."""
        rounded = {side: [_rounded(value) for value in values] for side, values in sides.items()}
        measure = Measure(group=group, what=what, unit=unit, sides=rounded, goal=goal)
        self.measures.append(measure)
        figures = "  ".join(f"{side} {measure.shown(side)}" for side in rounded)
        ratios = "  ".join(f"{measure.ratio(OURS, s):.2f}x {s}" for s in rounded if s != OURS and OURS in rounded)
        goal_is = goal_text(measure, verdict=not self.quick)
        print(f"{group}: {what} ({unit}):  {figures}  |  {ratios}  {goal_is}", flush=True)

    def save(self, seconds: float) -> Path:
        self.seconds = round(seconds, 1)
        folder = QUICK if self.quick else FOLDER
        folder.mkdir(exist_ok=True)
        path = folder / f"{self.name}.json"
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")
        print(f"{self.name}: {seconds:.0f} s; written to {os.path.relpath(path)}", file=sys.stderr)
        return path


def load(name: str) -> Results:
    return msgspec.json.decode((FOLDER / f"{name}.json").read_bytes(), type=Results)


def _rounded(value: float) -> float:
    """Four digits; a count keeps all of its own."""
    return float(f"{value:.4g}") if value % 1 else float(value)


def shown(value: float) -> str:
    """Three digits, thousands with commas."""
    if value >= 100:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.2f}" if value < 10 else f"{value:.1f}"


def goal_text(measure: Measure, *, verdict: bool = True) -> str:
    """What is to be reached, and whether it is."""
    goal = measure.goal
    if goal is None:
        return ""
    side = "" if goal.side == OURS else f"{goal.side} "
    over = f"x {goal.over}" if goal.over else ""
    found = {True: ": reached", False: ": missed", None: ""}[measure.reached()] if verdict else ""
    return f"{side}{'≥' if goal.at_least else '≤'} {goal.limit:g}{over}{found}"
