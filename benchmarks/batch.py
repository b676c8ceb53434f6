"""Batch against loops written by hand, as whole processes: from the start until the output is on the disk.

    python -m benchmarks.batch [--quick]

Payments of examples/fraud: 30 float32, an id, a string, an instant and a nullable integer; its ONNX model. Once the
four and the prediction are kept, once all columns. Then the article's function, called row by row. The loops
(benchmarks/loops.py) have the same model outputs and the same columns in the same order.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from benchmarks.processes import EVEN, FRAUD, HERE, TWOFOLD, Cost, interleaved, peak_mb, run, workplace
from benchmarks.results import Goal, Results

KEPT = "id,merchant,at,customer_years"
LOOP = [sys.executable, "-m", "benchmarks.loops"]
MAKE = FRAUD.with_name("make_data.py")
WHERE = HERE / "where.py"
FILE, HAND, PANDAS = "twofold, one file", "by hand", "pandas"


def make_numbers(path: Path, rows: int) -> Path:
    """One integer a row."""
    random = np.random.default_rng(3)
    schema = pa.schema([("number", pa.int64())])
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=False) as writer:
        for first in range(0, rows, 262_144):
            numbers = random.integers(0, 1 << 40, min(262_144, rows - first))
            writer.write_table(pa.table([pa.array(numbers)], schema))
    return path


def fresh(command: Sequence[str], output: Path, measure: Callable[[Sequence[str]], Cost]) -> Cost:
    """Run with no output there."""
    remove(output)
    return measure(command)


def _read(output: Path) -> pa.Table:
    return ds.dataset(sorted(map(str, output.iterdir())) if output.is_dir() else str(output)).to_table()


def _close(one: pa.ChunkedArray, two: pa.ChunkedArray) -> bool:
    """A session of several threads, as it comes, adds trees in another order: scores differ by up to 1e-6."""
    return np.allclose(one.to_numpy(), two.to_numpy(), rtol=1e-5, atol=2e-6)


def remove(output: Path) -> None:
    for path in (output, output.with_name(output.name + ".twofold")):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


class Bench:
    def __init__(self, results: Results, folder: Path) -> None:
        self.results = results
        self.folder = folder

    def compare(self, group: str, commands: dict[str, tuple[list[str], Path]], goals: dict[str, Goal | None]) -> None:
        """Time, CPU and memory of each side; the outputs must be the same."""
        peaks = {}
        for side, (command, output) in commands.items():
            remove(output)
            peaks[side] = [peak_mb(command)]  # also warms the disk's cache
        self._same(group, [output for _, output in commands.values()])
        calls = {side: partial(fresh, command, output, run) for side, (command, output) in commands.items()}
        costs = interleaved(self.results.rounds, calls)
        walls = {side: [cost.wall_s for cost in found] for side, found in costs.items()}
        for title, goal in goals.items():
            shown = walls if goal is None or goal.side == "twofold" else {s: walls[s] for s in (goal.side, goal.over)}
            self.results.add(group, title, "s", shown, goal)
        self.results.add(group, "CPU time", "s", {s: [cost.cpu_s for cost in found] for s, found in costs.items()})
        self.results.add(group, "peak memory", "MB", peaks, Goal(1074))
        for _, output in commands.values():
            remove(output)

    def _same(self, group: str, outputs: list[Path]) -> None:
        """The same columns in the same order with the same rows (twofold also says that a prediction is never null)."""
        first = outputs[0]
        there = _read(first)
        for output in outputs[1:]:
            other = _read(output)
            if other.column_names != there.column_names:
                raise SystemExit(f"{group}: {output.name} has other columns than {first.name}")
            for name in there.column_names:
                one, two = there.column(name), other.column(name)
                if not one.equals(two) and not ("pandas" in output.name and name == "prediction" and _close(one, two)):
                    raise SystemExit(f"{group}: {output.name} and {first.name} differ in {name}")

    def fraud(self, rows: int) -> None:
        source = self.folder / "payments.parquet"
        run([sys.executable, str(MAKE), str(source), str(rows)])
        model, data = str(FRAUD), str(source)
        for kept, title in (("kept", "4 columns kept"), ("all", "all 34 columns kept")):
            keep = ["--keep", KEPT] if kept == "kept" else []
            parts, whole, hand, pandas = (
                self.folder / f"{kept}-{n}" for n in ("parts", "whole.parquet", "hand.parquet", "pandas.parquet")
            )
            ours = [*TWOFOLD, "batch", model, data]
            how = ["--map", "features=f0..f29", *keep]
            self.compare(
                f"fraud model, {rows / 1e6:g} M rows, {title}",
                {
                    "twofold": ([*ours, f"{parts}/", *how], parts),
                    FILE: ([*ours, str(whole), *how], whole),
                    HAND: ([*LOOP, "threads", model, data, str(hand), kept], hand),
                    PANDAS: ([*LOOP, "pandas", model, data, str(pandas), kept], pandas),
                },
                {
                    "time, into a folder": Goal(1.05, HAND),
                    "one file instead": Goal(1.05, "twofold", side=FILE),
                },
            )
        source.unlink()

    def even(self, rows: int) -> None:
        source = make_numbers(self.folder / "numbers.parquet", rows)
        for kind, model, title, limit in (
            ("even", EVEN, "the article's function", 1.25),
            ("where", WHERE, "the article's function on whole columns", 1.1),
        ):
            parts, hand = self.folder / f"{kind}-parts", self.folder / f"{kind}-hand.parquet"
            self.compare(
                f"{title}, {rows / 1e6:g} M rows",
                {
                    "twofold": ([*TWOFOLD, "batch", str(model), str(source), f"{parts}/"], parts),
                    HAND: ([*LOOP, kind, "-", str(source), str(hand), "all"], hand),
                },
                {"time, into a folder": Goal(limit, HAND)},
            )
        source.unlink()

    def small(self, rounds: int) -> None:
        """What is paid before the first row."""
        source, hand = self.folder / "small.parquet", self.folder / "small-hand.parquet"
        run([sys.executable, str(MAKE), str(source), "1000"])
        output = self.folder / "small-parts"
        ours = [*TWOFOLD, "batch", str(FRAUD), str(source), f"{output}/", "--map", "features=f0..f29", "--keep", KEPT]
        loop = [*LOOP, "threads", str(FRAUD), str(source), str(hand), "kept"]
        sides = {"twofold": partial(fresh, ours, output, run), HAND: partial(fresh, loop, hand, run)}
        found = interleaved(rounds, sides)
        walls = {side: [cost.wall_s for cost in costs] for side, costs in found.items()}
        self.results.add("start", "1,000 payments, whole process", "s", walls, Goal(0.8))
        python = [sys.executable, "-c"]
        bare = interleaved(
            2 * rounds, {"with": lambda: run([*python, "import twofold"]), "without": lambda: run([*python, "pass"])}
        )
        took = [a.wall_s - b.wall_s for a, b in zip(bare["with"], bare["without"], strict=True)]
        self.results.add("start", "import twofold", "s", {"twofold": took}, Goal(0.15))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the rows, once")
    given = parser.parse_args()
    began = time.perf_counter()
    rounds, part = (1, 10) if given.quick else (5, 1)
    results = Results.begin("batch", rounds, quick=given.quick)
    with workplace() as folder:
        bench = Bench(results, folder)
        bench.small(rounds)
        bench.fraud(5_000_000 // part)
        bench.even(20_000_000 // part)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
