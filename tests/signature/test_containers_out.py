# mypy: ignore-errors
# containers of four packages, each optional
"""What a function on columns answered, checked and typed."""

import enum
import typing as t
from dataclasses import dataclass
from datetime import UTC, date, datetime

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest

from twofold._errors import WrongResult
from twofold._signature import result_columns
from twofold._signature.hints import read_hints
from twofold._signature.shape import Shape

NOW = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
WALL = NOW.replace(tzinfo=None)
DAY = date(2026, 1, 2)
NAN = float("nan")


class Color(enum.Enum):
    RED = "red"


@dataclass
class Row:
    n: int


@dataclass
class Scores:
    label: str
    score: np.float32
    best: int | None = None


def columns(d: dict[str, np.ndarray]) -> npt.NDArray[t.Any]:
    return d["n"]


def read(result, value, n_rows=2):
    batch = read_hints(columns, row=Row, result=result).results(value, n_rows)
    assert batch.n_rows == n_rows
    batch.arrow().validate(full=True)
    rows = batch.rows()
    again = [batch.numpy(name) for name in batch.names]
    assert all(len(array) == n_rows for array in again)
    assert type(batch).from_arrow(batch.arrow()).rows() == rows or "nan" in repr(rows)
    return [row[0] for row in rows] if len(batch.names) == 1 else rows


FITS = [
    (float, np.array([1.0, 2.0]), [1.0, 2.0]),
    (float, np.array([1, 2]), [1.0, 2.0]),
    (float, np.array([1.0, NAN]), "[1.0, nan]"),
    (float | None, np.array([1.0, NAN]), "[1.0, nan]"),
    (float, [1.0, np.float32(2)], [1.0, 2.0]),
    (np.float32, np.array([0.1, 0.2]), [float(np.float32(0.1)), float(np.float32(0.2))]),
    (np.float32, np.array([np.inf, -np.inf]), [float("inf"), float("-inf")]),
    (int, np.array([1, 2], np.int8), [1, 2]),
    (int, np.array([1.0, 2.0]), [1, 2]),
    (np.uint8, np.array([1, 255]), [1, 255]),
    (int | None, np.ma.MaskedArray([1, 2], [False, True]), [1, None]),
    (int | None, np.array([1, 2]), [1, 2]),
    (float | None, np.ma.MaskedArray([1.0, 2.0], [False, True]), [1.0, None]),
    (float, np.ma.MaskedArray([1.0, 2.0]), [1.0, 2.0]),
    (bool, np.array([True, False]), [True, False]),
    (bool | None, np.ma.MaskedArray([True, False], [True, False]), [None, False]),
    (str, ["a", "b"], ["a", "b"]),
    (str, np.array(["a", "b"]), ["a", "b"]),
    (str, np.array(["é", "a\0"]), ["é", "a"]),
    (str, np.array(["a", "b"], object), ["a", "b"]),
    (str | None, ["a", "b"], ["a", "b"]),
    (str | None, np.array(["a", None], object), ["a", None]),
    (int, [1, np.int8(2)], [1, 2]),
    (int | None, [1, None], [1, None]),
    (bool, [True, np.bool_(False)], [True, False]),
    (float, [1, 2], [1.0, 2.0]),
    (bytes, [b"a", bytearray(b"b")], [b"a", b"b"]),
    (datetime, np.array([WALL, WALL], "datetime64[us]"), [NOW, NOW]),
    (datetime, np.array(["2026-01-02"] * 2, "datetime64[ns]"), [datetime(2026, 1, 2, tzinfo=UTC)] * 2),
    (datetime | None, np.array([WALL, "NaT"], "datetime64[us]"), [NOW, None]),
    (datetime, [NOW, NOW], [NOW, NOW]),
    (t.Annotated[datetime, msgspec.Meta(tz=False)], np.array([WALL, WALL], "datetime64[us]"), [WALL, WALL]),
    (date, np.array([DAY, DAY], "datetime64[D]"), [DAY, DAY]),
    (date | None, np.array([DAY, "NaT"], "datetime64[D]"), [DAY, None]),
    (date, [DAY, DAY], [DAY, DAY]),
    (Color, [Color.RED, "red"], ["red", "red"]),
    (Color, np.array(["red", "red"]), ["red", "red"]),
    (t.Literal[1, 2], np.array([2, 1]), [2, 1]),
    (tuple[float, float], np.array([[1, 2], [3, 4]]), [[1.0, 2.0], [3.0, 4.0]]),
    (tuple[float, float], [(1, 2), np.array([3, 4])], [[1.0, 2.0], [3.0, 4.0]]),
    (t.Annotated[npt.NDArray[np.float32], Shape(2)], np.ones((2, 2)), [[1.0, 1.0], [1.0, 1.0]]),
    (list[int], [[1], []], [[1], []]),
    (list[str], [np.array(["a"]), ("b", "c")], [["a"], ["b", "c"]]),
    (float, {"prediction": np.array([1.0, 2.0])}, [1.0, 2.0]),
    (float, pa.array([1.0, 2.0]), [1.0, 2.0]),
    (float, pa.chunked_array([[1.0], [2.0]]), [1.0, 2.0]),
    (float | None, pa.array([1.0, None]), [1.0, None]),
    (int, pa.array([1, 2], pa.int8()), [1, 2]),
    (str, pa.array(["a", "a"]).dictionary_encode(), ["a", "a"]),
    (float, pa.table({"prediction": [1.0, 2.0]}), [1.0, 2.0]),
    (float, pa.record_batch({"prediction": [1.0, 2.0]}), [1.0, 2.0]),
    (t.Annotated[float, msgspec.Meta(ge=0, le=1)], np.array([0.0, 1.0]), [0.0, 1.0]),
]


