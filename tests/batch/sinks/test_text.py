"""CSV and JSONL output: the text of every kind of value, and that reading it gives the same values again."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import math
from decimal import Decimal
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._batch.formats import JSON_MARK, format_of
from twofold._batch.sinks import open_part
from twofold._batch.sinks.column_text import float_text
from twofold._batch.sources import cut, read_split, scan_inputs
from twofold._errors import OutputError
from twofold._signature import (
    Bool,
    Bytes,
    Choice,
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
    arrow_schema,
)

NOON = dt.datetime(2024, 5, 6, 12, 0, 0)


def written(path: Path, batch: pa.RecordBatch, *, header: bool = True) -> str:
    with open_part(path, batch.schema, format_of(path), header=header) as part:
        part.write(batch)
    return path.read_bytes().decode()


CASES = [
    (pa.array([True, False, None]), ["true", "false", ""], ["true", "false", "null"]),
    (pa.array([1, -(1 << 63), None]), ["1", str(-(1 << 63)), ""], ["1", str(-(1 << 63)), "null"]),
    (pa.array([(1 << 64) - 1], pa.uint64()), [str((1 << 64) - 1)], [str((1 << 64) - 1)]),
    (
        pa.array([0.1, -0.0, math.nan, math.inf, -math.inf, None]),
        ["0.1", "-0.0", "NaN", "Infinity", "-Infinity", ""],
        ["0.1", "-0.0", '"NaN"', '"Infinity"', '"-Infinity"', "null"],
    ),
    (pa.array(np.array([0.1, 16777216], np.float32)), ["0.1", "16777216.0"], ["0.1", "16777216.0"]),
    (pa.array(np.array([0.1, np.nan], np.float16)), ["0.1", "NaN"], ["0.1", '"NaN"']),
    (
        pa.array(["x", "", None, 'a"b', "a,b", "a\nb", "a\rb", " é\x01"]),
        ["x", '""', "", '"a""b"', '"a,b"', '"a\nb"', '"a\rb"', " é\x01"],
        ['"x"', '""', "null", '"a\\"b"', '"a,b"', '"a\\nb"', '"a\\rb"', '" é\\u0001"'],
    ),
    (pa.array([b"\x00\xff", b"", None]), ["AP8=", '""', ""], ['"AP8="', '""', "null"]),
    (
        pa.array(
            [NOON, NOON.replace(microsecond=5), dt.datetime(1969, 12, 31, 23, 59, 59, 999999), None],
            pa.timestamp("us", "UTC"),
        ),
        ["2024-05-06T12:00:00Z", "2024-05-06T12:00:00.000005Z", "1969-12-31T23:59:59.999999Z", ""],
        ['"2024-05-06T12:00:00Z"', '"2024-05-06T12:00:00.000005Z"', '"1969-12-31T23:59:59.999999Z"', "null"],
    ),
    (pa.array([NOON], pa.timestamp("s")), ["2024-05-06T12:00:00"], ['"2024-05-06T12:00:00"']),
    (pa.array([NOON], pa.timestamp("ms", "Europe/Berlin")), ["2024-05-06T12:00:00Z"], ['"2024-05-06T12:00:00Z"']),
    (pa.array([1], pa.timestamp("ns")), ["1970-01-01T00:00:00.000000001"], ['"1970-01-01T00:00:00.000000001"']),
    (pa.array([dt.date(2024, 5, 6), None]), ["2024-05-06", ""], ['"2024-05-06"', "null"]),
    (
        pa.array([dt.time(1, 2, 3), dt.time(1, 2, 3, 4)]),
        ["01:02:03", "01:02:03.000004"],
        ['"01:02:03"', '"01:02:03.000004"'],
    ),
    (pa.array([Decimal("1.50")]), ["1.50"], ['"1.50"']),
    (pa.array([dt.timedelta(seconds=2)], pa.duration("ms")), ["2000"], ["2000"]),
    (pa.nulls(1), [""], ["null"]),
    (pa.array(["u", None, "v", "u"]).dictionary_encode(), ["u", "", "v", "u"], ['"u"', "null", '"v"', '"u"']),
    (
        pa.array([[1.5, None, math.nan], [], None]),
        ['"[1.5,null,""NaN""]"', "[]", ""],
        ['[1.5,null,"NaN"]', "[]", "null"],
    ),
    (pa.array([[[1], []], [None]]), ['"[[1],[]]"', "[null]"], ["[[1],[]]", "[null]"]),
    (pa.array([[1, 2], None], pa.list_(pa.int8(), 2)), ['"[1,2]"', ""], ["[1,2]", "null"]),
    (pa.array([["a"]], pa.large_list(pa.large_string())), ['"[""a""]"'], ['["a"]']),
    (
        pa.array([{"x": 1, "y": ["q"]}, {"x": None, "y": None}, None]),
        ['"{""x"":1,""y"":[""q""]}"', '"{""x"":null,""y"":null}"', ""],
        ['{"x":1,"y":["q"]}', '{"x":null,"y":null}', "null"],
    ),
    (pa.array([{}], pa.struct([])), ["{}"], ["{}"]),
    (
        pa.array([[("k", 1), ('"', 2)], []], pa.map_(pa.string(), pa.int64())),
        ['"{""k"":1,""\\"""":2}"', "{}"],
        ['{"k":1,"\\"":2}', "{}"],
    ),
    (pa.array([[(3, 1)]], pa.map_(pa.int64(), pa.int64())), ['"{""3"":1}"'], ['{"3":1}']),
]


