# mypy: ignore-errors
# containers of four packages, each optional
"""A batch as the container that the user's function asks for."""

import typing as t
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from twofold._columns import Batch
from twofold._signature.hints import read_hints
from twofold._signature.shape import Shape
from twofold._signature.types import arrow_schema

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
WALL = NOW.replace(tzinfo=None)
TODAY = date(2026, 1, 2)
NAN = float("nan")


@dataclass
class Nested:
    q: int


@dataclass
class Row:
    flag: bool
    maybe_flag: bool | None
    small: np.int8
    whole: int
    maybe: np.int32 | None
    real: np.float32
    maybe_real: float | None
    text: str
    maybe_text: str | None
    data: bytes
    at: datetime
    maybe_at: datetime | None
    wall: t.Annotated[datetime, msgspec.Meta(tz=False)]
    day: date
    kind: t.Literal["a", "b"]
    level: t.Literal[1, 2] | None
    vector: t.Annotated[npt.NDArray[np.float32], Shape(2)]
    matrix: t.Annotated[npt.NDArray[np.int64], Shape(2, 2)] | None
    items: list[int]
    nested: Nested


FULL = (True, False, 1, 2, 3, 0.5, 1.5, "é", "t", b"b", NOW, NOW, WALL, TODAY, "a", 1)
FULL = (*FULL, [1.0, 2.0], [[1, 2], [3, 4]], [1], {"q": 1})
NULLS = (False, None, -1, -2, None, -0.5, None, "", None, b"", NOW, None, WALL, TODAY, "b", None)
NULLS = (*NULLS, [3.0, 4.0], None, [], {"q": 2})


@pytest.fixture(params=["rows", "arrow", "empty"])
def batch(request):
    def columns(d: dict[str, npt.NDArray[t.Any]]) -> npt.NDArray[t.Any]:
        return d["whole"]

    schema = arrow_schema(read_hints(columns, row=Row, result=float).inputs)
    made = Batch.from_rows(schema, [] if request.param == "empty" else [FULL, NULLS])
    return Batch.from_arrow(made.arrow()) if request.param == "arrow" else made


def present(hint, batch):
    def columns(frame):
        return frame

    columns.__annotations__ = {"frame": hint, "return": t.Any}
    binding = read_hints(columns, row=Row, result=float)
    assert binding.form == "columns"
    return binding.container, binding.present(batch)


@pytest.mark.parametrize(
    "hint", [dict[str, np.ndarray], t.Mapping[str, npt.NDArray[t.Any]], dict[str, np.ma.MaskedArray]]
)
def test_numpy(batch, hint):
    container, columns = present(hint, batch)
    n = batch.n_rows
    assert container == "numpy"
    assert {name: (str(a.dtype), a.shape, isinstance(a, np.ma.MaskedArray)) for name, a in columns.items()} == {
        "flag": ("bool", (n,), False),
        "maybe_flag": ("bool", (n,), True),
        "small": ("int8", (n,), False),
        "whole": ("int64", (n,), False),
        "maybe": ("int32", (n,), True),
        "real": ("float32", (n,), False),
        "maybe_real": ("float64", (n,), False),
        "text": ("object", (n,), False),
        "maybe_text": ("object", (n,), False),
        "data": ("object", (n,), False),
        "at": ("datetime64[us]", (n,), False),
        "maybe_at": ("datetime64[us]", (n,), False),
        "wall": ("datetime64[us]", (n,), False),
        "day": ("datetime64[D]", (n,), False),
        "kind": ("object", (n,), False),
        "level": ("int64", (n,), True),
        "vector": ("float32", (n, 2), False),
        "matrix": ("int64", (n, 2, 2), True),
        "items": ("object", (n,), False),
        "nested": ("object", (n,), False),
    }
    if n:
        assert columns["maybe"].tolist() == [3, None]
        assert np.isnan(columns["maybe_real"]).tolist() == [False, True]
        assert columns["maybe_text"].tolist() == ["t", None]
        assert columns["at"].tolist() == [WALL, WALL]