@pytest.fixture(params=["few", "many"], autouse=True)
def _few_or_many(request, monkeypatch):
    """Many answers are read as a column; the same here with two."""
    if request.param == "many":
        monkeypatch.setattr(result_columns, "MANY_CELLS", 1)


@pytest.mark.parametrize(("result", "value", "expected"), FITS)
def test_fits(result, value, expected):
    found = read(result, value)
    assert repr(found) == expected if isinstance(expected, str) else found == expected
    assert [type(v) for v in found] == [type(v) for v in expected] or isinstance(expected, str)


@pytest.mark.parametrize("value", [np.zeros(0), [], (), np.zeros(0, np.float32)])
def test_no_rows(value):
    assert read(float, value, n_rows=0) == []
    assert read(str, [], n_rows=0) == []


REFUSED = [
    (float, np.array([1.0]), "answered 1 rows in the column 'prediction' for a batch of 2"),
    (float, [1.0, 2.0, 3.0], "answered 3 rows"),
    (float, 1.0, "answered a float for the column 'prediction'"),
    (float, None, "answered None"),
    (float, "ab", "answered a str"),
    (float, np.array(1.0), "a ndarray for the column"),
    (float, np.ones((2, 1)), r"shape \(2, 1\).*where \(2,\) \(float64 per row\).*ravel"),
    (tuple[float, float], np.ones((2, 3)), r"shape \(2, 3\).*where \(2, 2\)"),
    (tuple[float, float], [[1.0, 2.0], [1.0]], "row 1.*1 items where 2 are expected"),
    (float, np.array(["a", "b"]), 'row 0.*expected float64, got "a"'),
    (float, np.array([True, False]), "expected float64, got true"),
    (float, [1.0, "x"], 'row 1 of the batch: prediction: expected float64, got "x"'),
    (float, [1.0, None], "row 1.*got null"),
    (float, np.ma.MaskedArray([1.0, 2.0], [False, True]), "row 1.*got null"),
    (int, np.array([1.5, 2.0]), "row 0.*expected int64, got 1.5"),
    (int, np.array([1.0, NAN]), "row 1.*expected int64"),
    (np.int8, np.array([1, 300]), "row 1.*300"),
    (np.uint8, np.array([-1, 3]), "row 0.*-1"),
    (np.float32, np.array([1e300, 1.0]), "row 0.*1e\\+?300"),
    (np.float16, np.array([1, 70000]), "row 1.*70000"),
    (bool, np.array([0, 1]), "expected bool"),
    (str, np.array([1, 2]), "expected string, got 1"),
    (str, ["a", None], "row 1.*got null"),
    (str, ["a", b"b"], "row 1.*expected string"),
    (str, ["a", "\udfff"], "row 1.*half a character"),
    (str, np.array(["a", "\udfff"]), "row 1.*half a character"),
    (str, np.array(["a", None], object), "row 1.*got null"),
    (int, [1, True], "row 1.*expected int64, got true"),
    (int, [1, 2**63], "row 1.*9223372036854775808"),
    (np.int8, [1, 300], "row 1.*300"),
    (bool, [True, 1], "row 1.*expected bool"),
    (float, [1, True], "row 1.*expected float64, got true"),
    (float, [1, 10**400], "row 1.*out of the range"),
    (Color, ["red", "blue"], "row 1.*blue"),
    (datetime, np.array([WALL, "NaT"], "datetime64[us]"), "row 1.*got"),
    (datetime, np.array([0, 1], "datetime64[ns]"), "row 1.*finer than a microsecond"),
    (datetime, [NOW, WALL], "row 1.*no zone"),
    (date, np.array([WALL, WALL], "datetime64[us]"), "row 0.*expected date"),
    (t.Annotated[float, msgspec.Meta(ge=0, le=1)], np.array([0.0, 1.5]), "row 1.*<= 1"),
    (t.Annotated[str, msgspec.Meta(max_length=1)], ["a", "bb"], "row 1.*at most 1 long"),
    (float, pa.array(["1", "2"]), "row 0.*expected float64"),
    (float, pa.array([1.0, None]), "row 1.*null"),
    (float, {"predicton": np.ones(2)}, "answered no column 'prediction': it has predicton"),
    (float, {"prediction": np.ones(2), "more": np.ones(2)}, "a column 'more' that its result does not declare"),
    (float, pa.table({"x": [1.0, 2.0]}), "no column 'prediction'"),
    (Scores, np.ones(2), "answered a ndarray for the columns label, score, best"),
    (Scores, {"label": ["a", "b"], "score": [1.0, 2.0]}, "no column 'best'"),
    (Scores, {"label": ["a", "b"], "score": [1.0], "best": [1, 2]}, "1 rows in the column 'score'"),
    (Scores, [Scores("a", 1.0)], "answered 1 rows for a batch of 2"),
    (Scores, [Scores("a", 1.0), ("b", 2.0, None)], "annotation says `Scores`"),
    (Scores, [Scores("a", 1.0), Scores("b", "x")], "row 1.*score: expected float32"),
]


