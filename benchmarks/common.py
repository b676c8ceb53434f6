"""What the benchmarks share: models, data, timing of whole processes."""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
EVEN = HERE / "even.py"
TWOFOLD = [sys.executable, "-m", "twofold"]
FEATURES = 30


@dataclass(frozen=True)
class Cost:
    """Of one process and its children: seconds on the clock, seconds of CPU."""

    wall_s: float
    cpu_s: float


def run(command: list[str]) -> Cost:
    """Run a command to its end, quietly. Raises when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    wall_s = time.perf_counter() - began
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall_s, cpu_s)


def interleaved(rounds: int, **sides: Callable[[], float]) -> dict[str, list[float]]:
    """Measure each side once a round, so that what else the machine does meets both alike."""
    found: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            found[name].append(side())
    return found


def show(title: str, unit: str, ours: list[float], theirs: list[float], goal: str = "") -> None:
    """Medians, their ratio, and the ratios of the single rounds."""
    ratios = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    one, other = statistics.median(ours), statistics.median(theirs)
    ratio = one / other
    spread = f"rounds {ratios[0]:.2f}-{ratios[-1]:.2f}" + (f", goal {goal}" if goal else "")
    print(
        f"{title:<44} twofold {one:10.2f} {unit:<3} by hand {other:10.2f} {unit:<3} ratio {ratio:.2f} ({spread})",
        flush=True,
    )


@contextmanager
def workplace() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="twofold-bench-") as folder:
        yield Path(folder)


def make_trees(path: Path, trees: int = 100, depth: int = 6) -> Path:
    """A gradient-boosted regressor as ONNX: input `features` float32[N, 30], output `score` float32[N, 1]."""
    import onnx
    from onnx import TensorProto, helper

    random = np.random.default_rng(7)
    inner, leaves = 2**depth - 1, 2**depth
    nodes: dict[str, list[object]] = {
        key: [] for key in ("treeids", "nodeids", "featureids", "values", "modes", "truenodeids", "falsenodeids")
    }
    targets: dict[str, list[object]] = {key: [] for key in ("treeids", "nodeids", "ids", "weights")}
    for tree in range(trees):
        for node in range(inner + leaves):
            is_leaf = node >= inner
            nodes["treeids"].append(tree)
            nodes["nodeids"].append(node)
            nodes["featureids"].append(0 if is_leaf else int(random.integers(FEATURES)))
            nodes["values"].append(0.0 if is_leaf else float(np.float32(random.normal())))
            nodes["modes"].append("LEAF" if is_leaf else "BRANCH_LEQ")
            nodes["truenodeids"].append(0 if is_leaf else 2 * node + 1)
            nodes["falsenodeids"].append(0 if is_leaf else 2 * node + 2)
            if is_leaf:
                targets["treeids"].append(tree)
                targets["nodeids"].append(node)
                targets["ids"].append(0)
                targets["weights"].append(float(np.float32(random.normal() / trees)))
    attributes: dict[str, Any] = {f"nodes_{key}": value for key, value in nodes.items()}
    attributes |= {f"target_{key}": value for key, value in targets.items()}
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["score"],
        domain="ai.onnx.ml",
        n_targets=1,
        **attributes,
    )
    graph = helper.make_graph(
        [ensemble],
        "trees",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", FEATURES])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["N", 1])],
    )
    opsets = [helper.make_opsetid("", 18), helper.make_opsetid("ai.onnx.ml", 3)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=9), path)
    return path
