"""Batch against loops written by hand, as whole processes: from the start until the output is there.

    python -m benchmarks.batch [--rounds 5] [--rows 2000000]

The loops do the same: read Parquet in bounded memory, compute, write all columns and the answer, in order, on as many
cores. (They recover from nothing, check nothing, and leave half a file when killed.) Goals: at most 1.05x their time; a
batch of 1,000 rows within 0.8 s; `import twofold` within 0.15 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.common import EVEN, FEATURES, TWOFOLD, Cost, make_trees, run, show, workplace

LOOP = [sys.executable, "-m", "benchmarks.loops"]


def make_numbers(path: Path, rows: int) -> Path:
    """An id, a number, a price and a text a row."""
    random = np.random.default_rng(3)
    table = pa.table(
        {
            "id": np.arange(rows),
            "number": random.integers(0, 1 << 40, rows),
            "price": random.normal(100, 15, rows),
            "shop": pa.array(random.choice(["north", "south", "east", "west"], rows)),
        }
    )
    pq.write_table(table, path, row_group_size=262_144)
    return path


def make_features(path: Path, rows: int) -> Path:
    """An id and 30 floats a row."""
    random = np.random.default_rng(4)
    columns = {"id": pa.array(np.arange(rows))}
    for n in range(FEATURES):
        columns[f"f{n}"] = pa.array(random.normal(size=rows).astype(np.float32))
    pq.write_table(pa.table(columns), path, row_group_size=131_072)
    return path


def bench(title: str, ours: list[str], theirs: list[str], rounds: int) -> None:
    one: list[Cost] = []
    other: list[Cost] = []
    for _ in range(rounds):
        one.append(run(ours))
        other.append(run(theirs))
    show(f"{title}: time", "s", [c.wall_s for c in one], [c.wall_s for c in other], "1.05")
    show(f"{title}: CPU time", "s", [c.cpu_s for c in one], [c.cpu_s for c in other])


def both(title: str, model: str, source: Path, mapping: list[str], rounds: int) -> None:
    """On one core, and on all of them."""
    output = str(source.parent / "out.parquet")
    command = [*TWOFOLD, "batch", model, str(source), output, "--overwrite", *mapping]
    kind = "even" if model.endswith(".py") else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for workers in sorted({1, cores}):
        loop = [*LOOP, kind, str(source), output + ".by-hand.parquet", str(workers)]
        bench(f"{title}, {workers} worker(s)", [*command, "--workers", str(workers)], loop, rounds)
    ours, theirs = pq.read_table(output), pq.read_table(output + ".by-hand.parquet")
    assert ours.column(ours.num_columns - 1).equals(theirs.column(theirs.num_columns - 1)), "the answers differ"
    assert ours.num_columns == theirs.num_columns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=2_000_000)
    given = parser.parse_args()
    empty = [run([sys.executable, "-c", "pass"]).wall_s for _ in range(given.rounds * 2)]
    light = [run([sys.executable, "-c", "import twofold"]).wall_s for _ in range(given.rounds * 2)]
    print(f"import twofold: {statistics.median(light) - statistics.median(empty):.3f} s (goal 0.15)")
    with workplace() as folder:
        small = make_numbers(folder / "small.parquet", 1000)
        command = [*TWOFOLD, "batch", str(EVEN), str(small), str(folder / "small-out.parquet"), "--overwrite"]
        times = [run(command).wall_s for _ in range(given.rounds)]
        print(f"a batch of 1,000 rows: {statistics.median(times):.2f} s as a whole process (goal 0.8)")
        numbers = make_numbers(folder / "numbers.parquet", given.rows)
        both("even or odd", str(EVEN), numbers, [], given.rounds)
        trees = make_trees(folder / "trees.onnx")
        features = make_features(folder / "features.parquet", given.rows // 4)
        both("100 trees, 30 floats", str(trees), features, ["--map", "features=f0..f29"], given.rounds)


if __name__ == "__main__":
    main()