@pytest.mark.parametrize(("result", "value", "words"), REFUSED)
def test_refused(result, value, words):
    with pytest.raises(WrongResult, match=words) as caught:
        read(result, value)
    assert caught.value.code == "wrong_result"
    assert "\n" not in str(caught.value)


NAMED = {"score": np.array([0.5, 1.5]), "label": ["a", "b"], "best": np.ma.MaskedArray([1, 2], [True, False])}
EXPECTED = [("a", 0.5, None), ("b", 1.5, 2)]


@pytest.mark.parametrize(
    "value",
    [
        NAMED,
        {"label": np.array(["a", "b"]), "score": [0.5, 1.5], "best": pa.array([None, 2])},
        pa.table({"label": ["a", "b"], "score": [0.5, 1.5], "best": [None, 2]}),
        [Scores("a", np.float32(0.5)), Scores("b", 1.5, 2)],
    ],
    ids=["numpy", "mixed", "arrow", "instances"],
)
def test_several_columns(value):
    assert read(Scores, value) == EXPECTED


def test_pandas():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"label": ["a", "b"], "score": [0.5, 1.5], "best": pd.array([None, 2], dtype="Int64")})
    assert read(Scores, frame) == EXPECTED
    frame["best"] = [NAN, 2.0]  # the way of pandas without nullable dtypes
    assert read(Scores, frame) == EXPECTED
    assert read(float, pd.Series([1.0, NAN]))[0] == 1.0
    assert repr(read(float | None, pd.Series([1.0, NAN]))) == "[1.0, nan]"
    assert read(float | None, pd.Series([1.0, None], dtype="Float64")) == [1.0, None]
    assert read(str | None, pd.Series(["a", None])) == ["a", None]
    assert read(str, pd.Series(["a", "b"], dtype="category")) == ["a", "b"]
    assert read(Color, pd.Series(["red", Color.RED], dtype=object)) == ["red", "red"]
    assert read(bool, pd.Series([True, False])) == [True, False]
    assert read(bool | None, pd.Series([True, None], dtype="boolean")) == [True, None]
    assert read(datetime, pd.Series([NOW, NOW])) == [NOW, NOW]
    assert read(datetime | None, pd.Series([NOW, None])) == [NOW, None]
    assert read(date, pd.Series(pd.to_datetime([DAY, DAY]))) == [DAY, DAY]
    assert read(tuple[int, int], pd.Series([[1, 2], np.array([3, 4])])) == [[1, 2], [3, 4]]
    assert read(float, pd.DataFrame({"prediction": [1.0, 2.0]}, index=["x", "y"])) == [1.0, 2.0]
    assert read(float, pd.Series([1.0, 2.0], index=[7, 5])) == [1.0, 2.0]
    with pytest.raises(WrongResult, match="another order"):
        read(float, pd.Series([1.0, 2.0], index=[1, 0]))
    with pytest.raises(WrongResult, match="datetimes without a zone"):
        read(datetime, pd.Series([WALL, WALL]))
    with pytest.raises(WrongResult, match=r"row 1.*got null"):
        read(int, pd.Series([1.0, NAN]))
    with pytest.raises(WrongResult, match=r"row 1.*expected"):
        read(float, pd.Series([1.0, None], dtype="Float64"))


