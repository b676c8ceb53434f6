"""The ONNX flavor: signatures read from files, and answers that do not depend on how rows are batched."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from onnx import TensorProto, helper

from tests.flavors import graphs
from twofold._columns import Batch
from twofold._errors import MissingExtra, ModelError, UsageError
from twofold._flavors.onnx_fields import Declared, read_output
from twofold._flavors.onnx_file import zip_map_keys
from twofold._model import Model, load
from twofold._runner import Runner
from twofold._signature import Constraints, Field, Float, List, String, Tensor, type_name


def fields(model: Model) -> tuple[dict[str, str], dict[str, str]]:
    inputs, outputs = model.signature.inputs, model.signature.outputs
    return {f.name: type_name(f.type) for f in inputs}, {f.name: type_name(f.type) for f in outputs}


def answers(model: Model, rows: list[Any]) -> list[Any]:
    """The answers of all rows at once; the same rows one by one must give the same."""
    typed = [model.signature.row(row) for row in rows]
    runner = Runner(model)
    schema = model.signature.input_schema
    result = runner.run(Batch.from_rows(schema, typed))
    assert not result.failures
    together = result.outputs.rows()
    alone = [runner.run(Batch.from_rows(schema, [row])).outputs.rows()[0] for row in typed]
    through_arrow = runner.run(Batch.from_arrow(Batch.from_rows(schema, typed).arrow())).outputs
    assert together == alone == through_arrow.rows()
    result.outputs.arrow().validate(full=True)
    return together


KINDS: dict[str, tuple[int, list[Any]]] = {
    "bool": (TensorProto.BOOL, [True, False]),
    "int8": (TensorProto.INT8, [-128, 127]),
    "int16": (TensorProto.INT16, [-5, 7]),
    "int32": (TensorProto.INT32, [-(2**31), 2**31 - 1]),
    "int64": (TensorProto.INT64, [2**53 + 1, -(2**63)]),
    "uint8": (TensorProto.UINT8, [0, 255]),
    "uint16": (TensorProto.UINT16, [0, 65535]),
    "uint32": (TensorProto.UINT32, [0, 2**32 - 1]),
    "uint64": (TensorProto.UINT64, [0, 2**64 - 1]),
    "float16": (TensorProto.FLOAT16, [0.5, math.inf]),
    "float32": (TensorProto.FLOAT, [0.25, -math.inf]),
    "float64": (TensorProto.DOUBLE, [0.1, 5e-324]),
    "string": (TensorProto.STRING, ["", "Grüße"]),
}


@pytest.mark.parametrize("name", KINDS)
def test_types_of_elements(name: str, tmp_path: Path) -> None:
    kind, values = KINDS[name]
    for shape in (("N",), (None,), ("N", 1)):
        model = load(graphs.identity(tmp_path / "m.onnx", kind, shape))
        assert fields(model) == ({"x": name}, {"prediction": name})
        assert answers(model, [{"x": v} for v in values]) == [(v,) for v in values]


@pytest.mark.parametrize("name", [name for name in KINDS if name != "string"])
def test_vectors_and_matrices(name: str, tmp_path: Path) -> None:
    kind, (one, other) = KINDS[name]
    model = load(graphs.identity(tmp_path / "v.onnx", kind, ("N", 2)))
    assert fields(model) == ({"x": f"{name}[2]"}, {"prediction": f"{name}[2]"})
    assert answers(model, [{"x": [one, other]}, {"x": [other, other]}]) == [([one, other],), ([other, other],)]
    model = load(graphs.identity(tmp_path / "m.onnx", kind, ("N", 2, 3)))
    assert fields(model)[0] == {"x": f"{name}[2, 3]"}
    matrix = [[one, one, other], [other, one, one]]
    assert answers(model, [{"x": matrix}]) == [(matrix,)]


def test_strings_of_a_fixed_number(tmp_path: Path) -> None:
    model = load(graphs.identity(tmp_path / "s.onnx", TensorProto.STRING, ("N", 3)))
    (field,) = model.signature.inputs
    assert field == Field("x", List(Field("item", String())), constraints=Constraints(min_length=3, max_length=3))
    assert answers(model, [{"x": ["a", "", "c"]}, {"x": ["d", "e", "f"]}]) == [(["a", "", "c"],), (["d", "e", "f"],)]


def test_sizes_that_are_open_are_lists_and_rows_may_differ(tmp_path: Path) -> None:
    model = load(graphs.token_sum(tmp_path / "t.onnx"))
    list_of_int = "list of int64"
    assert fields(model) == ({"ids": list_of_int, "mask": list_of_int}, {"total": "int64", "products": list_of_int})
    rows = [{"ids": ids, "mask": [1] * len(ids)} for ids in ([1, 2], [5], [7, 8], [1, 2, 3], [9], [])]
    wanted = [(3, [1, 2]), (5, [5]), (15, [7, 8]), (6, [1, 2, 3]), (9, [9]), (0, [])]
    assert answers(model, rows) == wanted
    bad = Runner(model).run(Batch.from_rows(model.signature.input_schema, [([1, 2], [1, 1]), ([1, 2], [1, 1, 1])]))
    assert bad.outputs.rows() == [(3, [1, 2])]
    assert bad.failures[1].code == "model_failed"


def test_an_open_size_with_fixed_ones_behind_it(tmp_path: Path) -> None:
    model = load(graphs.identity(tmp_path / "m.onnx", TensorProto.FLOAT, ("N", "boxes", 2)))
    (field,) = model.signature.inputs
    assert field.type == List(Field("item", Tensor(Float(32), (2,))))
    rows: list[Any] = [{"x": [[1.0, 2.0]]}, {"x": []}, {"x": [[3.0, 4.0], [5.0, 6.0]]}]
    assert answers(model, rows) == [(row["x"],) for row in rows]
    model = load(graphs.identity(tmp_path / "o.onnx", TensorProto.FLOAT, ("N", 2, "depth")))
    rows = [{"x": [[1.0], [2.0]]}, {"x": [[1.0, 2.0], [3.0, 4.0]]}]
    assert answers(model, rows) == [(row["x"],) for row in rows]


def test_several_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    file = graphs.sums(tmp_path / "s.onnx")
    model = load(file)
    scalars = {"a": "float32", "b": "float32", "c": "float32"}
    assert fields(model) == (scalars, {"total": "float32", "product": "float32"})
    assert answers(model, [{"a": 1, "b": 2, "c": 3}, {"a": 0.5, "b": 0, "c": 4}]) == [(3.0, 9.0), (0.5, 2.0)]
    assert model(a=1, b=2, c=3) == {"total": 3.0, "product": 9.0}
    with pytest.raises(TypeError, match=r"by keyword: model\(a=…, b=…, c=…\)"):
        model(1, 2, 3)
    chosen = load(file, outputs=["product"])
    assert fields(chosen)[1] == {"prediction": "float32"}
    assert chosen(a=1, b=2, c=3) == 9.0
    assert list(fields(load(file, outputs=["product", "total"]))[1]) == ["product", "total"]
    with pytest.raises(UsageError, match=r"no output 'nope'.* total, product"):
        load(file, outputs=["nope"])
    with pytest.raises(UsageError, match=r"no output 'nope'.* total"):
        load(file, outputs=["total", "nope"])
    assert load(file).version != chosen.version


@pytest.mark.parametrize("labels", [[0, 1, 2], ["setosa", "versicolor"]], ids=["numbers", "words"])
@pytest.mark.parametrize("declared", [("N",), (1,)], ids=["rows", "declared [1]"])
def test_zip_maps_become_columns(labels: list[Any], declared: Any, tmp_path: Path, capfd: Any) -> None:
    file = graphs.classifier(tmp_path / "c.onnx", labels, declared)
    model = load(file)
    word = "string" if isinstance(labels[0], str) else "int64"
    columns = {f"probabilities_{label}": "float32" for label in labels}
    assert fields(model) == ({"x": "float32[2]"}, {"label": word, **columns})
    found: list[Any] = answers(model, [{"x": [1, 2]}, {"x": [-3, 0.5]}, {"x": [0, 0]}])
    assert found[0][0] == labels[-1]
    for _, *probabilities in found:
        assert sum(probabilities) == pytest.approx(1, abs=1e-6)
    only = load(file, outputs=["label"])
    assert fields(only)[1] == {"prediction": word}
    one_class = load(file, outputs=[f"probabilities_{labels[1]}"])
    assert fields(one_class)[1] == {"prediction": "float32"}
    assert answers(one_class, [{"x": [1, 2]}]) == [(found[0][2],)]
    assert list(fields(load(file, outputs=["probabilities"]))[1]) == list(columns)
    assert "warn" not in "".join(capfd.readouterr()).lower()


@pytest.mark.parametrize("labels", [[7, -8, 300], ["a", "ü", "c"]], ids=["numbers", "words"])
def test_models_that_refuse_rows_of_zeros_are_read_from_what_they_declare(labels: list[Any], tmp_path: Path) -> None:
    file = graphs.picky_classifier(tmp_path / "p.onnx", labels, declared=(1,))
    model = load(file)
    word = "string" if isinstance(labels[0], str) else "int64"
    maps = {f"maps_{label}": "float32" for label in labels}
    assert fields(model) == ({"country": "string"}, {"label": word, "scores": "float32[3]", **maps})
    found = answers(model, [{"country": "FR"}, {"country": "DE"}])
    assert found[0] == (labels[1], [0.0, 1.0, 0.0], 0.0, 1.0, 0.0)
    assert found[1] == (labels[0], [1.0, 0.0, 0.0], 1.0, 0.0, 0.0)
    assert fields(load(file, outputs=["maps", "scores"]))[1] == {**maps, "scores": "float32[3]"}


def test_a_shape_that_is_neither_declared_nor_seen() -> None:
    with pytest.raises(ModelError, match="The shape of the output 'y' is not declared"):
        read_output(Declared("y", "tensor(float)", ()), None, 2, open_inputs=False)
    with pytest.raises(ModelError, match="which no column can hold"):
        read_output(Declared("y", "seq(map(int64,tensor(float)))", ()), None, 2, open_inputs=False)


@pytest.mark.parametrize("labels", [[0], [-1, 2**40, -(2**63)], ["a"], ["", "ü" * 200]])
def test_keys_of_maps_are_read_from_the_file(labels: list[Any], tmp_path: Path) -> None:
    content = graphs.classifier(tmp_path / "c.onnx", labels).read_bytes()
    assert zip_map_keys(content) == {"probabilities": labels}
    assert zip_map_keys(graphs.weighted_sum(tmp_path / "w.onnx", [1.0]).read_bytes()) == {}


def test_rows_that_the_file_fixes(tmp_path: Path) -> None:
    rows = [{"features": [i, 2 * i]} for i in range(7)]
    for fixed in (1, 3):
        model = load(graphs.weighted_sum(tmp_path / f"{fixed}.onnx", [1.0, 10.0], rows=fixed))
        assert fields(model) == ({"features": "float32[2]"}, {"prediction": "float32"})
        assert answers(model, rows) == [(21.0 * i,) for i in range(7)]


def test_the_first_dimension_of_outputs_is_rows_whatever_is_declared(tmp_path: Path, capfd: Any) -> None:
    model = load(graphs.weighted_sum(tmp_path / "m.onnx", [1.0, 1.0], declared=(1, 1)))
    assert answers(model, [{"features": [i, i]} for i in range(5)]) == [(2.0 * i,) for i in range(5)]
    assert capfd.readouterr() == ("", "")


def test_a_row_the_runtime_refuses_fails_alone_and_without_noise(tmp_path: Path, capfd: Any) -> None:
    model = load(graphs.picky(tmp_path / "p.onnx"))
    rows = [(i,) for i in (0, 1, 9, 2, 1, -9)]
    result = Runner(model).run(Batch.from_rows(model.signature.input_schema, rows))
    assert result.outputs.rows() == [(10.0,), (11.0,), (12.0,), (11.0,)]
    assert sorted(result.failures) == [2, 5]
    assert result.failures[2].code == "model_failed"
    assert "out of data bounds" in result.failures[2].message
    assert capfd.readouterr() == ("", "")


def test_a_forest_gives_the_same_bytes_alone_and_in_batches(tmp_path: Path) -> None:
    model = load(graphs.forest(tmp_path / "f.onnx", features=5, trees=20, depth=4))
    values = np.random.default_rng(1).normal(size=(3000, 5)).astype("f4")
    schema = model.signature.input_schema
    runner = Runner(model)
    whole = runner.run(Batch.from_numpy(schema, {"features": values})).outputs.numpy("prediction")
    for size in (1, 2, 7, 1000):
        parts = [Batch.from_numpy(schema, {"features": values[at : at + size]}) for at in range(0, 200, size)]
        found = np.concatenate([runner.run(part).outputs.numpy("prediction") for part in parts])
        assert found[:200].tobytes() == whole[:200].tobytes()


def test_nulls(tmp_path: Path) -> None:
    scalar = graphs.identity(tmp_path / "s.onnx", TensorProto.FLOAT, ("N",))
    assert load(scalar).signature.nulls_as_nan is False
    as_nan = load(scalar, nulls="nan")
    assert math.isnan(as_nan(x=None))
    assert as_nan.version != load(scalar).version


def test_how_a_session_is_set_up(tmp_path: Path) -> None:
    model = load(graphs.identity(tmp_path / "m.onnx", TensorProto.FLOAT, ("N",)))
    graph: Any = model._loaded.call.__self__  # type: ignore[attr-defined]
    options = graph._session.get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads, options.log_severity_level) == (1, 1, 3)
    assert model.drops_gil
    assert model.form == "columns"
    assert (model.name, model.example) == ("m", None)


def test_version_is_that_of_the_bytes_and_of_weights_kept_beside_them(tmp_path: Path) -> None:
    import onnx

    file = graphs.weighted_sum(tmp_path / "m.onnx", [1.0, 2.0])
    first = load(file).version
    renamed = tmp_path / "other.onnx"
    renamed.write_bytes(file.read_bytes())
    assert load(renamed).version == first
    assert load(graphs.weighted_sum(file, [1.0, 3.0])).version != first
    outside = tmp_path / "outside.onnx"
    made = onnx.load(graphs.weighted_sum(tmp_path / "w.onnx", [float(i) for i in range(1000)]))
    onnx.save(made, outside, save_as_external_data=True, location="weights.bin", size_threshold=0)
    before = load(outside).version
    weights = bytearray((tmp_path / "weights.bin").read_bytes())
    weights[0:4] = np.float32(5).tobytes()
    (tmp_path / "weights.bin").write_bytes(weights)
    assert load(outside).version != before


def refused(tmp_path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: Any = ()) -> str:
    with pytest.raises(ModelError) as caught:
        load(graphs.save(tmp_path / "bad.onnx", nodes, inputs, outputs, constants))
    return caught.value.message


def test_files_that_are_no_model_of_rows(tmp_path: Path) -> None:
    node = helper.make_node
    x = graphs.value("x", shape=("N", 2))
    message = refused(tmp_path, [node("Identity", ["x"], ["y"])], [graphs.value("x", shape=())], [graphs.value("y")])
    assert "'x' is declared without a dimension for rows" in message
    message = refused(tmp_path, [node("ReduceSum", ["x"], ["y"], keepdims=0)], [x], [graphs.value("y", shape=())])
    assert "'y' has no rows for 2 rows" in message
    axes = [graphs.constant("axes", np.array([0], np.int64))]
    reduced = [node("ReduceSum", ["x", "axes"], ["y"], keepdims=1)]
    assert "'y' has 1 rows for 2 rows" in refused(tmp_path, reduced, [x], [graphs.value("y", shape=(1, 2))], axes)
    sequence = helper.make_value_info(
        "y", helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    )
    message = refused(tmp_path, [node("SplitToSequence", ["x"], ["y"], axis=1)], [x], [sequence])
    assert "'y' is seq(tensor(float)), which no column can hold" in message
    both = [graphs.value("a", shape=(2,)), graphs.value("b", shape=(3,))]
    message = refused(tmp_path, [node("Identity", ["a"], ["y"])], both, [graphs.value("y", shape=(2,))])
    assert "do not agree on the number of rows" in message
    message = refused(
        tmp_path,
        [node("Cast", ["x"], ["y"], to=TensorProto.FLOAT)],
        [graphs.value("x", TensorProto.BFLOAT16)],
        [graphs.value("y")],
    )
    assert "'x' is tensor(bfloat16)" in message or "cannot be opened" in message


def test_files_that_are_no_model_at_all(tmp_path: Path) -> None:
    file = tmp_path / "m.onnx"
    file.write_bytes(b"")
    with pytest.raises(ModelError, match=r"m\.onnx cannot be opened by onnxruntime.*[^.]\. Is it a whole ONNX file"):
        load(file)
    whole = graphs.weighted_sum(tmp_path / "w.onnx", [1.0] * 100).read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelError, match="cannot be opened"):
        load(file)


def test_options_of_other_flavors_are_refused(tmp_path: Path) -> None:
    file = graphs.weighted_sum(tmp_path / "m.onnx", [1.0])
    with pytest.raises(UsageError, match="--set fills the constructor of a Python class"):
        load(file, settings={"threshold": "0.5"})


def test_without_onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = graphs.weighted_sum(tmp_path / "m.onnx", [1.0])
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    monkeypatch.delitem(sys.modules, "twofold._flavors.onnx", raising=False)
    with pytest.raises(MissingExtra, match=r"pip install 'twofold\[onnx\]'"):
        load(file)


def test_one_value_of_a_vector_is_a_scalar(tmp_path: Path) -> None:
    model = load(graphs.weighted_sum(tmp_path / "m.onnx", [3.0]))
    assert model.signature.inputs == (Field("features", Float(32)),)
    assert model.signature.outputs == (Field("prediction", Float(32)),)
    assert answers(model, [{"features": 2}]) == [(6.0,)]


def test_a_call_that_onnxruntime_has_no_memory_for_is_halved(tmp_path: Path) -> None:
    """One row takes a column, two take 2 ** 42: no allocator has that."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Sub", ["rows", "one"], ["more"]),
        helper.make_node("Mul", ["more", "huge"], ["wide"]),
        helper.make_node("Add", ["wide", "one"], ["columns"]),
        helper.make_node("Concat", ["rows", "columns"], ["shape"], axis=0),
        helper.make_node("Expand", ["x", "shape"], ["expanded"]),
        helper.make_node("ReduceMax", ["expanded"], ["y"], axes=[1], keepdims=1),
    ]
    constants = [graphs.constant("one", [1]), graphs.constant("huge", [1 << 42])]
    path = graphs.save(
        tmp_path / "hungry.onnx",
        nodes,
        [graphs.value("x", shape=("N", 1))],
        [graphs.value("y", shape=("N", 1))],
        constants,
    )
    model = load(path)
    result = Runner(model).run(Batch.from_rows(model.signature.input_schema, [([1.0],), ([2.0],), ([3.0],)]))
    assert not result.failures
    assert result.exhausted_rows == 2
    assert result.outputs.rows() == [(1.0,), (2.0,), (3.0,)]
