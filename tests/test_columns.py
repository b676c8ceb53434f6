"""Batch: any form turns into any other without a change of value."""

from __future__ import annotations

import gc
import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold._columns import Batch
from twofold._columns import batch as batch_module


def fixed(item: pa.DataType, *shape: int) -> pa.DataType:
    for length in reversed(shape):
        item = pa.list_(pa.field("item", item, nullable=False), length)
    return item


NOON = datetime(2024, 2, 29, 12, 0, 0, 123456, tzinfo=UTC)

# name -> (type, values)
COLUMNS: dict[str, tuple[pa.DataType, list[Any]]] = {
    "flag": (pa.bool_(), [True, False, True]),
    "small": (pa.int8(), [-128, 0, 127]),
    "big": (pa.int64(), [-(2**63), 2**53 + 1, 2**63 - 1]),
    "huge": (pa.uint64(), [0, 1, 2**64 - 1]),
    "half": (pa.float16(), [0.5, -2.0, math.inf]),
    "single": (pa.float32(), [0.10000000149011612, -0.0, math.inf]),
    "double": (pa.float64(), [0.1, 5e-324, -math.inf]),
    "text": (pa.string(), ["", "Grüße \N{PARTY POPPER}", "007"]),
    "raw": (pa.binary(), [b"", b"\x00\xff", b"abc"]),
    "at": (pa.timestamp("us", "UTC"), [NOON, datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)]),
    "wall": (pa.timestamp("us"), [NOON.replace(tzinfo=None), datetime(1, 1, 1), datetime(1970, 1, 1)]),
    "day": (pa.date32(), [date(2024, 2, 29), date(1, 1, 1), date(9999, 12, 31)]),
    "vector": (fixed(pa.float32(), 3), [[1.0, 2.0, 3.0], [-1.5, 0.0, 0.25], [4.0, 5.0, 6.0]]),
    "matrix": (fixed(pa.int16(), 2, 3), [[[1, 2, 3], [4, 5, 6]], [[0, 0, 0], [0, 0, 0]], [[-1, -2, -3], [7, 8, 9]]]),
    "bits": (fixed(pa.bool_(), 2), [[True, False], [False, False], [True, True]]),
    "many": (pa.list_(pa.string()), [[], ["a"], ["b", "", "c"]]),
    "nested": (
        pa.struct([("name", pa.string()), ("at", pa.timestamp("us", "UTC")), ("points", pa.list_(pa.int32()))]),
        [{"name": name, "at": NOON, "points": [*range(len(name))]} for name in ("ab", "", "c")],
    ),
    "boxes": (pa.list_(pa.struct([("w", fixed(pa.float64(), 2))])), [[{"w": [1.0, 2.0]}], [], [{"w": [3.0, 4.0]}] * 2]),
}
PLAIN = pa.schema([pa.field(n, t, nullable=False) for n, (t, _) in COLUMNS.items()])
OPTIONAL = pa.schema([pa.field(n, t, nullable=True) for n, (t, _) in COLUMNS.items()])


def rows_of(schema: pa.Schema) -> list[tuple[Any, ...]]:
    rows = list(zip(*(COLUMNS[name][1] for name in schema.names), strict=True))
    if schema is OPTIONAL:
        rows.insert(1, (None,) * len(schema.names))
    return rows


