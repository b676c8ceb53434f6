"""Hypothesis strategies: fields of every type, rows that fit them, and outside data that may or may not."""

from __future__ import annotations

from datetime import UTC

import msgspec
from hypothesis import strategies as st

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
    String,
    Struct,
    Tensor,
)

WORDS = ["", "a", "b", "true", "NaN", "null", "7", "007", "é", "日本", '"', "a,b", "line\nbreak", "%d", "\x00", "😀"]

numbers = st.sampled_from([Bool(), *(Int(b, s) for b in (8, 16, 32, 64) for s in (True, False)), Float(16), Float(32)])
numbers = st.one_of(numbers, st.just(Float(64)))
scalars = st.one_of(
    numbers,
    st.sampled_from(
        [
            String(),
            Bytes(),
            Datetime(),
            Datetime(naive=True),
            Date(),
            Choice(("a", "b", "é")),
            Choice((1, -7, 2**53 + 1)),
        ]
    ),
)
tensors = st.builds(Tensor, numbers, st.sampled_from([(1,), (3,), (2, 2), (1, 2, 2)]))


def fields(kinds, name="x"):
    return st.builds(Field, st.just(name), kinds, st.booleans())


def _structs(kinds):
    members = st.tuples(fields(kinds, "a"), fields(kinds, "b c"))
    return st.builds(Struct, members)


types = st.recursive(
    st.one_of(scalars, tensors),
    lambda inner: st.one_of(st.builds(List, fields(inner, "item")), _structs(inner)),
    max_leaves=3,
)


def floats(bits, **bounds):
    return st.floats(width=bits, **bounds)


def values(field: Field):
    """Canonical values of the field."""
    found = _values(field.type)
    return st.one_of(found, st.none()) if field.nullable else found


def _values(kind):
    match kind:
        case Bool():
            return st.booleans()
        case Int():
            return st.one_of(st.integers(kind.low, kind.high), st.sampled_from([kind.low, kind.high]))
        case Float(bits):
            return floats(bits)
        case String():
            return st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
        case Bytes():
            return st.binary(max_size=8)
        case Datetime(naive):
            return st.datetimes(timezones=st.none() if naive else st.just(UTC)).map(lambda d: d.replace(fold=0))
        case Date():
            return st.dates()
        case Choice(choices):
            return st.sampled_from(choices)
        case Tensor(item, shape):
            found = _values(item)
            for length in reversed(shape):
                found = st.lists(found, min_size=length, max_size=length)
            return found
        case List(item):
            return st.lists(values(item), max_size=4)
        case Struct(members):
            return st.tuples(*map(values, members)).map(
                lambda row: dict(zip((m.name for m in members), row, strict=True))
            )


def rows(given: tuple[Field, ...]):
    return st.tuples(*(values(field) for field in given))


number_texts = st.one_of(
    st.sampled_from(
        [
            "0",
            "-0",
            "-0.0",
            "7",
            "7.0",
            "-7.0",
            "7.5",
            "7e0",
            "7E+2",
            "1e2",
            "1e-2",
            "0.1",
            "16777217",
            "9007199254740993",
            "9007199254740993.0",
            "9.007199254740993e15",
            "127",
            "128",
            "-128",
            "-129",
            "255",
            "256",
            "65504",
            "65520",
            "65519.99",
            "9223372036854775807",
            "9223372036854775808",
            "-9223372036854775809",
            "18446744073709551615",
            "18446744073709551616",
            "1e18",
            "1e19",
            "3.4028235e38",
            "3.4028236e38",
            "1e39",
            "1e308",
            "1.8e308",
            "1e400",
            "-1e400",
            "1e-400",
            "1e99999",
            "7.00000000000000000001",
            "0.0e5",
            "0e99999",
            "1e22",
            "123456789012345678901234567890",
        ]
    ),
    st.integers(-(2**70), 2**70).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.floats(width=32, allow_nan=False, allow_infinity=False).map(repr),
)
instant_texts = st.sampled_from(
    [
        "2026-11-01T12:30:00Z",
        "2026-11-01 12:30:00Z",
        "2026-11-01t12:30:00z",
        "2026-11-01T12:30:00",
        "2026-11-01 12:30:00.5",
        "2026-11-01T12:30:00+01:00",
        "2026-11-01T12:30:00-23:59",
        "2026-11-01T12:30:00.123456Z",
        "2026-11-01T12:30:00.1234567Z",
        "2026-11-01T12:30:00.1234560Z",
        "2026-02-30T00:00:00Z",
        "2026-11-01T24:00:00Z",
        "2026-11-01T23:59:60Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59.999999Z",
        "9999-12-31T23:59:59-00:01",
        "2026-11-01T12:30Z",
        "2026-11-01",
        "2026-2-1",
        "2026-02-30",
        "0000-01-01",
        "20261101",
    ]
)
texts = st.one_of(
    instant_texts,
    st.sampled_from(
        ["", "NaN", "Infinity", "-Infinity", "nan", "a", "b", "é", "7", "true", "YQ==", "YQ", "YR==", "_w==", "Y Q="]
    ),
    st.text(max_size=5),
)


def quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()


json_texts = st.recursive(
    st.one_of(number_texts, st.sampled_from(["true", "false", "null"]), texts.map(quoted)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
        st.dictionaries(st.sampled_from(["a", "b c", "z"]), inner, max_size=3).map(
            lambda found: "{" + ", ".join(f"{quoted(k)}: {v}" for k, v in found.items()) + "}"
        ),
    ),
    max_leaves=5,
)
"""The text of one JSON value, in spellings that a Python writer would not choose."""

cell_texts = st.one_of(
    st.none(),
    number_texts,
    texts,
    json_texts,
    st.sampled_from(
        [
            "True",
            "FALSE",
            "tRue",
            "1",
            "0",
            "+7",
            "007",
            "-007",
            "0x1F",
            "0X1f",
            "7.",
            ".5",
            ".",
            "1_0",
            "١",
            "inf",
            "-inf",
            "+inf",
            "INF",
            "nan",
            "NAN",
            "-nan",
            "nan(1)",
            "infinity",
            "+Infinity",
            "1e",
            "1,5",
            "--1",
            "1e5",
        ]
    ),
    st.sampled_from([" 7", "7 ", "7\n", "\t7", "true ", " "]),
)


constraints = st.sampled_from(
    [
        (Int(), Constraints(ge=0)),
        (Int(), Constraints(gt=0.5, le=10)),
        (Int(), Constraints(multiple_of=3)),
        (Int(64, signed=False), Constraints(gt=2**63)),
        (Int(8), Constraints(ge=1000)),
        (Int(), Constraints(lt=2**53 + 1)),
        (Float(), Constraints(gt=0)),
        (Float(32), Constraints(ge=0.1, le=0.1)),
        (Float(16), Constraints(lt=1e300)),
        (Float(), Constraints(multiple_of=0.1)),
        (String(), Constraints(min_length=1, max_length=2)),
        (String(), Constraints(pattern="^[ab]+$")),
        (Bytes(), Constraints(max_length=1)),
        (List(Field("item", Int())), Constraints(min_length=1, max_length=2)),
        (List(Field("item", Int(), constraints=Constraints(ge=7))), Constraints()),
        (Tensor(Float(32), (2,)), Constraints(ge=0.1)),
        (Tensor(Int(), (2, 1)), Constraints(lt=100)),
        (Choice((1, 7)), Constraints(ge=5)),
    ]
)
constrained = st.builds(
    lambda pair, nullable: Field("x", pair[0], nullable, constraints=pair[1]), constraints, st.booleans()
)
any_field = st.one_of(fields(types), fields(scalars), constrained)
