"""Small ONNX models, made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
Shape = Sequence[str | int | None] | None


def value(name: str, kind: int = TensorProto.FLOAT, shape: Shape = ("N",)) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def constant(name: str, array: Any) -> Any:
    return numpy_helper.from_array(np.asarray(array), name)


def save(
    path: Path, nodes: Sequence[Any], inputs: Sequence[Any], outputs: Sequence[Any], constants: Sequence[Any] = ()
) -> Path:
    graph = helper.make_graph(list(nodes), "graph", list(inputs), list(outputs), list(constants))
    domains = [helper.make_opsetid("", 17), helper.make_opsetid(ML, 3)]
    onnx.save(helper.make_model(graph, opset_imports=domains, ir_version=8), path)
    return path


def identity(path: Path, kind: int, shape: Shape, declared: Shape | str = "same") -> Path:
    """`x` comes back as it is."""
    out = shape if declared == "same" else declared
    node = helper.make_node("Identity", ["x"], ["y"])
    return save(path, [node], [value("x", kind, shape)], [value("y", kind, out)])


def weighted_sum(path: Path, weights: Sequence[float], rows: str | int = "N", declared: Shape = None) -> Path:
    """`score` = features · weights, of shape [rows, 1]."""
    node = helper.make_node("MatMul", ["features", "w"], ["score"])
    column = np.array(weights, dtype=np.float32).reshape(-1, 1)
    features = value("features", shape=(rows, len(weights)))
    return save(path, [node], [features], [value("score", shape=declared or (rows, 1))], [constant("w", column)])


def sums(path: Path) -> Path:
    """Three inputs of a value a row; two outputs."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["total"]),
        helper.make_node("Mul", ["total", "c"], ["product"]),
    ]
    inputs = [value("a"), value("b", shape=("N", 1)), value("c")]
    nodes.insert(0, helper.make_node("Squeeze", ["b", "axes"], ["b_flat"]))
    nodes[1] = helper.make_node("Add", ["a", "b_flat"], ["total"])
    return save(path, nodes, inputs, [value("total"), value("product")], [constant("axes", np.array([1], np.int64))])


def classifier(path: Path, labels: Sequence[int] | Sequence[str], declared: Shape = ("N",)) -> Path:
    """A linear classifier of 2 features as scikit-learn's converter writes it: `label`, and `probabilities` as maps."""
    text = isinstance(labels[0], str)
    make: Any = helper.make_node
    linear = make(
        "LinearClassifier",
        ["x"],
        ["label", "scores"],
        domain=ML,
        coefficients=[float(c) for c in range(2 * len(labels))],
        intercepts=[0.0] * len(labels),
        post_transform="SOFTMAX",
        **{"classlabels_strings" if text else "classlabels_ints": list(labels)},
    )
    zipped = make(
        "ZipMap",
        ["scores"],
        ["probabilities"],
        domain=ML,
        **{"classlabels_strings" if text else "classlabels_int64s": list(labels)},
    )
    key = TensorProto.STRING if text else TensorProto.INT64
    maps = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    outputs = [
        value("label", key, declared),
        helper.make_value_info("probabilities", helper.make_sequence_type_proto(maps)),
    ]
    return save(path, [linear, zipped], [value("x", shape=("N", 2))], outputs)


def picky_classifier(path: Path, labels: Sequence[int] | Sequence[str], *, declared: Shape = ("N",)) -> Path:
    """`country` -> `label`, `scores` and maps of them; the runtime refuses any country but DE, FR and IT."""
    make: Any = helper.make_node
    text = isinstance(labels[0], str)
    keys = {"classlabels_strings" if text else "classlabels_int64s": list(labels)}
    classes = {"classlabels_strings" if text else "classlabels_ints": list(labels)}
    nodes = [
        make("OneHotEncoder", ["country"], ["coded"], domain=ML, cats_strings=["DE", "FR", "IT"], zeros=0),
        make("Reshape", ["coded", "flat"], ["x"]),
        make(
            "LinearClassifier",
            ["x"],
            ["label", "scores"],
            domain=ML,
            coefficients=[float(at == row) for row in range(len(labels)) for at in range(3)],
            intercepts=[0.0] * len(labels),
            **classes,
        ),
        make("ZipMap", ["scores"], ["maps"], domain=ML, **keys),
    ]
    key = TensorProto.STRING if text else TensorProto.INT64
    maps = helper.make_map_type_proto(key, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    outputs = [
        value("label", key, declared),
        value("scores", shape=("N", len(labels))),
        helper.make_value_info("maps", helper.make_sequence_type_proto(maps)),
    ]
    flat = constant("flat", np.array([-1, 3], np.int64))
    return save(path, nodes, [value("country", TensorProto.STRING, ("N", 1))], outputs, [flat])


def token_sum(path: Path) -> Path:
    """Two lists of a length that is open: `total` of their products, and the `products`."""
    nodes = [
        helper.make_node("Mul", ["ids", "mask"], ["products"]),
        helper.make_node("ReduceSum", ["products", "axes"], ["total"], keepdims=0),
    ]
    inputs = [value(name, TensorProto.INT64, ("N", "tokens")) for name in ("ids", "mask")]
    outputs = [value("total", TensorProto.INT64, ("N",)), value("products", TensorProto.INT64, ("N", "tokens"))]
    return save(path, nodes, inputs, outputs, [constant("axes", np.array([1], np.int64))])


def picky(path: Path) -> Path:
    """`y` = table[i] for i in 0..2; the runtime refuses any other i."""
    node = helper.make_node("Gather", ["table", "i"], ["y"])
    table = constant("table", np.array([10.0, 11.0, 12.0], np.float32))
    return save(path, [node], [value("i", TensorProto.INT64)], [value("y")], [table])


def forest(path: Path, *, features: int, trees: int, depth: int, seed: int = 0) -> Path:
    """A random forest of full trees: [N, features] -> [N, 1]."""
    random = np.random.default_rng(seed)
    inner, count = 2**depth - 1, 2 ** (depth + 1) - 1
    nodes = np.tile(np.arange(count), trees)
    tree = np.repeat(np.arange(trees), count)
    is_leaf = nodes >= inner
    leaves = np.flatnonzero(is_leaf)
    ensemble = helper.make_node(
        "TreeEnsembleRegressor",
        ["features"],
        ["score"],
        domain=ML,
        n_targets=1,
        nodes_treeids=tree.tolist(),
        nodes_nodeids=nodes.tolist(),
        nodes_featureids=random.integers(0, features, len(nodes)).tolist(),
        nodes_values=random.normal(size=len(nodes)).tolist(),
        nodes_modes=np.where(is_leaf, "LEAF", "BRANCH_LT").tolist(),
        nodes_truenodeids=np.where(is_leaf, 0, 2 * nodes + 1).tolist(),
        nodes_falsenodeids=np.where(is_leaf, 0, 2 * nodes + 2).tolist(),
        target_treeids=tree[leaves].tolist(),
        target_nodeids=nodes[leaves].tolist(),
        target_ids=[0] * len(leaves),
        target_weights=random.normal(size=len(leaves)).tolist(),
    )
    return save(path, [ensemble], [value("features", shape=("N", features))], [value("score", shape=("N", 1))])