@pytest.mark.parametrize(("column", "cells", "values"), CASES, ids=[str(case[0].type) for case in CASES])
def test_the_text_of_every_type(tmp_path, column, cells, values):
    # A second column, and once more from the middle of an array: offsets matter.
    for start in (0, len(column) // 2):
        rows = column.slice(start)
        batch = pa.record_batch({"a,b": rows, "i": pa.array(range(len(rows)))})
        expected = "".join(f"{cell},{row}\n" for row, cell in enumerate(cells[start:]))
        assert written(tmp_path / "out.csv", batch) == '"a,b",i\n' + expected
        expected = "".join(f'{{"a,b":{value},"i":{row}}}\n' for row, value in enumerate(values[start:]))
        assert written(tmp_path / "out.jsonl", batch) == expected


def test_one_column_of_nulls(tmp_path):
    batch = pa.record_batch({"a": pa.array(["x", None, ""])})
    assert written(tmp_path / "out.csv", batch) == 'a\nx\n\n""\n'
    scan = scan_inputs(tmp_path / "out.csv")
    (piece,) = read_split(cut(scan, 9)[0], scan.schema, ["a"], 9)
    assert piece.columns["a"].to_pylist() == ["x", None, ""]


def test_json_text_is_written_as_json(tmp_path):
    schema = pa.schema([pa.field("v", pa.string(), metadata={JSON_MARK: b"1"})])
    batch = pa.record_batch([pa.array(["1", '"x"', None, '{"a":[1]}'])], schema=schema)
    assert written(tmp_path / "out.jsonl", batch) == '{"v":1}\n{"v":"x"}\n{"v":null}\n{"v":{"a":[1]}}\n'


def test_rows_without_columns(tmp_path):
    batch = pa.RecordBatch.from_struct_array(pa.array([{}, {}], pa.struct([])))
    assert written(tmp_path / "out.jsonl", batch) == "{}\n{}\n"


def test_a_column_without_a_text_form_is_named(tmp_path):
    batch = pa.record_batch({"fine": pa.array([1]), "gap": pa.array([(1, 2, 3)], pa.month_day_nano_interval())})
    with pytest.raises(OutputError, match=r"column gap of type month_day_nano_interval .*--keep"):
        written(tmp_path / "out.csv", batch)


@pytest.mark.parametrize("width", [np.float16, np.float32, np.float64])
@given(bits=st.lists(st.integers(0, (1 << 64) - 1), max_size=20))
@settings(max_examples=100, deadline=None)
def test_floats_read_back_in_their_width_and_are_shortest(width, bits):
    size = np.dtype(width).itemsize
    values = np.array([number % (1 << (8 * size)) for number in bits], f"u{size}").view(width)
    texts = float_text(pa.array(values)).to_pylist()
    for value, text in zip(values, texts, strict=True):
        if np.isfinite(value):
            assert width(text) == value
            assert float(text) == float(str(value))
        else:
            assert text == ("NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity")


TEXT = st.text(max_size=8)
NUMBER = st.floats(width=64) | st.none()


@st.composite
def batches(draw):
    n_rows = draw(st.integers(1, 12))

    def column(values, kind):
        return pa.array(draw(st.lists(values, min_size=n_rows, max_size=n_rows)), kind)

    moment = st.datetimes(dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31))
    return pa.record_batch(
        {
            'a "b"\n': column(TEXT | st.none(), pa.string()),
            "f": column(NUMBER, pa.float64()),
            "t": column(moment | st.none(), pa.timestamp("us", "UTC")),
            "l": column(st.lists(TEXT | st.none(), max_size=3) | st.none(), pa.list_(pa.string())),
            "o": column(
                st.fixed_dictionaries({"x": st.integers(-9, 9) | st.none(), "y": TEXT}),
                pa.struct([("x", pa.int64()), ("y", pa.string())]),
            ),
        }
    )


