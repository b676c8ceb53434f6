"""What the columns of stored data are taken for."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._errors import InputError, UsageError
from twofold._signature import (
    Bool,
    Bytes,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    List,
    Signature,
    String,
    Struct,
    Tensor,
    Type,
)
from twofold._starter.baseline import baseline_of
from twofold._starter.columns import Look, look_at


def csv(folder: Path, *cells: str, name: str = "cell") -> Look:
    path = folder / "cells.csv"
    path.write_text("\n".join([f"{name},other", *(f"{cell},x" for cell in cells)]) + "\n")
    return look_at(str(path))


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["true", "False", "TRUE"], Bool()),
        (["1", "0", "-5", "9223372036854775807"], Int()),
        (["1", "2.5"], Float()),
        (["1e5", ".5", "-0.0", "7."], Float()),
        (["1.5", "NaN", "-inf"], Float()),
        (["2026-11-01"], Date()),
        (["2026-11-01T12:30:00Z", "2026-11-01 12:30:00.5+01:00"], Datetime()),
        (["2026-11-01T12:30:00", "2026-11-01 12:30:00"], Datetime(naive=True)),
        (["2026-11-01T12:30:00", "2026-11-01T12:30:00Z"], String()),
        (["2026-11-01", "2026-11-01T12:30:00Z"], String()),
        (["2026-02-30"], String()),
        (["01/02/2026"], String()),
        (["true", "1"], String()),
        (["yes", "no"], String()),
        (["1", "x"], String()),
        (["007", "12"], String()),
        (["00.5"], String()),
        (["+4915112345678"], String()),
        (["9223372036854775808"], String()),
        (["12345678901234567", "0.5"], String()),
        (["1,5".replace(",", "'")], String()),
        (["0x1F"], String()),
        ([" 1"], String()),
        (["1_000"], String()),
        (['""', "1"], String()),
    ],
)
def test_text_becomes_what_all_of_it_can_be_read_as(tmp_path: Path, cells: list[str], kind: Type):
    assert csv(tmp_path, *cells).fields["cell"] == Field("cell", kind)
    assert csv(tmp_path, *cells, "").fields["cell"] == Field("cell", kind, nullable=True)


def test_all_rows_count_not_only_the_first(tmp_path: Path):
    assert csv(tmp_path, *["1"] * 20_000).fields["cell"].type == Int()
    assert csv(tmp_path, *["1"] * 20_000, "1.5").fields["cell"].type == Float()
    assert csv(tmp_path, *["1.5"] * 20_000, "one").fields["cell"].type == String()
    assert csv(tmp_path, *["1"] * 20_000, "").fields["cell"].nullable


def test_a_column_without_values_is_text(tmp_path: Path):
    assert csv(tmp_path, "", "").fields["cell"] == Field("cell", String(), nullable=True)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["", "1", "-2", "1.5", "true", "x", "2026-11-01", "2026-11-01T00:00:00Z"]), min_size=1))
def test_what_is_found_reads_every_cell(tmp_path_factory: pytest.TempPathFactory, cells: list[str]):
    field = csv(tmp_path_factory.mktemp("cells"), *cells).fields["cell"]
    signature = Signature((field,), (field,))
    column = pa.array([cell or None for cell in cells], pa.string())
    assert signature.read_text({"cell": column}, len(cells)).misfits == {}


def test_broken_rows_are_counted_and_passed_over(tmp_path: Path):
    path = tmp_path / "cells.csv"
    path.write_text("a,b\n1,2\n1,2,3\nx\n4,5\n")
    look = look_at(str(path))
    assert (look.n_rows, look.n_broken) == (4, 2)
    assert look.fields == {"a": Field("a", Int()), "b": Field("b", Int())}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"a,b\n", r"cells.csv' has no rows, so that nothing can be learnt from it"),
        (
            b"a;b\n1;2,5\n3;4,5\n",
            r"\(2 rows\); the first: expected 1 cell, .* has 2. A CSV file is UTF-8 text with commas",
        ),
        (b"a,b\nK\xf6ln,1\n", r"no row of the input .*cells.csv' can be read \(1 rows\); the first: .*UTF-8"),
    ],
)
def test_an_input_without_rows(tmp_path: Path, text: bytes, told: str):
    (tmp_path / "cells.csv").write_bytes(text)
    with pytest.raises(InputError, match=told):
        look_at(str(tmp_path / "cells.csv"))


STAMP = dt.datetime(2026, 11, 1)
TYPED: dict[str, tuple[list[Any], pa.DataType, Type | None]] = {
    "int8": ([1, 2], pa.int8(), Int()),
    "uint64": ([1, 2], pa.uint64(), Int(64, False)),
    "float16": ([1.5, 2.5], pa.float16(), Float(16)),
    "float32": ([1.5, 2.5], pa.float32(), Float(32)),
    "decimal": ([Decimal("1.50"), Decimal("2")], pa.decimal128(5, 2), Float()),
    "text that looks like a date": (["2026-11-01", "2026-11-01"], pa.string(), String()),
    "large text": (["a", "b"], pa.large_string(), String()),
    "dictionary": (["a", "b"], pa.dictionary(pa.int32(), pa.string()), String()),
    "bytes": ([b"a", b"b"], pa.binary(), Bytes()),
    "wall clock": ([STAMP, STAMP], pa.timestamp("ms"), Datetime(naive=True)),
    "instant": ([STAMP, STAMP], pa.timestamp("ns", "Europe/Berlin"), Datetime()),
    "date": ([STAMP.date()] * 2, pa.date32(), Date()),
    "vector": ([[1, 2, 3]] * 2, pa.list_(pa.float32(), 3), Tensor(Float(32), (3,))),
    "matrix": ([[[1, 2]] * 3] * 2, pa.list_(pa.list_(pa.int16(), 2), 3), Tensor(Int(), (3, 2))),
    "holes in a vector": ([[1, None]] * 2, pa.list_(pa.float64(), 2), List(Field("item", Float(), nullable=True))),
    "words": ([["a"], []], pa.list_(pa.string()), List(Field("item", String()))),
    "struct": (
        [{"a": 1, "b": None}, {"a": 2, "b": "x"}],
        pa.struct([("a", pa.int32()), ("b", pa.string())]),
        Struct((Field("a", Int()), Field("b", String(), nullable=True))),
    ),
    "duration": ([dt.timedelta(1)] * 2, pa.duration("us"), None),
    "list of times": ([[dt.time(1)]] * 2, pa.list_(pa.time32("s")), None),
}


@pytest.mark.parametrize("suffix", ["parquet", "arrow"])
def test_typed_files_say_what_their_columns_are(tmp_path: Path, suffix: str):
    table = pa.table({name: pa.array(values, kind) for name, (values, kind, _) in TYPED.items()})
    path = tmp_path / f"typed.{suffix}"
    if suffix == "parquet":
        pq.write_table(table, path)
    else:
        feather.write_feather(table, path, compression="uncompressed")
    look = look_at(str(path))
    assert look.fields == {name: Field(name, kind) for name, (_, _, kind) in TYPED.items() if kind is not None}
    assert set(look.left_out) == {name for name, (_, _, kind) in TYPED.items() if kind is None}


def test_nulls_of_typed_files(tmp_path: Path):
    table = pa.table(
        {
            "some": pa.array([None, 1], pa.int8()),
            "none": pa.nulls(2),
            "inside": pa.array([None, {"a": 1}], pa.struct([("a", pa.int8())])),
        }
    )
    pq.write_table(table, tmp_path / "nulls.parquet")
    assert look_at(str(tmp_path / "nulls.parquet")).fields == {
        "some": Field("some", Int(), nullable=True),
        "none": Field("none", String(), nullable=True),
        "inside": Field("inside", Struct((Field("a", Int()),)), nullable=True),
    }


def test_names_that_no_field_can_have(tmp_path: Path):
    table = pa.table({'a"b': [1], "a\\b": [1], "a\nb": [1], "s": [{'a"b': 1}], "a b": [1]})
    pq.write_table(table, tmp_path / "names.parquet")
    look = look_at(str(tmp_path / "names.parquet"))
    assert list(look.fields) == ["a b"]
    assert list(look.left_out) == ['a"b', "a\\b", "a\nb", "s"]


def test_json_records(tmp_path: Path):
    records: list[dict[str, Any]] = [
        {"n": 1, "x": 1, "when": "2026-11-01T12:30:00Z", "day": "2026-11-01", "text": "2026", "o": {"class": None}},
        {"n": 2, "x": 0.5, "when": None, "day": "2026-11-01", "text": "x", "o": {"class": True}, "late": [1.5]},
        {"n": 3, "x": "NaN", "day": "2026-11-01", "text": "y", "o": {"class": True}, "mixed": "a"},
        {"n": 3, "x": 1, "day": "2026-11-01", "text": "y", "o": {"class": True}, "mixed": 1},
    ]
    path = tmp_path / "records.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    look = look_at(str(path))
    assert list(look.fields.values()) == [
        Field("n", Int()),
        Field("x", Float()),
        Field("when", Datetime(), nullable=True),
        Field("day", Date()),
        Field("text", String()),
        Field("o", Struct((Field("class", Bool(), nullable=True),))),
        Field("late", List(Field("item", Float())), nullable=True),
    ]
    assert look.left_out == {"mixed": "values of several types"}


class TestBaseline:
    def found(self, folder: Path, *cells: str) -> tuple[str, Any, Type]:
        baseline = baseline_of(csv(folder, *cells), "cell")
        return baseline.how, baseline.value, baseline.kind

    def test_the_mean_of_floats(self, tmp_path: Path):
        assert self.found(tmp_path, "1.5", "", "2.5", "NaN", "inf") == ("mean", 2.0, Float())
        assert self.found(tmp_path, *["0.1"] * 10) == ("mean", 0.1, Float())

    def test_few_whole_numbers_are_classes_many_are_amounts(self, tmp_path: Path):
        assert self.found(tmp_path, "1", "0", "1", "") == ("most frequent value", 1, Int())
        assert self.found(tmp_path, *map(str, range(21))) == ("mean", 10.0, Float())

    def test_the_most_frequent_of_all_else(self, tmp_path: Path):
        assert self.found(tmp_path, "a", "b", "b", "") == ("most frequent value", "b", String())
        assert self.found(tmp_path, "true", "false", "true") == ("most frequent value", True, Bool())
        assert self.found(tmp_path, "2026-11-01", "2026-11-02") == (
            "most frequent value",
            dt.date(2026, 11, 1),
            Date(),
        )

    def test_columns_without_one(self, tmp_path: Path):
        with pytest.raises(UsageError, match="'cell' has no value in any row"):
            self.found(tmp_path, "", "")
        with pytest.raises(UsageError, match="'cell' has no value in any row"):
            self.found(tmp_path, "NaN", "inf")
        with pytest.raises(UsageError, match="too large to be averaged"):
            self.found(tmp_path, "1e308", "1.5e308")
        pq.write_table(pa.table({"v": [[1], [2]]}), tmp_path / "v.parquet")
        with pytest.raises(UsageError, match="'v' holds list of int64, which no baseline can answer"):
            baseline_of(look_at(str(tmp_path / "v.parquet")), "v")