def in_numpy(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> Batch:
    made = Batch.from_rows(schema, rows)
    return Batch.from_numpy(schema, {name: made.numpy(name) for name in schema.names}, len(rows))


def in_arrow(schema: pa.Schema, rows: list[tuple[Any, ...]]) -> Batch:
    return Batch.from_arrow(Batch.from_rows(schema, rows).arrow())


FORMS = {"rows": Batch.from_rows, "numpy": in_numpy, "arrow": in_arrow}


def without_nan(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """NumPy holds a null float as NaN: the one place where a form cannot tell two values apart."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return None if value and all(plain(v) is None for v in value) else value
        return None if isinstance(value, float) and math.isnan(value) else value

    return [tuple(plain(v) for v in row) for row in rows]


@pytest.mark.parametrize("schema", [PLAIN, OPTIONAL], ids=["plain", "optional"])
@pytest.mark.parametrize("form", FORMS)
def test_every_form_holds_the_same_rows(form: str, schema: pa.Schema) -> None:
    rows = rows_of(schema)
    batch = FORMS[form](schema, rows)
    assert batch.holds == form
    assert len(batch) == batch.n_rows == len(rows)
    assert without_nan(batch.rows()) == without_nan(rows)
    for row in batch.rows():
        for value, other in zip(row, rows_of(PLAIN)[0], strict=True):
            assert value is None or type(value) is type(other)
    assert batch.arrow().schema == schema
    batch.arrow().validate(full=True)
    assert without_nan(Batch.from_arrow(batch.arrow()).rows()) == without_nan(rows)


@pytest.mark.parametrize("schema", [PLAIN, OPTIONAL], ids=["plain", "optional"])
@pytest.mark.parametrize("form", FORMS)
def test_parts_of_a_batch(form: str, schema: pa.Schema) -> None:
    rows = rows_of(schema)
    batch = FORMS[form](schema, rows)
    for start in range(len(rows) + 1):
        for stop in range(start, len(rows) + 1):
            part = batch.slice(start, stop)
            assert part.n_rows == stop - start
            assert without_nan(part.rows()) == without_nan(rows[start:stop])
            again = Batch.from_rows(schema, rows[start:stop])
            for name in schema.names:
                np.testing.assert_array_equal(part.numpy(name), again.numpy(name))
            assert Batch.from_arrow(part.arrow()).n_rows == stop - start
    assert without_nan(batch.take([2, 0, 0]).rows()) == without_nan([rows[2], rows[0], rows[0]])
    assert batch.take([]).n_rows == 0
    assert batch.take([]).arrow().num_rows == 0
    joined = Batch.concat([batch.slice(0, 1), batch.slice(1, 1), batch.slice(1, len(rows))])
    assert without_nan(joined.rows()) == without_nan(rows)
    mixed = Batch.concat([batch, Batch.from_rows(schema, rows[:1])])
    assert without_nan(mixed.rows()) == without_nan([*rows, rows[0]])


@pytest.mark.parametrize("schema", [PLAIN, OPTIONAL], ids=["plain", "optional"])
def test_numpy_forms(schema: pa.Schema) -> None:
    rows = rows_of(schema)
    by_rows = Batch.from_rows(schema, rows)
    by_arrow = in_arrow(schema, rows)
    wanted = {"flag": "bool", "small": "int8", "huge": "uint64", "half": "float16", "at": "datetime64[us]"}
    wanted |= {"day": "datetime64[D]", "text": "object", "vector": "float32", "matrix": "int16", "many": "object"}
    for name in schema.names:
        one, other = by_rows.numpy(name), by_arrow.numpy(name)
        assert one.dtype == other.dtype == np.dtype(wanted.get(name, one.dtype))
        assert one.shape == other.shape
        np.testing.assert_array_equal(one, other)
        assert not one.flags.writeable
        assert not other.flags.writeable
        own = by_arrow.numpy(name, writable=True)
        assert own.flags.writeable
        masked = schema is OPTIONAL and name in ("flag", "small", "big", "huge", "matrix", "bits")
        assert isinstance(one, np.ma.MaskedArray) == isinstance(other, np.ma.MaskedArray) == masked
    assert by_rows.numpy("matrix").shape == (len(rows), 2, 3)
    if schema is OPTIONAL:
        assert np.isnan(by_arrow.numpy("single")[1])
        assert np.isnan(by_arrow.numpy("vector")[1]).all()
        assert np.isnat(by_arrow.numpy("at")[1])
        assert np.ma.getmaskarray(by_arrow.numpy("big")).tolist() == [False, True, False, False]
        assert by_arrow.numpy("big")[2] == 2**53 + 1


def test_numbers_from_arrow_are_not_copied() -> None:
    schema = pa.schema(
        [pa.field("x", pa.float32(), nullable=False), pa.field("v", fixed(pa.int32(), 4), nullable=False)]
    )
    batch = Batch.from_numpy(schema, {"x": np.arange(10, dtype="f4"), "v": np.arange(40, dtype="i4").reshape(10, 4)})
    part = Batch.from_arrow(batch.arrow()).slice(3, 7)
    assert np.shares_memory(part.numpy("x"), batch.numpy("x"))
    assert np.shares_memory(part.numpy("v"), batch.numpy("v"))
    assert part.numpy("v").tolist() == batch.numpy("v")[3:7].tolist()
    own = part.numpy("x", writable=True)
    own += 1
    assert part.numpy("x").tolist() == [3.0, 4.0, 5.0, 6.0]


def test_nan_is_a_value_and_not_a_null() -> None:
    schema = pa.schema([pa.field("x", pa.float64())])
    for batch in (Batch.from_rows(schema, [(math.nan,), (None,)]), in_arrow(schema, [(math.nan,), (None,)])):
        assert batch.arrow().column(0).is_null().to_pylist() == [False, True]
        (first,), (second,) = batch.rows()
        assert math.isnan(first)
        assert second is None
    kept = Batch.from_numpy(schema, {"x": np.array([np.nan, 1.0])})
    assert kept.arrow().column(0).null_count == 0


def test_a_null_where_none_may_be_is_an_error_not_a_number() -> None:
    column = pa.array([1, None])
    schema = pa.schema([pa.field("n", pa.int64(), nullable=False)])
    batch = Batch.from_arrow(pa.RecordBatch.from_arrays([column], schema=schema))
    with pytest.raises(ValueError, match="may not be null holds 1 nulls"):
        batch.numpy("n")
    inner = pa.array([[1.0, None], None], type=pa.list_(pa.float64(), 2))
    with pytest.raises(ValueError, match="nulls inside a row"):
        Batch.from_arrow(pa.RecordBatch.from_arrays([inner], names=["v"])).numpy("v")


def test_no_columns() -> None:
    empty = pa.schema([])
    for batch in (Batch.from_rows(empty, [(), ()]), Batch.from_numpy(empty, {}, 2)):
        assert batch.rows() == [(), ()]
        assert batch.arrow().num_rows == 2
        assert batch.slice(1, 2).rows() == [()]
        assert batch.take([0]).arrow().num_rows == 1
        assert Batch.concat([batch, batch]).n_rows == 4
    with pytest.raises(ValueError, match="n_rows is needed"):
        Batch.from_numpy(empty, {})


def test_columns_of_a_wrong_shape_are_refused() -> None:
    schema = pa.schema([pa.field("x", pa.float32()), pa.field("v", fixed(pa.float32(), 2))])
    vector = np.zeros((3, 2), dtype="f4")
    with pytest.raises(ValueError, match="no column 'v'"):
        Batch.from_numpy(schema, {"x": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"column 'v' has shape \(3, 2\), not \(2, 2\)"):
        Batch.from_numpy(schema, {"x": [1.0, 2.0], "v": vector})
    with pytest.raises(KeyError):
        Batch.from_numpy(schema, {"x": [1.0, 2.0, 3.0], "v": vector}).numpy("y")


def test_other_arrow_types_are_read_too() -> None:
    columns = {
        "large": pa.array(["a", None], type=pa.large_string()),
        "wide": pa.array([[1], None], type=pa.large_list(pa.int64())),
        "coded": pa.array(["x", "y"]).dictionary_encode(),
        "none": pa.nulls(2),
    }
    batch = Batch.from_arrow(pa.RecordBatch.from_pydict(columns))
    assert batch.rows() == [("a", [1], "x", None), (None, None, "y", None)]
    assert batch.numpy("coded").tolist() == ["x", "y"]
    assert "large: large_string" in repr(batch)


def test_what_is_known_of_a_schema_goes_with_it() -> None:
    Batch.from_rows(pa.schema([("x", pa.int64())]), [(1,)]).numpy("x")
    gc.collect()
    before = len(batch_module._LAYOUTS)
    for _ in range(10):
        assert Batch.from_rows(pa.schema([("x", pa.int64())]), [(1,)]).numpy("x").tolist() == [1]
    gc.collect()
    assert len(batch_module._LAYOUTS) <= before


@given(
    st.lists(st.one_of(st.none(), st.lists(st.one_of(st.none(), st.integers(-9, 9)), max_size=4)), max_size=8),
    st.data(),
)
def test_lists_survive_slicing_and_arrow(lists: list[Any], data: st.DataObject) -> None:
    schema = pa.schema([pa.field("many", pa.list_(pa.int16()))])
    rows = [(value,) for value in lists]
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    part = in_arrow(schema, rows).slice(start, stop)
    assert part.rows() == rows[start:stop]
    assert part.numpy("many").tolist() == lists[start:stop]
