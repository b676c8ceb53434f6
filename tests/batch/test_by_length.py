"""Rows of like length share a call where that pays; the output has the input's order all the same."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tests.batch.runs import quarantine, read, run, write, write_model
from twofold._batch.lengths import LEAST_ROWS, PADDING, cuts_by_length

PADS = """
import time
from dataclasses import dataclass
import numpy as np
import twofold

@dataclass
class Row:
    text: str

@twofold.model(row=Row, result=str)
def padded(rows: dict[str, np.ndarray]) -> np.ndarray:
    texts = rows["text"].tolist()
    if "bad" in texts:
        raise ValueError("bad")
    until = time.process_time() + COST * max(map(len, texts)) * len(texts)
    while time.process_time() < until:
        pass
    return np.array([f"{text[:4]} {max(map(len, texts)) > 2 * len(text)}" for text in texts], dtype=object)
"""


def texts(n_rows: int) -> pa.Table:
    moment = random.Random(7)
    values = [f"{row:03}" + "x" * moment.choice((3, 5, 90, 120)) for row in range(n_rows)]
    values[n_rows // 2] = "bad"
    return pa.table({"id": range(n_rows), "text": values})


@given(st.lists(st.integers(0, 400), min_size=1, max_size=200), st.integers(1, 64))
def test_calls_of_like_length_pad_little(lengths: list[int], most: int):
    rising = np.array(sorted(lengths))
    cuts = cuts_by_length(rising, most)
    assert (cuts[0], cuts[-1]) == (0, len(rising))
    for low, high in pairwise(cuts):
        call = np.maximum(rising[low:high], 1)
        assert 0 < len(call) <= most
        assert len(call) <= max(LEAST_ROWS, most // 8) or call[-1] * len(call) <= (1 + PADDING) * call.sum()


def test_rows_of_like_length_share_calls_where_a_call_costs_what_its_longest_row_does(tmp_path: Path):
    source = write(tmp_path / "in.parquet", texts(600))
    model = write_model(tmp_path, PADS.replace("COST", "1e-6"))
    report = run(model, source, tmp_path / "out.parquet")
    shape = json.loads((tmp_path / "out.parquet.twofold" / "run.json").read_text())["shape"]
    assert shape["by_length"]
    answers = read(tmp_path / "out.parquet")
    assert answers["id"].to_pylist() == [row for row in range(600) if row != 300]
    wide = 0
    for text, answer in zip(answers["text"].to_pylist(), answers["prediction"].to_pylist(), strict=True):
        assert answer.startswith(text[:4])  # each row has its own answer
        wide += answer.endswith("True")
    assert wide < 60
    assert [line["_position"]["row"] for line in quarantine(report)] == [300]
    run(model, source, tmp_path / "plain.parquet", unsorted=True)
    plain = read(tmp_path / "plain.parquet")
    assert plain.select(["id", "text"]).equals(answers.select(["id", "text"]))
    assert sum(answer.endswith("True") for answer in plain["prediction"].to_pylist()) > 150


def test_nothing_is_sorted_where_it_does_not_pay(tmp_path: Path):
    source = write(tmp_path / "in.parquet", texts(600))
    adds = PADS.replace("max(map(len, texts)) * len(texts)", "sum(map(len, texts))").replace("COST", "1e-6")
    run(write_model(tmp_path, adds), source, tmp_path / "out.parquet")
    assert not json.loads((tmp_path / "out.parquet.twofold" / "run.json").read_text())["shape"]["by_length"]


def test_a_run_that_goes_on_cuts_its_rows_as_it_began(tmp_path: Path):
    """What was chosen stands in the record; it is not chosen again."""
    source = write(tmp_path / "in.parquet", texts(600))
    model = write_model(tmp_path, PADS.replace("COST", "0"))
    run(model, source, tmp_path / "out.parquet")
    state = tmp_path / "out.parquet.twofold"
    record = json.loads((state / "run.json").read_text())
    record |= {"shape": {"split_rows": 100, "batch_rows": 7, "piece_rows": 49, "by_length": True}}
    record |= {"published": None, "finished": None}
    (state / "run.json").write_text(json.dumps(record))
    (tmp_path / "out.parquet").unlink()
    report = run(model, source, tmp_path / "out.parquet")
    assert (report.splits, report.rows_out) == (6, 599)
    assert read(tmp_path / "out.parquet")["id"].to_pylist() == [row for row in range(600) if row != 300]
