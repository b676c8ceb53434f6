"""Columns to fields: by name, by --map, by a range of columns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from twofold._batch.mapping import Reading, match_columns
from twofold._batch.sources import Piece
from twofold._errors import InputError, UsageError
from twofold._signature import Field, Float, Int, List, Signature, String, Tensor

VECTOR = Signature((Field("id", String()), Field("x", Tensor(Float(32), (3,)))), ())


def pieces(columns: Any, kinds: dict[str, pa.DataType]) -> list[Piece]:
    """The same rows as each origin gives them."""
    n_rows = len(next(iter(columns.values())))
    arrow = {name: pa.array(values, kinds[name]) for name, values in columns.items()}
    text = {name: pa.array([None if v is None else str(v) for v in values]) for name, values in columns.items()}
    records = [{name: values[row] for name, values in columns.items()} for row in range(n_rows)]
    return [
        Piece(0, n_rows, "arrow", columns=arrow),
        Piece(0, n_rows, "text", columns=text),
        Piece(0, n_rows, "json", records=records),
    ]


def test_a_vector_from_a_range_of_columns_is_the_same_from_every_origin():
    columns = match_columns(VECTOR, ["key", "f1", "f0", "f2"], {"id": "key", "x": "f0..f2"}, "the input")
    assert columns == {"id": "key", "x": ["f0", "f1", "f2"]}
    reading = Reading(VECTOR, columns)
    assert reading.needed == ["key", "f0", "f1", "f2"]
    values = {"key": ["a", "b", "c"], "f0": [1.5, 2.5, 3.5], "f1": [4, 5, 6], "f2": [0.1, None, 0.3]}
    kinds = {"key": pa.string(), "f0": pa.float64(), "f1": pa.int32(), "f2": pa.float32()}
    for piece in pieces(values, kinds):
        read = reading.read(piece)
        assert read.good is not None
        assert read.good.tolist() == [0, 2]
        assert read.misfits[1][0].field == "x[2]"
        x = read.batch.numpy("x")
        assert str(x.dtype) == "float32"
        assert x.shape == (2, 3)
        assert x.tolist() == np.array([[1.5, 4, 0.1], [3.5, 6, 0.3]], np.float32).tolist()
        assert read.batch.rows()[0][0] == "a"


def test_nulls_of_a_range_become_nan_where_the_model_says_so():
    signature = Signature((Field("x", Tensor(Float(64), (2,))),), (), nulls_as_nan=True)
    reading = Reading(signature, {"x": ["a", "b"]})
    for piece in pieces({"a": [1.0, None], "b": [2.0, 3.0]}, {"a": pa.float64(), "b": pa.float64()}):
        read = reading.read(piece)
        assert np.array_equal(read.batch.numpy("x"), np.array([[1, 2], [np.nan, 3]]), equal_nan=True)


def test_matrices_lists_and_ranges_with_zeros_or_downwards():
    matrix = Signature((Field("m", Tensor(Int(64), (2, 2))),), ())
    names = [f"c{i:02}" for i in range(8, 12)]
    columns = match_columns(matrix, names, {"m": "c08..c11"}, "the input")
    assert columns == {"m": names}
    piece = Piece(0, 1, "arrow", columns={name: pa.array([i]) for i, name in enumerate(names)})
    assert Reading(matrix, columns).read(piece).batch.rows() == [([[0, 1], [2, 3]],)]
    listed = Signature((Field("m", List(Field("item", Int(64), nullable=True))),), ())
    columns = match_columns(listed, ["a3", "a2", "a1"], {"m": "a3..a1"}, "the input")
    piece = Piece(0, 2, "arrow", columns={f"a{i}": pa.array([i, None]) for i in (1, 2, 3)})
    assert Reading(listed, columns).read(piece).batch.rows() == [([3, 2, 1],), ([None, None, None],)]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("f0..f1", "these are 2 columns, and the field takes 3"),
        ("f0..g2", "the same letters on both sides"),
        ("f1..f3", "no column 'f3'"),
        ("nothing", "no column 'nothing'"),
    ],
)
def test_ranges_that_do_not_fit(given: str, words: str):
    with pytest.raises(UsageError, match=words):
        match_columns(VECTOR, ["id", "f0", "f1", "f2"], {"x": given}, "the input")
    with pytest.raises(UsageError, match="this field is none"):
        match_columns(VECTOR, ["id", "f0", "f1", "f2"], {"id": "f0..f2"}, "the input")


def test_a_column_whose_name_looks_like_a_range_is_that_column():
    assert match_columns(VECTOR, ["id", "f0..f2"], {"x": "f0..f2"}, "the input")["x"] == "f0..f2"


def test_many_columns_are_named_shortly():
    with pytest.raises(InputError, match="c29 and 70 more"):
        match_columns(VECTOR, [f"c{i}" for i in range(100)], {}, "the input")


def test_a_column_read_by_two_fields_has_no_type_of_its_own():
    signature = Signature((Field("a", Int(64)), Field("b", Float(64))), ())
    reading = Reading(signature, {"a": "n", "b": "n"})
    assert reading.field_of("n") is None
    assert reading.read(Piece(0, 1, "json", records=[{"n": 3}])).batch.rows() == [(3, 3.0)]


THREE = Signature((Field("features", Tensor(Float(32), (3,))),), ())
NUMBER = Signature((Field("amount", Float(64)),), ())


@pytest.mark.parametrize(
    ("signature", "columns", "proposed"),
    [
        (THREE, ["id", "f0", "f1", "f2"], "--map features=f0..f2"),
        (THREE, ["id", "f3", "f1", "f2", "x1", "x2"], "--map features=f1..f3"),
        (THREE, ["f0", "f1", "f3"], "--map features=COLUMN"),
        (THREE, ["f0", "f1", "f2", "f3"], "--map features=COLUMN"),
        (THREE, ["f00", "f01", "f02"], "--map features=f00..f02"),
        (NUMBER, ["f0"], "--map amount=COLUMN"),
    ],
)
def test_a_missing_column(signature: Signature, columns: list[str], proposed: str) -> None:
    with pytest.raises(InputError) as caught:
        match_columns(signature, columns, {}, "the input")
    assert caught.value.message.endswith(proposed)


def test_an_input_without_any_column_is_told_so_and_no_other_name_is_proposed():
    with pytest.raises(InputError) as refused:
        match_columns(VECTOR, [], {}, "the input 'empty.jsonl'")
    assert str(refused.value) == (
        "the input 'empty.jsonl' has no columns: it is empty, or holds no record that can be read. "
        "The model needs 'id', 'x'."
    )
