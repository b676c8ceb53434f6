"""Rows in: requests, Python values, missing and unknown fields, defaults; and what their errors say."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._errors import ModelError, NotJson, RowsDoNotFit, WrongResult
from twofold._signature import (
    Bool,
    Choice,
    Constraints,
    Datetime,
    Field,
    Float,
    Int,
    List,
    Signature,
    String,
    Struct,
    Tensor,
    any_json,
)
from twofold._signature.decode import decode_exactly

NUMBER = Signature((Field("number", Int()),), (Field("prediction", String()),))
PAIR = Signature(
    (
        Field("amount", Float()),
        Field("currency", String(), default="EUR"),
        Field("tags", List(Field("item", String())), default=["new"]),
        Field("seen", Datetime(), nullable=True, default=None),
    ),
    (Field("score", Float(32)), Field("flag", Bool(), nullable=True)),
)
SEEN = datetime(2026, 11, 1, tzinfo=UTC)


def errors_of(read, *given):
    with pytest.raises(RowsDoNotFit) as caught:
        read(*given)
    return caught.value.errors


def test_one_object_or_a_list():
    assert NUMBER.decode(b'{"number": 7}') == ([(7,)], False)
    assert NUMBER.decode(b' [{"number": 7}, {"number": 8.0}]') == ([(7,), (8,)], True)
    assert NUMBER.decode(b"[]") == ([], True)


@pytest.mark.parametrize("body", [b'[{"number": 7}]', b"7", b'"x"', b"null", b"[]"])
def test_one_row_must_be_an_object(body):
    (error,) = errors_of(NUMBER.decode_row, body)
    assert error.field == ""
    assert error.expected == "an object with the fields number"


def test_defaults_are_taken_when_the_key_is_missing():
    assert PAIR.decode_row(b'{"amount": 1}') == (1.0, "EUR", ["new"], None)
    assert PAIR.decode_row(b'{"amount": "NaN", "currency": "USD"}')[1:] == ("USD", ["new"], None)
    assert PAIR.row({"amount": 1, "seen": SEEN}) == (1.0, "EUR", ["new"], SEEN)
    (error,) = errors_of(PAIR.decode_row, b'{"amount": 1, "currency": null}')
    assert (error.field, error.got) == ("currency", "null")


def test_a_default_that_a_model_changes_stays_what_it_was():
    first = PAIR.decode_row(b'{"amount": 1}')
    first[2].append("changed")
    assert PAIR.decode_row(b'{"amount": 1}')[2] == ["new"]
    PAIR.row({"amount": 1})[2].append("changed")
    assert PAIR.row({"amount": 1})[2] == ["new"]


def test_every_field_that_does_not_fit_is_named():
    errors = errors_of(PAIR.decode_row, b'{"currency": 7, "colour": "red", "tags": ["a", 1]}')
    assert [(e.field, e.expected, e.got) for e in errors] == [
        ("amount", "float64", "nothing"),
        ("currency", "string", "7"),
        ("tags.1", "string", "1"),
        ("colour", "no such field", '"red"'),
    ]
    assert errors[0].message == "amount: expected float64, got nothing (it is missing)"
    assert "the fields are amount, currency, tags, seen" in errors[3].message


def test_a_list_names_up_to_ten_rows():
    body = b"[" + b",".join(b'{"number": %d.5}' % at if at % 2 else b'{"number": 1}' for at in range(40)) + b"]"
    errors = errors_of(NUMBER.decode, body)
    assert [error.row for error in errors] == list(range(1, 20, 2))
    assert errors[0].message == "number: expected int64, got 1.5"
    assert [e.row for e in errors_of(NUMBER.decode, b'[{"number": 1}, [1]]')] == [1]


def test_values_are_cut_at_a_hundred_characters():
    for body in (
        b'{"number": "%b"}' % (b"x" * 500),
        b'{"number": [%b0]}' % (b"1," * 500),
        b'{"number": %b}' % (b"1" * 9999),
    ):
        (error,) = errors_of(NUMBER.decode_row, body)
        assert len(error.got) == 100
        assert error.got.endswith("…")


def test_the_last_of_two_equal_keys_counts():
    assert NUMBER.decode_row(b'{"number": 1, "number": 2}') == (2,)
    assert NUMBER.decode_row(b'{"number": "no", "number": 2}') == (2,)
    assert errors_of(NUMBER.decode_row, b'{"number": 2, "number": "no"}')[0].got == '"no"'


@pytest.mark.parametrize(
    "body",
    [
        b'{"number": ' + b"[" * 100_000,
        b'{"number": ' + b"1" * 9999,
        b'{"number": 7',
        b'{"number": 1' + b"1" * 9999 + b" NaN}",
    ],
)
def test_hostile_bodies_are_refused_in_words(body):
    with pytest.raises((NotJson, RowsDoNotFit)):
        NUMBER.decode(body)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "it is empty"),
        (b" \n", "it is empty"),
        (b'{"number": ', "it ends too early"),
        (b'{"number": "\\ud83d', "it ends too early"),
        (b'{"number": "\\ud800"}', r"\\ud800 is half a character \(byte 12\)"),
        (b'{"number": "\\ud800 and more behind it"}', r"\\ud800 is half a character \(byte 12\)"),
        (b'{"number": "\\udc00"}', r"\\udc00 is half a character \(byte 12\)"),
        (b'{"number": "abc\xff"}', r"it is not UTF-8 \(byte 15\)"),
        (b'{"number": ' + b"[" * 100_000, "nested too deeply"),
        (b'{"number": NaN}', r"invalid character \(byte 11\)"),
    ],
)
def test_a_body_that_is_not_json_is_told_why_and_where(body, words):
    with pytest.raises(NotJson, match=f"not JSON: .*{words}"):
        NUMBER.decode(body)


def test_numbers_that_do_not_fit_are_written_as_they_came():
    came = decode_exactly(b'{"a": [1e400, -0.10, 123456789012345678901234567890], "b": "1e400"}')
    assert msgspec.json.encode(any_json(came)) == b'{"a":[1e400,-0.10,123456789012345678901234567890],"b":"1e400"}'


def test_a_cell_that_may_be_empty_is_told_so():
    when = Signature((Field("at", Datetime(), nullable=True),), ())
    cells = when.read_text({"at": pa.array(["noon", None, ""])}, 3)
    assert cells.misfits[0][0].expected == "datetime or null" == cells.misfits[2][0].expected
    assert sorted(cells.misfits) == [0, 2]


def test_an_integer_beyond_its_type_is_told_so():
    for body in (b'{"number": 9223372036854775808}', b'{"number": 1e400}', b'{"number": -1e30}'):
        assert errors_of(NUMBER.decode_row, body)[0].message.endswith("(out of the range of int64)")
    assert errors_of(NUMBER.decode_row, b'{"number": 7.5}')[0].message == "number: expected int64, got 7.5"
    positive = Signature((Field("n", Int(), constraints=Constraints(ge=0)),), ())
    assert errors_of(positive.decode_row, b'{"n": -1}')[0].message == "n: expected int64 >= 0, got -1"
    cells = positive.read_text({"n": pa.array(["9223372036854775808", "-1"])}, 2).misfits
    assert [cells[at][0].message for at in (0, 1)] == [
        'n: expected int64 >= 0, got "9223372036854775808" (out of the range of int64)',
        'n: expected int64 >= 0, got "-1"',
    ]


@dataclasses.dataclass
class Row:
    amount: float
    currency: str


class Typed(msgspec.Struct):
    amount: float
    currency: str


def test_python_values():
    for value in ({"amount": 1, "currency": "USD"}, Row(1.0, "USD"), Typed(1.0, "USD")):
        assert PAIR.row(value)[:2] == (1.0, "USD")
    assert NUMBER.row(7) == NUMBER.row(np.int8(7)) == NUMBER.row({"number": 7.0}) == (7,)
    (error,) = errors_of(NUMBER.row, "seven", 3)
    assert (error.row, error.field, error.got) == (3, "number", '"seven"')
    assert errors_of(PAIR.row, 7)[0].field == ""
    assert errors_of(NUMBER.row, {"number": 7, "other": 1})[0].field == "other"
    assert NUMBER.row({"number": 7, "other": 1}, ignore_unknown=True) == (7,)


def test_a_bare_struct_is_the_only_input():
    signature = Signature((Field("row", Struct((Field("a", Int()),))),), ())
    assert signature.row({"a": 7}) == signature.row({"row": {"a": 7}}) == ({"a": 7},)


def test_unknown_fields_of_lines_are_passed_over():
    records = [{"number": 1, "id": 5}, {"number": "x", "id": 5}]
    assert list(NUMBER.read_json(records).misfits) == [1]


def test_a_missing_column():
    import pyarrow as pa

    assert PAIR.missing(["currency"]) == ["amount"]
    assert PAIR.missing(["amount", "x"]) == []
    read = PAIR.read_text({"amount": pa.array(["1", "x"])}, 2)
    assert read.batch.rows() == [(1.0, "EUR", ["new"], None)]
    assert [errors[0].field for errors in read.misfits.values()] == ["amount"]
    assert len(PAIR.read_arrow({}, 2).misfits) == 2
    assert (
        PAIR.read_json([{"amount": 1}, {}]).misfits[1][0].message
        == "amount: expected float64, got nothing (it is missing)"
    )


def test_no_rows_and_no_fields():
    import pyarrow as pa

    for read in (PAIR.read_text({"amount": pa.array([], pa.string())}, 0), PAIR.read_json([]), PAIR.read_arrow({}, 0)):
        assert read.batch.rows() == []
        assert read.batch.arrow().schema == PAIR.input_schema
    nothing = Signature((), ())
    assert nothing.decode(b"[{}, {}]") == ([(), ()], True)
    assert nothing.encode_row(()) == b"{}"
    assert nothing.read_json([{"x": 1}, 3]).batch.n_rows == 1


def test_results():
    assert PAIR.result_row((1, None)) == (1.0, None)
    assert PAIR.result_row((np.float64(0.1), np.bool_(True))) == (0.10000000149011612, True)
    assert NUMBER.result_row(("Odd",)) == ("Odd",)
    for answer, place in (((1, 1), "flag"), (("x", True), "score"), ((None, None), "score"), ((1e300, None), "score")):
        with pytest.raises(WrongResult, match=place) as caught:
            PAIR.result_row(answer)
        assert caught.value.data["field"] == place
    for no_pair in ((1,), 1, [1, True], None):
        with pytest.raises(WrongResult, match="2 values: score, flag"):
            PAIR.result_row(no_pair)
    with pytest.raises(WrongResult, match="prediction: expected string, got 7"):
        NUMBER.result_row((7,))


def test_answers():
    assert PAIR.encode_row((0.10000000149011612, None)) == b'{"score":0.1,"flag":null}'
    assert PAIR.json_row(PAIR.outputs, (0.10000000149011612, True)) == {"score": 0.1, "flag": True}
    assert PAIR.json_row(PAIR.inputs[3:], (SEEN,)) == {"seen": "2026-11-01T00:00:00Z"}
    assert NUMBER.encode_row(('say "é"',)) == '{"prediction":"say \\"é\\""}'.encode()


@pytest.mark.parametrize(
    ("field", "words"),
    [
        (Field("x", String(), constraints=Constraints(ge=1)), "ge=1.*enforced on a string"),
        (Field("x", Int(), constraints=Constraints(min_length=1)), "min_length"),
        (Field("x", Bool(), constraints=Constraints(pattern="a")), "pattern"),
        (Field("x", String(), constraints=Constraints(pattern="(")), "not a regular expression"),
        (Field("x", List(Field("item", Bool(), constraints=Constraints(lt=1)))), "lt=1"),
        (Field("x", Int(8), default=300), "x: expected int8"),
        (Field("x", Struct((Field("a", Int(), default="no"),))), "a: expected int64"),
        (Field("x", Tensor(Float(), (0,))), "at least 1"),
        (Field("x", Choice((2**63, 1))), "64 bits"),
        (Field("x", Struct((Field("a", Int()), Field("a", Int())))), "two x fields have the name 'a'"),
    ],
)
def test_a_signature_that_no_row_could_be_read_with(field, words):
    with pytest.raises(ModelError, match=words):
        Signature((field,), ())


def test_two_fields_of_one_name():
    with pytest.raises(ModelError, match="two output fields have the name 'x'"):
        Signature((), (Field("x", Int()), Field("x", Int())))


def test_defaults_are_canonical():
    signature = Signature(
        (Field("x", Float(32), default=0.1), Field("y", Datetime(), default="2026-11-01T00:00:00Z")), ()
    )
    assert signature.decode_row(b"{}") == (0.10000000149011612, SEEN)


@settings(max_examples=150, deadline=None)
@given(names=st.lists(st.text(max_size=4), min_size=1, max_size=3, unique=True), value=st.integers(-5, 5))
def test_any_name_can_be_a_field(names, value):
    fields = tuple(Field(name, Int()) for name in names)
    signature = Signature(fields, fields)
    row = (value,) * len(names)
    assert signature.decode_row(signature.encode_row(row)) == row
    assert signature.decode(b"[" + signature.encode_row(row) + b"]")[0] == [row]
    assert signature.read_json([signature.json_row(fields, row)]).batch.rows() == [row]


def test_nested_lists_of_structs_take_the_fast_lane():
    item = Struct((Field("a", Float(32), default=0.5), Field('b"', Int(), nullable=True)))
    plain = Struct((Field("a", Float(32), default=0.5), Field("b", Int(), nullable=True)))
    for kind, name in ((item, 'b"'), (plain, "b")):
        signature = Signature((Field("x", List(Field("item", kind))),), ())
        body = msgspec.json.encode({"x": [{"a": 0.1, name: None}, {name: 3}]})
        assert signature.decode_row(body) == ([{"a": 0.10000000149011612, name: None}, {"a": 0.5, name: 3}],)


def test_text_that_is_no_utf8_is_a_misfit():
    import pyarrow as pa

    offsets, letters = pa.py_buffer(b"\0\0\0\0\2\0\0\0\4\0\0\0"), pa.py_buffer(b"ok\xff\xfe")
    broken = pa.StringArray.from_buffers(2, offsets, letters)
    signature = Signature((Field("x", String()),), ())
    read = signature.read_arrow({"x": broken}, 2)
    assert read.batch.rows() == [("ok",)]
    assert list(read.misfits) == [1]
    inside = pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), broken)
    read = Signature((Field("x", List(Field("item", String()))),), ()).read_arrow({"x": inside}, 2)
    assert read.batch.rows() == [(["ok"],)]
    assert read.misfits[1][0].field == "x.0"


def test_pandas_values():
    pandas = pytest.importorskip("pandas")
    signature = Signature((Field("x", Datetime(), nullable=True),), ())
    assert signature.row({"x": pandas.Timestamp("2026-11-01T01:00:00+01:00")}) == (SEEN,)
    assert type(signature.row({"x": pandas.Timestamp("2026-11-01", tz="UTC")})[0]) is datetime
    for gone in (pandas.NaT, pandas.NA, np.datetime64("NaT"), None):
        assert signature.row({"x": gone}) == (None,)
    assert errors_of(signature.row, {"x": pandas.Timestamp("2026-11-01")})[0].message.endswith("such as +01:00)")
    fine = pandas.Timestamp("2026-11-01T00:00:00.000000001Z")
    assert "finer than a microsecond" in errors_of(signature.row, {"x": fine})[0].message
    vector = Signature((Field("x", Tensor(Float(), (2,))),), ())
    assert vector.row({"x": pandas.Series([1, 2])}) == ([1.0, 2.0],)
    assert errors_of(Signature((Field("x", Int()),), ()).row, {"x": pandas.NA})[0].got == "null"