def test_polars():
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"label": ["a", "b"], "score": [0.5, 1.5], "best": [None, 2]})
    assert read(Scores, frame) == EXPECTED
    assert read(float, pl.Series([1.0, 2.0])) == [1.0, 2.0]
    assert read(str | None, pl.Series(["a", None])) == ["a", None]
    assert read(str, pl.Series(["a", "b"], dtype=pl.Categorical)) == ["a", "b"]
    assert read(datetime, pl.Series([NOW, NOW])) == [NOW, NOW]
    assert read(date, pl.Series([DAY, DAY])) == [DAY, DAY]
    assert read(tuple[int, int], pl.Series([[1, 2], [3, 4]])) == [[1, 2], [3, 4]]
    assert read(list[float], pl.Series([[1.0], []])) == [[1.0], []]
    with pytest.raises(WrongResult, match="row 1"):
        read(int, pl.Series([1, None]))


def test_anything_that_numpy_can_read():
    class Tensor:
        def __array__(self, dtype=None, copy=None):
            return np.array([1.0, 2.0], dtype)

        def __len__(self):
            return 2

    assert read(float, Tensor()) == [1.0, 2.0]


def test_structs_with_their_own_classes_in_columns():
    @dataclass
    class Answer:
        color: Color
        parts: list[Scores]

    parts = [[Scores("a", 1.0)], []]
    expected = [("red", [{"label": "a", "score": 1.0, "best": None}]), ("red", [])]
    assert read(Answer, {"color": [Color.RED, "red"], "parts": parts}) == expected
    assert read(Answer, [Answer(Color.RED, p) for p in parts]) == expected


def test_masked_tensors():
    mask = [[True, True], [False, False]]
    for dtype, kind in ((np.int64, int), (np.float32, np.float32)):
        array = np.ma.MaskedArray(np.array([[1, 2], [3, 4]], dtype), mask)
        assert read(tuple[kind, kind] | None, array) == [None, [3, 4]]
        with pytest.raises(WrongResult, match=r"row 0.*got null"):
            read(tuple[kind, kind], array)
        half = np.ma.MaskedArray(np.array([[1, 2], [3, 4]], dtype), [[True, False], [False, False]])
        with pytest.raises(WrongResult, match=r"row 0.*got null"):
            read(tuple[kind, kind] | None, half)


def test_a_dict_stands_for_a_nested_struct_if_its_names_are_right():
    @dataclass
    class Answer:
        inner: Row

    assert read(Answer, {"inner": [{"n": 1}, Row(2)]}) == [{"n": 1}, {"n": 2}]
    with pytest.raises(WrongResult, match="no such field"):
        read(Answer, {"inner": [{"n": 1, "m": 1}, Row(2)]})
    with pytest.raises(WrongResult, match="answered int 3 where its annotation says `Row`"):
        read(Answer, {"inner": [3, Row(2)]})
