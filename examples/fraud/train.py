"""Makes fraud.onnx: gradient-boosted trees on 200,000 made payments, as ONNX. Needs lightgbm and onnxmltools.

    python train.py [OUTPUT.onnx]

The model has one input, `features` float32[rows, 30], and one output, `score` float32[rows, 1]: the probability that it
is fraud. The same versions of the packages make the same bytes.
"""

import sys
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxmltools
from onnx import TensorProto, helper
from onnxmltools.convert.common.data_types import FloatTensorType
from transactions import N_FEATURES, Floats, chunks, frauds

TRAINING_ROWS = 200_000
TREES = 100
SETTINGS = {
    "objective": "binary",
    "num_leaves": 31,
    "learning_rate": 0.1,
    "seed": 1,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbose": -1,
}


def payments(n_rows: int, seed: int) -> tuple[Floats, Floats]:
    """Features (n_rows, 30), and 1.0 where it was fraud (n_rows)."""
    made = [(features, frauds(features, random)) for _, features, random in chunks(n_rows, seed)]
    return np.concatenate([f for f, _ in made]), np.concatenate([y for _, y in made]).astype(np.float32)


def train(n_rows: int = TRAINING_ROWS) -> lightgbm.Booster:
    features, fraud = payments(n_rows, seed=1)
    return lightgbm.train(SETTINGS, lightgbm.Dataset(features, fraud), num_boost_round=TREES)


def in_float32(threshold: float) -> float:
    """The largest float32 that is no larger: a float32 feature goes the same way there. The nearest may be larger."""
    nearest = np.float32(threshold)
    return float(nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf)))


def for_conversion(booster: lightgbm.Booster) -> lightgbm.Booster:
    """The same trees, with thresholds that ONNX can hold (rounded to the nearest, one payment in 100,000 goes another
    way) and the plain sum of the leaves (for a probability the converter adds a label and a table of two columns)."""
    lines = [line for line in booster.model_to_string().splitlines() if not line.startswith("tree_sizes=")]
    for n, line in enumerate(lines):
        if line.startswith("threshold="):
            lines[n] = "threshold=" + " ".join(repr(in_float32(float(t))) for t in line.partition("=")[2].split())
    text = "\n".join(lines).replace("objective=binary sigmoid:1", "objective=regression")
    return lightgbm.Booster(model_str=text.replace("[objective: binary]", "[objective: regression]"))


def as_onnx(booster: lightgbm.Booster) -> onnx.ModelProto:
    """The trees as one node that adds up the log-odds, and a sigmoid."""
    types = [("features", FloatTensorType([None, N_FEATURES]))]
    made = onnxmltools.convert_lightgbm(for_conversion(booster), initial_types=types)
    trees = next(node for node in made.graph.node if node.op_type == "TreeEnsembleRegressor")
    for attribute in list(trees.attribute):
        if attribute.name in ("nodes_hitrates", "nodes_missing_value_tracks_true"):
            trees.attribute.remove(attribute)  # a seventh of the file, and no payment has a missing value
    graph = helper.make_graph(
        [trees, helper.make_node("Sigmoid", [trees.output[0]], ["score"])],
        "fraud",
        made.graph.input,
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["rows", 1])],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, producer_name="train.py", ir_version=8, opset_imports=opsets)
    onnx.checker.check_model(model)
    return model


def main() -> None:
    output = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("fraud.onnx")
    booster = train()
    features, fraud = payments(100_000, seed=2)
    score = booster.predict(features)
    worst = np.argsort(score)[-1000:]
    onnx.save(as_onnx(booster), output)
    size_kb = output.stat().st_size / 1000
    print(f"{output.name}: {size_kb:.0f} kB. Of 100,000 new payments {fraud.mean():.1%} are fraud; "
          f"of the 1,000 that score highest, {fraud[worst].mean():.0%}")  # fmt: skip


if __name__ == "__main__":
    main()