def json_value(value):
    """What a JSON reader sees of a value."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return json.loads(msgspec.json.encode(value))


@given(batches())
@settings(max_examples=100, deadline=None)
def test_whatever_is_written_is_read(tmp_path_factory, batch):
    folder = tmp_path_factory.mktemp("text")
    text = written(folder / "out.jsonl", batch)
    lines = text.split("\n")[:-1]
    rows = batch.to_pylist()
    assert [json.loads(line) for line in lines] == [
        {name: json_value(value) for name, value in row.items()} for row in rows
    ]
    # The text of an instant is the one that real time writes.
    for line, row in zip(lines, rows, strict=True):
        if row["t"] is not None:
            assert json.loads(line)["t"] == json.loads(msgspec.json.encode(row["t"].astimezone(dt.UTC)))

    written(folder / "out.csv", batch)
    scan = scan_inputs(folder / "out.csv", mark_rows=3)
    assert scan.schema.names == batch.schema.names
    pieces = [piece for split in cut(scan, 3) for piece in read_split(split, scan.schema, scan.schema.names, 2)]
    assert not any(piece.broken for piece in pieces)
    cells = {
        name: [cell for piece in pieces for cell in piece.columns[name].to_pylist()] for name in batch.schema.names
    }
    first = batch.schema.names[0]
    assert cells[first] == [row[first] for row in rows]
    for name in ("l", "o"):
        values = [None if cell is None else json.loads(cell) for cell in cells[name]]
        assert values == [row[name] for row in rows]
    for cell, row in zip(cells["f"], rows, strict=True):
        assert cell is None if row["f"] is None else math.isnan(float(cell)) or float(cell) == row["f"]


@given(st.lists(st.tuples(TEXT, TEXT), max_size=10))
@settings(max_examples=60, deadline=None)
def test_pythons_csv_module_reads_what_is_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "out.csv"
    batch = pa.record_batch(
        {"a": pa.array([a for a, _ in rows], pa.string()), "b": pa.array([b for _, b in rows], pa.string())}
    )
    text = written(path, batch)
    assert [tuple(row) for row in csv.reader(io.StringIO(text, newline=""))] == [("a", "b"), *rows]


FIELDS = (
    Field("b", Bool()),
    Field("i", Int(64)),
    Field("u", Int(64, signed=False)),
    Field("d", Float(64), nullable=True),
    Field("f", Float(32)),
    Field("h", Float(16)),
    Field("s", String(), nullable=True),
    Field("raw", Bytes()),
    Field("t", Datetime()),
    Field("naive", Datetime(naive=True)),
    Field("day", Date()),
    Field("choice", Choice(("x", "y"))),
    Field("v", Tensor(Float(32), (2,))),
    Field("m", Tensor(Int(8), (2, 1))),
    Field("l", List(Field("item", String(), nullable=True))),
    Field("o", Struct((Field("p", Float(64)), Field("q", Int(32), nullable=True)))),
)
UTC_NOON = NOON.replace(tzinfo=dt.UTC)
ROWS = [
    (
        True,
        1,
        0,
        1.0,
        0.5,
        0.5,
        "x",
        b"",
        UTC_NOON,
        NOON,
        dt.date(2024, 5, 6),
        "x",
        [1.0, 2.5],
        [[1], [2]],
        [],
        {"p": 1.5, "q": 1},
    ),
    (
        False,
        -(1 << 63),
        (1 << 64) - 1,
        math.nan,
        float(np.float32(0.1)),
        float(np.float16(0.1)),
        'a"\n\x7f\u2028\U0001f600',
        b"\xff\x00",
        UTC_NOON.replace(microsecond=1),
        NOON.replace(microsecond=100000),
        dt.date(1, 1, 1),
        "y",
        [math.inf, float(np.float32(1e-8))],
        [[-1], [127]],
        ["", None],
        {"p": -math.inf, "q": None},
    ),
    (
        True,
        0,
        1,
        None,
        16777216.0,
        65504.0,
        None,
        b"x",
        UTC_NOON,
        NOON,
        dt.date(9999, 12, 31),
        "x",
        [-0.0, 0.0],
        [[0], [0]],
        ["z"],
        {"p": 1e300, "q": 2},
    ),
]


def test_the_same_text_as_real_time(tmp_path):
    signature = Signature((), FIELDS)
    columns = zip(*ROWS, strict=True)
    schema = arrow_schema(FIELDS)
    arrays = [
        pa.array([np.float16(value) for value in column], field.type)
        if field.type == pa.float16()
        else pa.array(column, field.type)
        for field, column in zip(schema, columns, strict=True)
    ]
    lines = written(tmp_path / "out.jsonl", pa.RecordBatch.from_arrays(arrays, schema=schema)).split("\n")[:-1]
    answers = [signature.encode_row(row).decode() for row in ROWS]
    assert lines == answers
