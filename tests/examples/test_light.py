"""The examples that need no heavy package, each in both modes: the same answers, and right ones."""

from __future__ import annotations

import base64
import json
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.examples.modes import EXAMPLES, in_batch, in_real_time, script


def module(path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of an example as a module, as if started in its folder."""
    monkeypatch.syspath_prepend(str(path.parent))
    spec = spec_from_file_location(f"example_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    loaded = module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, loaded)
    spec.loader.exec_module(loaded)
    return loaded


def test_parity(tmp_path: Path) -> None:
    model, data = EXAMPLES / "parity" / "parity.py", tmp_path / "numbers.parquet"
    script(EXAMPLES / "parity" / "make_data.py", data, 300)
    numbers = pq.read_table(data)["number"].to_pylist()
    expected = [{"prediction": "Odd" if n % 2 else "Even"} for n in numbers]
    assert min(numbers) < -(2**62) < 2**62 < max(numbers)
    assert in_real_time(model, [{"number": n} for n in numbers]) == expected
    assert in_batch(model, data, tmp_path / "out.jsonl") == expected


def test_file_types(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("magika")
    model, data, folder = EXAMPLES / "file_types" / "model.py", tmp_path / "files.parquet", tmp_path / "files"
    folder.mkdir()
    texts = {
        "a.py": "import sys\n\n\ndef add(a: int, b: int) -> int:\n    return a + b\n\n\nprint(add(*sys.argv))\n",
        "b.json": json.dumps([{"id": n, "name": f"row {n}", "tags": ["a", "b"]} for n in range(20)], indent=1),
        "c.html": "<!DOCTYPE html><html><head><title>A page</title></head><body><p>Some text</p></body></html>\n" * 3,
        "d.txt": "short",
        "e": "",
    }
    for name, text in texts.items():
        (folder / name).write_text(text)
    script(EXAMPLES / "file_types" / "make_data.py", folder, data, 100)
    table = pq.read_table(data)
    assert table["path"].to_pylist() == sorted(texts)
    answers = in_real_time(model, [{"content": base64.b64encode(c).decode()} for c in table["content"].to_pylist()])
    assert [answer["label"] for answer in answers] == ["python", "json", "html", "txt", "txt"]
    assert all(0.5 < answer["score"] <= 1 for answer in answers)
    assert in_batch(model, data, tmp_path / "out.jsonl") == answers


def test_fraud(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    model, data = EXAMPLES / "fraud" / "fraud.onnx", tmp_path / "payments.parquet"
    script(EXAMPLES / "fraud" / "make_data.py", data, 500)
    table = pq.read_table(data)
    assert [str(t) for t in table.schema.types[:4]] == ["int64", "string", "timestamp[us, tz=UTC]", "int32"]
    assert 0 < table["customer_years"].null_count < 150
    features = np.stack([table[f"f{n}"].to_numpy() for n in range(30)], axis=1)
    assert features.dtype == np.float32
    answers = in_real_time(model, [{"features": row} for row in features.tolist()])
    assert all(0 < answer["prediction"] < 1 for answer in answers)
    assert in_batch(model, data, tmp_path / "out.jsonl", "--map", "features=f0..f29") == answers


def test_the_fraud_model_has_learnt_what_the_generator_does(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    import twofold

    made = module(EXAMPLES / "fraud" / "transactions.py", monkeypatch)
    ((_, features, _),) = made.chunks(5000, seed=9)
    model = twofold.load(EXAMPLES / "fraud" / "fraud.onnx")
    rows = pa.table({"features": pa.FixedSizeListArray.from_arrays(features.ravel(), 30)})
    score = twofold.batch(model, rows)["prediction"].to_numpy()
    odds = made.log_odds(features)
    assert np.corrcoef(np.log(score / (1 - score)), odds)[0, 1] > 0.9


def test_the_first_payments_are_the_same_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyarrow")
    monkeypatch.syspath_prepend(str(EXAMPLES / "fraud"))
    made = module(EXAMPLES / "fraud" / "make_data.py", monkeypatch)
    few, many = pa.Table.from_batches(made.batches(100)), pa.Table.from_batches(made.batches(140_000))
    assert (few.num_rows, many.num_rows) == (100, 140_000)
    assert many.slice(0, 100).equals(few)
    assert many["id"].to_pylist() == list(range(140_000))
    assert many["at"].to_pylist() == sorted(many["at"].to_pylist())
