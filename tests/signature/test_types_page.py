"""docs/types.md is the table of coercions: each of its cells is one test here."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Literal, get_args

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from msgspec import Meta
from numpy.typing import NDArray

from tests.signature.lines import records_of_lines
from twofold._columns import Batch
from twofold._errors import RowsDoNotFit
from twofold._signature import (
    Bool,
    Bytes,
    Choice,
    Constraints,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    List,
    Scalar,
    Shape,
    Signature,
    String,
    Struct,
    Tensor,
    Type,
    read_hints,
    type_name,
)
from twofold._signature.misfit import expected_words
from twofold._signature.text import text_reader

PAGE = Path(__file__).parents[2] / "docs" / "types.md"


class Colour(Enum):
    RED = "red"


def named(kind, nullable=False, **constraints) -> Field:
    return Field("x", kind, nullable, constraints=Constraints(**constraints))


STRUCT = Struct((Field("a", Int()), Field("b", String(), default="?")))
FIELDS = [
    *(
        named(kind)
        for kind in (Bool(), Int(), Int(8), Int(64, False), Float(), Float(32), Float(16), String(), Bytes())
    ),
    *(named(kind) for kind in (Datetime(), Datetime(naive=True), Date(), Choice(("red", "green")), Choice((1, 2)))),
    named(Tensor(Float(32), (2,))),
    named(Tensor(Int(), (2, 2))),
    named(List(Field("item", Int(), nullable=True))),
    named(STRUCT),
    named(String(), True),
    named(Int(), True),
    named(Float(), True),
    named(Int(), gt=0, multiple_of=3),
    named(Float(32), ge=0.1, le=0.1),
    named(String(), min_length=1, max_length=2, pattern="^[ab]+$"),
    named(Bytes(), max_length=1),
    named(List(Field("item", Int())), min_length=1),
    named(Tensor(Float(), (2,)), ge=0),
]
WORDS = {"struct of a, b": named(STRUCT)} | {expected_words(field): field for field in FIELDS}
PYTHON = {
    "np": np,
    "Decimal": Decimal,
    "datetime": datetime,
    "date": date,
    "timedelta": timedelta,
    "timezone": timezone,
    "UTC": UTC,
    "nan": float("nan"),
    "inf": float("inf"),
    "Colour": Colour,
}


def tables():
    """(heading, header cells, row cells) of every table row of the page."""
    heading, header = "", None
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            heading, header = line[3:], None
        elif line.startswith("|"):
            cells = [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
            if header is None:
                header = cells
            elif not set(line) <= set("|-"):
                yield heading, header, cells


def field_of(heading: str) -> tuple[Field, bool]:
    words, _, nulls = heading.partition(", with nulls as ")
    return WORDS[words], bool(nulls)


def code(cell: str) -> str:
    match = re.fullmatch(r"`(.*)`", cell)
    assert match, f"{cell!r} is no code"
    return match.group(1).replace("␣", " ")


def python(cell: str):
    return eval(code(cell), dict(PYTHON))


READS = [(heading, header, cells) for heading, header, cells in tables() if header[-1] == "Read as"]
CASES = [
    pytest.param(heading, source, cell, cells[-1], id=f"{heading}: {cells[0]}: {source}")
    for heading, header, cells in READS
    for source, cell in zip(header[1:-1], cells[1:-1], strict=True)
    if cell != "—"
]


def arrow_type(name: str) -> pa.DataType:
    plain = {
        "bool": pa.bool_(),
        "dictionary": pa.dictionary(pa.int32(), pa.string()),
        "decimal": pa.decimal128(30, 2),
        "binary(2)": pa.binary(2),
        "null": pa.null(),
    }
    if name in plain:
        return plain[name]
    if match := re.fullmatch(r"timestamp\[(\w+)(?:, (.*))?\]", name):
        return pa.timestamp(*match.groups())
    if match := re.fullmatch(r"list\[(.*)\]", name):
        return pa.list_(arrow_type(match.group(1)))
    if match := re.fullmatch(r"fixed\[(.*), (\d+)\]", name):
        return pa.list_(arrow_type(match.group(1)), int(match.group(2)))
    if match := re.fullmatch(r"struct\[(.*)\]", name):
        members = [member.split(": ") for member in match.group(1).split(", ")]
        return pa.struct([(member, arrow_type(kind)) for member, kind in members])
    return pa.type_for_alias(name)


def arrow_column(cell: str) -> pa.Array:
    match = re.fullmatch(r"`(\w+(?:\(\d\)|\[.*\])?): (.*)`", cell)
    assert match, f"{cell!r} is no `type: value`"
    kind, values = arrow_type(match.group(1)), [eval(match.group(2), dict(PYTHON))]
    if pa.types.is_temporal(kind):
        return pa.array(values, pa.int64() if kind.bit_width == 64 else pa.int32()).view(kind)
    if pa.types.is_float16(kind):
        return pa.array(np.array(values, np.float16))
    return pa.array(values, kind)


def roads(signature: Signature, source: str, cell: str):
    """Every way of reading this cell: callables that give the value or raise RowsDoNotFit."""
    if source == "Python":
        value = python(cell)
        return [lambda: signature.row({"x": value})[0]]
    if source == "JSON":
        body = f'{{"x": {code(cell)}}}'.encode()
        records = records_of_lines([body, body])
        return [
            lambda: signature.decode_row(body)[0],
            lambda: signature.decode(body)[0][0][0],
            lambda: signature.decode(b" [" + body + b"," + body + b"]")[0][1][0],
            lambda: column_value(signature.read_json(records)),
        ]
    if source == "CSV cell":
        text = None if cell == "*empty*" else "" if cell == '`""`' else code(cell)
        column = pa.array([text, text], pa.string())
        return [
            lambda: scalar(signature, text),
            lambda: column_value(signature.read_text({"x": column}, 2)),
        ]
    column = arrow_column(cell)
    twice = pa.chunked_array([column, column])
    return [
        lambda: column_value(signature.read_arrow({"x": column}, 1)),
        lambda: column_value(signature.read_arrow({"x": twice}, 2)),
    ]


def scalar(signature: Signature, text):
    from twofold._signature.misfit import Misfit
    from twofold._signature.values import Rules

    read = text_reader(signature.inputs[0], Rules(nulls_as_nan=signature.nulls_as_nan))
    try:
        return read(text)
    except Misfit as misfit:
        raise RowsDoNotFit([misfit.inside("x").field_error(0)]) from None


def column_value(coerced):
    if coerced.misfits:
        assert coerced.batch.n_rows == 0
        raise RowsDoNotFit(coerced.misfits[0])
    return coerced.batch.rows()[-1][0]


@pytest.mark.parametrize(("heading", "source", "cell", "expected"), CASES)
def test_cell(heading, source, cell, expected):
    field, nulls_as_nan = field_of(heading)
    signature = Signature((field,), (), nulls_as_nan=nulls_as_nan)
    for read in roads(signature, source, cell):
        if expected == "refused":
            with pytest.raises(RowsDoNotFit) as caught:
                read()
            error = caught.value.errors[0]
            assert error.field.split(".")[0] == "x"
            assert error.expected
            assert error.expected in error.message
            assert error.got in error.message
            assert len(error.got) <= 100
        else:
            assert repr(read()) == repr(python(expected))


WRITES = [cells for _, header, cells in tables() if header[-1] == "JSON"]


@pytest.mark.parametrize(("words", "value", "text"), WRITES)
def test_written(words, value, text):
    field = WORDS["bool (true or false)" if words == "bool" else words]
    signature = Signature((field,), (field,))
    row = (python(value),)
    answer = b'{"x":' + code(text).encode() + b"}"
    assert signature.encode_row(row) == answer
    batch = Batch.from_rows(signature.output_schema, [row])
    assert signature.encode_rows(batch) == [answer]
    assert signature.encode_rows(Batch.from_arrow(batch.arrow())) == [answer]
    assert repr(signature.decode_row(answer)) == repr(row)
    assert repr(signature.decode_row(msgspec.json.encode(signature.json_row(signature.inputs, row)))) == repr(row)


@dataclass
class Point:
    x: float
    y: float


DECLARED = [cells for _, header, cells in tables() if header[-1] == "Type" and header[0] == "Annotation"]


@pytest.mark.parametrize(("annotation", "words"), DECLARED)
def test_declared(annotation, words):
    names = {
        "Point": Point,
        "Literal": Literal,
        "Annotated": Annotated,
        "NDArray": NDArray,
        "Meta": Meta,
        "Shape": Shape,
    }

    def predict(a, b) -> float:
        return 0.0

    hint = eval(code(annotation), PYTHON | names)
    predict.__annotations__ = {"a": hint, "b": int, "return": float}
    field = read_hints(predict, skip_self=False).inputs[0]
    shown = type_name(field.type) if isinstance(field.type, Bool | Int | Struct) else ""
    assert words in (expected_words(field), shown)


def test_every_type_has_its_table():
    tabled = {type(field_of(heading)[0].type) for heading, _, _ in READS}
    assert tabled == set(get_args(Scalar)) | {Tensor, List, Struct}
    assert tabled == set(get_args(Type))
    written = {words for words, _, _ in WRITES}
    assert {type(WORDS["bool (true or false)" if w == "bool" else w].type) for w in written} == tabled


def test_every_form_is_shown_for_every_type():
    for heading in {heading for heading, _, _ in READS}:
        rows = [cells[1:-1] for h, _, cells in READS if h == heading]
        for at in range(4):
            assert any(row[at] != "—" for row in rows), (heading, at)
