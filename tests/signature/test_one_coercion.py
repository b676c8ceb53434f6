"""Every road gives the same typed values: the fast lane, the table, lines, columns of cells and of Arrow."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signature import strategies
from tests.signature.lines import records_of_lines
from twofold._errors import NotJson, RowsDoNotFit
from twofold._signature import Field, Float, Signature
from twofold._signature.column import cells
from twofold._signature.decode import decode_exactly
from twofold._signature.misfit import Misfit
from twofold._signature.text import text_reader
from twofold._signature.values import Rules, value_reader

COLUMNS = Rules(ignore_unknown=True)


def outcome(read, *given):
    """What reading gives, exactly (a repr tells -0.0 from 0.0 and 7 from 7.0), or the words of the refusal."""
    try:
        return repr(read(*given))
    except Misfit as misfit:
        error = misfit.field_error(0)
        return ("refused", error.field, error.expected, error.got)
    except RowsDoNotFit as refused:
        error = refused.errors[0]
        return ("refused", error.field.removeprefix("x.") if error.field != "x" else "", error.expected, error.got)


def column_outcomes(coerced, n_rows):
    rows = iter(coerced.batch.rows())
    found: list[object] = []
    for at in range(n_rows):
        if at in coerced.misfits:
            error = coerced.misfits[at][0]
            found.append(
                ("refused", error.field.removeprefix("x.") if error.field != "x" else "", error.expected, error.got)
            )
        else:
            found.append(repr(next(rows)[0]))
    assert next(rows, None) is None
    assert (coerced.good is None) == (not coerced.misfits)
    return found


def body_of(name: str, text: str) -> bytes:
    return f"{{{strategies.quoted(name)}: {text}}}".encode()


@settings(max_examples=400, deadline=None)
@given(field=strategies.any_field, text=strategies.json_texts, nulls_as_nan=st.booleans())
def test_fast_lane_equals_table(field, text, nulls_as_nan):
    signature = Signature((field,), (), nulls_as_nan=nulls_as_nan)
    body = body_of("x", text)
    table = value_reader(field, Rules(nulls_as_nan=nulls_as_nan))
    expected = outcome(lambda: table(decode_exactly(text)))
    assert outcome(lambda: signature.decode_row(body)[0]) == expected
    assert outcome(lambda: signature.decode(b"[" + body + b"]")[0][0][0]) == expected


@settings(max_examples=300, deadline=None)
@given(field=strategies.any_field, texts=st.lists(strategies.json_texts, min_size=1, max_size=4))
def test_lines_equal_requests(field, texts):
    lines = [body_of("x", text) for text in texts]
    table = value_reader(field, COLUMNS)
    expected = [outcome(lambda text=text: table(decode_exactly(text))) for text in texts]
    found = column_outcomes(Signature((field,), ()).read_json(records_of_lines(lines)), len(lines))
    assert [same(f, e) for f, e in zip(found, expected, strict=True)] == [True] * len(lines), (found, expected)


@settings(max_examples=400, deadline=None)
@given(
    field=strategies.any_field,
    cells=st.lists(strategies.cell_texts, min_size=1, max_size=5),
    nulls_as_nan=st.booleans(),
)
def test_text_columns_equal_single_cells(field, cells, nulls_as_nan):
    read = text_reader(field, Rules(nulls_as_nan=nulls_as_nan, ignore_unknown=True))
    signature = Signature((field,), (), nulls_as_nan=nulls_as_nan)
    expected = [outcome(read, cell) for cell in cells]
    column = pa.array(cells, pa.string())
    assert column_outcomes(signature.read_text({"x": column}, len(cells)), len(cells)) == expected
    sliced = pa.array(["0x7", *cells, "7"], pa.string()).slice(1, len(cells))
    assert column_outcomes(signature.read_text({"x": sliced}, len(cells)), len(cells)) == expected


@settings(max_examples=300, deadline=None)
@given(text=strategies.number_texts, kind=strategies.numbers)
def test_number_text_in_a_cell_is_the_number_in_json(text, kind):
    field = Field("x", kind)
    assert outcome(text_reader(field, Rules()), text)[:1] == outcome(value_reader(field), decode_exactly(text))[:1]
    as_cell = outcome(text_reader(field, Rules()), text)
    if as_cell[0] != "refused":
        assert as_cell == outcome(value_reader(field), decode_exactly(text))


ARROW_TYPES = [
    pa.bool_(),
    *(pa.type_for_alias(f"{u}int{b}") for u in ("", "u") for b in (8, 16, 32, 64)),
    pa.float16(),
    pa.float32(),
    pa.float64(),
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.binary(),
    pa.large_binary(),
    pa.binary(3),
    pa.date32(),
    pa.date64(),
    pa.time64("us"),
    pa.decimal128(20, 2),
    pa.null(),
    *(pa.timestamp(unit, tz) for unit in ("s", "ms", "us", "ns") for tz in (None, "UTC", "Europe/Paris")),
]
TICKS = [0, 1, -1, 10**9, 1_700_000_000_123_456_789, 86_400_000, -62135596801, 253402300800, 2**62, -(2**62)]


def arrow_values(kind: pa.DataType):
    types = pa.types
    if types.is_boolean(kind):
        return st.booleans()
    if types.is_integer(kind):
        low = 0 if types.is_unsigned_integer(kind) else -(2 ** (kind.bit_width - 1))
        high = 2 ** (kind.bit_width - (low < 0)) - 1
        chosen = [v for v in (0, 1, 7, 100, -1, 2**24 + 1, 2**53 + 1, low, high) if low <= v <= high]
        return st.one_of(st.sampled_from(chosen), st.integers(low, high))
    if types.is_floating(kind):
        whole = st.integers(-300, 300).map(float)
        large = st.sampled_from([0.1, -0.0, 2.0**53, 2.0**63, -(2.0**63), 2.0**64, 1e39, 65520.0, 1e300])
        found = st.one_of(whole, st.floats(width=kind.bit_width))
        return st.one_of(found, large) if kind.bit_width == 64 else found
    if types.is_decimal(kind):
        return st.decimals(min_value=-(10**17), max_value=10**17, places=2)
    if types.is_fixed_size_binary(kind):
        return st.binary(min_size=3, max_size=3)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return st.one_of(strategies.texts, strategies.number_texts)
    if types.is_binary(kind) or types.is_large_binary(kind):
        return st.binary(max_size=3)
    if types.is_date32(kind):
        return st.sampled_from([0, 19000, -719162, -719163, 2932896, 2932897])
    return st.one_of(st.sampled_from(TICKS), st.integers(-(2**40), 2**40))


def arrow_array(kind: pa.DataType, items: list):
    types = pa.types
    if types.is_null(kind):
        return pa.nulls(len(items))
    if types.is_date32(kind):
        return pa.array(items, pa.int32()).cast(kind)
    if types.is_date64(kind) or types.is_timestamp(kind):
        return pa.array(items, pa.int64()).view(kind)
    if types.is_time64(kind):
        return pa.array([None if i is None else i % 86_400_000_000 for i in items], pa.int64()).cast(kind)
    return pa.array(items, kind)


leaf_arrays = st.sampled_from(ARROW_TYPES).flatmap(
    lambda kind: st.lists(st.one_of(arrow_values(kind), st.none()), min_size=1, max_size=6).map(
        lambda items: arrow_array(kind, items)
    )
)


@st.composite
def arrow_arrays(draw, depth=2):
    """Arrow columns of any type: plain, sliced, chunked, as a dictionary, as lists and as structs."""
    array = draw(leaf_arrays)
    if pa.types.is_string_view(array.type):
        return array
    for _ in range(draw(st.integers(0, depth))):
        form = draw(st.sampled_from(["list", "large", "fixed", "struct", "slice", "dictionary"]))
        size = draw(st.integers(1, 3))
        if form in ("list", "large"):
            ends = sorted(draw(st.lists(st.integers(0, len(array)), min_size=1, max_size=4)))
            made = pa.ListArray if form == "list" else pa.LargeListArray
            array = made.from_arrays(pa.array([None, *ends] if draw(st.booleans()) else [0, *ends]), array)
        elif form == "fixed":
            array = pa.FixedSizeListArray.from_arrays(array.slice(0, len(array) // size * size), size)
            if draw(st.booleans()):
                array = pa.concat_arrays([pa.nulls(1, array.type), array])
        elif form == "struct":
            mask = pa.array([draw(st.booleans()) for _ in range(len(array))], pa.bool_())
            name = draw(st.sampled_from(["a", "b c"]))
            array = pa.StructArray.from_arrays([array, array], names=[name, "z"], mask=mask)
        elif form == "slice":
            array = array.slice(draw(st.integers(0, len(array))))
        elif pa.types.is_string(array.type) or pa.types.is_integer(array.type):
            array = array.dictionary_encode()
    return array


@settings(max_examples=400, deadline=None)
@given(field=strategies.any_field, column=arrow_arrays(), nulls_as_nan=st.booleans())
def test_arrow_columns_equal_single_values(field, column, nulls_as_nan):
    check_arrow(field, column, nulls_as_nan)


def check_arrow(field, column, nulls_as_nan=False):
    rules = Rules(nulls_as_nan=nulls_as_nan, ignore_unknown=True)
    read = value_reader(field, rules)
    expected = [outcome(read, value) for value in cells(column)]
    signature = Signature((field,), (), nulls_as_nan=nulls_as_nan)
    found = column_outcomes(signature.read_arrow({"x": column}, len(column)), len(column))
    assert [same(f, e) for f, e in zip(found, expected, strict=True)] == [True] * len(column), (found, expected)
    if len(column) > 1:
        chunked = pa.chunked_array([column.slice(0, 1), column.slice(1)])
        assert column_outcomes(signature.read_arrow({"x": chunked}, len(column)), len(column)) == found


def same(found, expected):
    """Equal values, or refusals at the same place (a column may show what came in other words)."""
    if found[0] == "refused" or expected[0] == "refused":
        return found[:3] == expected[:3]
    return found == expected


@st.composite
def typed_columns(draw):
    """A column of exactly the field's type, as a batch of an earlier run would hold it."""
    field = draw(strategies.any_field)
    items = draw(st.lists(strategies.values(Field("x", field.type, nullable=True)), min_size=1, max_size=5))
    from twofold._columns.codecs import codec_of
    from twofold._signature import arrow_type

    return field, codec_of(arrow_type(field.type), True).arrow_from_values(items)


@settings(max_examples=300, deadline=None)
@given(typed_columns())
def test_typed_columns_equal_single_values(given_):
    check_arrow(*given_)


@pytest.mark.parametrize(
    "body", [b"NaN", b'{"x": NaN}', b'{"x": Infinity}', b"{", b'{"x": 1} 2', b'"\xff"', b"\xef\xbb\xbf{}", b""]
)
def test_not_json(body):
    signature = Signature((Field("x", Float()),), ())
    with pytest.raises(NotJson, match="the body is not JSON"):
        signature.decode(body)