def test_pandas(batch):
    pd = pytest.importorskip("pandas")
    container, frame = present(pd.DataFrame, batch)
    assert container == "pandas"
    assert len(frame) == batch.n_rows
    dtypes = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    text = "str" if int(pd.__version__.split(".")[0]) >= 3 else "object"
    assert dtypes == {
        "flag": "bool",
        "maybe_flag": "boolean",
        "small": "int8",
        "whole": "int64",
        "maybe": "Int32",
        "real": "float32",
        "maybe_real": "float64",
        "text": text,
        "maybe_text": text,
        "data": "object",
        "at": "datetime64[us, UTC]",
        "maybe_at": "datetime64[us, UTC]",
        "wall": "datetime64[us]",
        "day": "datetime64[s]",
        "kind": text,
        "level": "Int64",
        "vector": "object",
        "matrix": "object",
        "items": "object",
        "nested": "object",
    }
    frame["whole"] += 1
    frame.loc[:, "real"] = np.float32(0)
    if batch.n_rows:
        assert frame["maybe"].isna().tolist() == [False, True]
        assert frame["maybe_real"].isna().tolist() == [False, True]
        assert frame["maybe_text"].isna().tolist() == [False, True]
        assert frame["vector"][0].dtype == "float32"
        assert frame["matrix"][1] is None
        assert batch.numpy("whole").tolist() == [2, -2]


def test_polars(batch):
    pl = pytest.importorskip("polars")
    container, frame = present(pl.DataFrame, batch)
    assert container == "polars"
    assert frame.schema == {
        "flag": pl.Boolean(),
        "maybe_flag": pl.Boolean(),
        "small": pl.Int8(),
        "whole": pl.Int64(),
        "maybe": pl.Int32(),
        "real": pl.Float32(),
        "maybe_real": pl.Float64(),
        "text": pl.String(),
        "maybe_text": pl.String(),
        "data": pl.Binary(),
        "at": pl.Datetime("us", "UTC"),
        "maybe_at": pl.Datetime("us", "UTC"),
        "wall": pl.Datetime("us"),
        "day": pl.Date(),
        "kind": pl.String(),
        "level": pl.Int64(),
        "vector": pl.Array(pl.Float32(), 2),
        "matrix": pl.Array(pl.Int64(), (2, 2)),
        "items": pl.List(pl.Int64()),
        "nested": pl.Struct({"q": pl.Int64()}),
    }
    if batch.n_rows:
        assert frame["maybe"].to_list() == [3, None]
        assert frame["maybe_flag"].to_list() == [False, None]
        assert frame["maybe_real"].is_nan().to_list() == [False, True]


@pytest.mark.parametrize("hint", [pa.Table, pa.RecordBatch])
def test_arrow(batch, hint):
    container, table = present(hint, batch)
    assert container == "arrow"
    assert type(table) is hint
    assert table.schema == batch.schema
    assert table.num_rows == batch.n_rows
    if batch.n_rows:
        assert table.column("maybe").to_pylist() == [3, None]
        assert table.column("maybe_real").null_count == 0
        assert table.column("maybe_real").to_pylist()[1] != table.column("maybe_real").to_pylist()[1]
        assert batch.arrow().column(6).null_count == 1


def test_an_annotated_container_in_a_method():
    class Model:
        async def predict(self, frame: t.Annotated[pa.Table, "the rows"]) -> pa.Table:
            return frame

    binding = read_hints(Model.predict, row=Nested, result=Nested, skip_self=True)
    assert (binding.container, binding.is_async, binding.form) == ("arrow", True, "columns")


def _container_hint(name):
    if name in ("numpy", "instances"):
        return dict[str, np.ndarray]
    if name == "table":
        return pa.Table
    return pytest.importorskip(name).DataFrame


@pytest.mark.parametrize("name", ["numpy", "pandas", "polars", "table", "instances"])
def test_what_comes_back_unchanged_is_the_same(batch, name):
    """Every type through every container and back; a null of an optional float is NaN afterwards."""

    def columns(frame):
        return frame

    columns.__annotations__ = {"frame": _container_hint(name), "return": t.Any}
    binding = read_hints(columns, row=Row, result=Row)
    if name == "instances":

        def one(row: Row) -> Row:
            return row

        rows = read_hints(one)
        answered = [rows.caller(one)(row) for row in batch.rows()]
        assert all(isinstance(row, Row) for row in answered)
    else:
        answered = binding.present(batch)
    back = binding.results(answered, batch.n_rows)
    assert back.schema == batch.schema
    expected = [
        tuple(NAN if n == "maybe_real" and v is None else v for n, v in zip(batch.names, row, strict=True))
        for row in batch.rows()
    ]
    if name == "instances":
        expected = batch.rows()
    assert repr(back.rows()) == repr(expected)
