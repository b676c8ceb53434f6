"""Models that real converters write: scikit-learn's pipelines, and LightGBM with its wrongly declared label."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from twofold._columns import Batch
from twofold._model import Model, load
from twofold._runner import Runner
from twofold._signature import type_name

pytest.importorskip("onnxruntime")
skl2onnx = pytest.importorskip("skl2onnx")
pytest.importorskip("sklearn")

pytestmark = [pytest.mark.heavy, pytest.mark.filterwarnings("ignore")]  # the converters warn of their own dependencies


def outputs(model: Model) -> dict[str, str]:
    return {field.name: type_name(field.type) for field in model.signature.outputs}


def run(model: Model, rows: list[Any]) -> list[Any]:
    typed = [model.signature.row(row) for row in rows]
    runner, schema = Runner(model), model.signature.input_schema
    together = runner.run(Batch.from_rows(schema, typed))
    assert not together.failures
    alone = [runner.run(Batch.from_rows(schema, [row])).outputs.rows()[0] for row in typed]
    assert together.outputs.rows() == alone
    return alone


def test_a_scikit_learn_classifier_with_zip_map(tmp_path: Path) -> None:
    from skl2onnx.common.data_types import FloatTensorType
    from sklearn.datasets import load_iris
    from sklearn.ensemble import RandomForestClassifier

    data = load_iris()
    names = data.target_names[data.target]
    fitted = RandomForestClassifier(n_estimators=10, random_state=0).fit(data.data, names)
    file = tmp_path / "iris.onnx"
    made = skl2onnx.convert_sklearn(fitted, initial_types=[("features", FloatTensorType([None, 4]))])
    file.write_bytes(made.SerializeToString())
    model = load(file)
    assert outputs(model) == {
        "output_label": "string",
        "output_probability_setosa": "float32",
        "output_probability_versicolor": "float32",
        "output_probability_virginica": "float32",
    }
    found = run(model, [{"features": row} for row in data.data[::10].tolist()])
    assert [row[0] for row in found] == fitted.predict(data.data[::10]).tolist()
    expected = fitted.predict_proba(data.data[::10].astype("f4"))
    np.testing.assert_allclose([row[1:] for row in found], expected, atol=1e-6)


def test_a_scikit_learn_pipeline_with_a_column_of_text(tmp_path: Path) -> None:
    from skl2onnx.common.data_types import FloatTensorType, StringTensorType
    from sklearn.compose import ColumnTransformer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"amount": [1.0, 20.0, 3.0, 40.0] * 10, "country": ["DE", "FR", "DE", "IT"] * 10})
    label = (frame["amount"] > 10).astype(int)
    columns = ColumnTransformer([("n", StandardScaler(), ["amount"]), ("t", OneHotEncoder(), ["country"])])
    fitted = make_pipeline(columns, LogisticRegression()).fit(frame, label)
    types = [("amount", FloatTensorType([None, 1])), ("country", StringTensorType([None, 1]))]
    file = tmp_path / "pipeline.onnx"
    made = skl2onnx.convert_sklearn(fitted, initial_types=types, options={id(fitted): {"zipmap": False}})
    file.write_bytes(made.SerializeToString())
    model = load(file)
    assert [type_name(field.type) for field in model.signature.inputs] == ["float32", "string"]
    assert outputs(model) == {"label": "int64", "probabilities": "float32[2]"}
    found = run(model, [{"amount": 1.0, "country": "DE"}, {"amount": 40.0, "country": "IT"}])
    assert [row[0] for row in found] == [0, 1]


def test_a_lightgbm_classifier_declares_its_label_wrongly(tmp_path: Path, capfd: Any) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    onnxmltools = pytest.importorskip("onnxmltools")
    from onnxmltools.convert.common.data_types import FloatTensorType

    random = np.random.default_rng(0)
    features = random.normal(size=(500, 5)).astype("f4")
    label = (features[:, 0] > features[:, 1]).astype(int)
    fitted = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(features, label)
    file = tmp_path / "lgbm.onnx"
    made = onnxmltools.convert_lightgbm(
        fitted, initial_types=[("features", FloatTensorType([None, 5]))], zipmap=False, target_opset=15
    )
    file.write_bytes(made.SerializeToString())
    capfd.readouterr()
    model = load(file)
    assert outputs(model) == {"label": "int64", "probabilities": "float32[2]"}
    found = run(model, [{"features": row} for row in features[:50].tolist()])
    assert [row[0] for row in found] == fitted.predict(features[:50]).tolist()
    assert capfd.readouterr().err == ""


def test_the_class_printed_for_other_files_loads_them(tmp_path: Path) -> None:
    joblib = pytest.importorskip("joblib")
    lightgbm = pytest.importorskip("lightgbm")
    from sklearn.linear_model import LinearRegression

    from twofold._errors import ModelError

    random = np.random.default_rng(0)
    features = random.normal(size=(200, 4))
    target = features.sum(axis=1)
    joblib.dump(LinearRegression().fit(features, target), tmp_path / "linear.joblib")
    booster = lightgbm.train({"verbose": -1}, lightgbm.Dataset(features, target), num_boost_round=5)
    booster.save_model(tmp_path / "trees.txt")
    for name, expected in (("linear.joblib", float(target[0])), ("trees.txt", booster.predict(features[:1])[0])):
        with pytest.raises(ModelError) as caught:
            load(tmp_path / name)
        written = tmp_path / f"{name.partition('.')[0]}_model.py"
        written.write_text(caught.value.message.partition("\n\n")[2])
        (answer,) = run(load(written), [{"features": features[0].tolist()}])
        assert answer[0] == pytest.approx(expected, abs=1e-5)
