"""A signature as JSON and back, as JSON Schema, in words; and what importing it costs."""

from __future__ import annotations

import json
import subprocess
import sys

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.signature import strategies
from twofold._errors import ModelError, NotJson, RowsDoNotFit
from twofold._signature import (
    Bytes,
    Choice,
    Constraints,
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
)


@st.composite
def fields(draw):
    field = draw(strategies.any_field)
    if draw(st.booleans()):
        fits = Signature((field,), ())
        default = draw(strategies.values(field))
        if not fits.read_json([fits.json_row(fits.inputs, (default,))]).misfits:
            return Field(field.name, field.type, field.nullable, default, field.constraints)
    return field


@settings(max_examples=200, deadline=None)
@given(fields(), st.booleans())
def test_json_and_back(field, nulls_as_nan):
    signature = Signature((field,), (Field("y", field.type, field.nullable),), nulls_as_nan=nulls_as_nan)
    text = json.dumps(signature.to_json(), allow_nan=False)
    again = Signature.from_json(json.loads(text))
    assert again == signature
    assert repr(again.inputs) == repr(signature.inputs)
    assert repr(again.outputs) == repr(signature.outputs)
    assert again.input_schema == signature.input_schema
    assert again.nulls_as_nan is nulls_as_nan
    json.dumps(signature.describe(), allow_nan=False)
    json.dumps([signature.json_schema("inputs"), signature.json_schema("outputs")], allow_nan=False)


def test_another_twofold():
    with pytest.raises(ModelError, match="unknown type 'quaternion'"):
        Signature.from_json(
            {"inputs": [{"name": "x", "type": {"kind": "quaternion"}}], "outputs": [], "nulls_as_nan": False}
        )


SIGNATURE = Signature(
    (
        Field("n", Int(8), constraints=Constraints(ge=0, multiple_of=2)),
        Field("v", Tensor(Float(32), (2,)), constraints=Constraints(le=1)),
        Field("when", Datetime(), nullable=True, default=None),
        Field("kind", Choice(("a", "b")), default="a"),
        Field("tags", List(Field("item", String(), nullable=True)), constraints=Constraints(max_length=3)),
        Field("inner", Struct((Field("raw", Bytes()), Field("day", Date(), default="2026-11-01")))),
    ),
    (Field("p", Float()), Field("choice", Choice((1, 2)), nullable=True)),
)


def test_described():
    assert SIGNATURE.describe() == {
        "inputs": [
            {"name": "n", "type": "int8", "constraints": {"ge": 0, "multiple_of": 2}},
            {"name": "v", "type": "float32[2]", "constraints": {"le": 1}},
            {"name": "when", "type": "datetime", "nullable": True, "default": None},
            {"name": "kind", "type": 'one of "a", "b"', "default": "a"},
            {"name": "tags", "type": "list of string or null", "constraints": {"max_length": 3}},
            {
                "name": "inner",
                "type": "struct of raw, day",
                "fields": [{"name": "raw", "type": "bytes"}, {"name": "day", "type": "date", "default": "2026-11-01"}],
            },
        ],
        "outputs": [{"name": "p", "type": "float64"}, {"name": "choice", "type": "one of 1, 2", "nullable": True}],
    }


def test_json_schema():
    schema = SIGNATURE.json_schema("inputs")
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["n", "v", "tags", "inner"]
    found = schema["properties"]
    assert found["n"] == {"type": "integer", "format": "int8", "minimum": 0, "maximum": 127, "multipleOf": 2}
    number = {"anyOf": [{"type": "number", "format": "float", "maximum": 1}, {"enum": ["-Infinity"]}]}
    assert found["v"] == {"type": "array", "items": number, "minItems": 2, "maxItems": 2, "description": "float32[2]"}
    assert found["when"]["type"] == ["string", "null"]
    assert found["when"]["format"] == "date-time"
    assert found["kind"] == {"type": "string", "enum": ["a", "b"], "default": "a"}
    assert found["tags"] == {"type": "array", "items": {"type": ["string", "null"]}, "maxItems": 3}
    assert found["inner"]["required"] == ["raw"]
    assert found["inner"]["properties"]["raw"]["contentEncoding"] == "base64"
    outputs = SIGNATURE.json_schema("outputs")["properties"]
    words = {"enum": ["NaN", "Infinity", "-Infinity"]}
    assert outputs["p"] == {"anyOf": [{"type": "number", "format": "double"}, words]}
    assert outputs["choice"] == {"anyOf": [{"type": "integer", "enum": [1, 2]}, {"type": "null"}]}


def test_a_null_that_counts_as_nan_is_in_the_schema():
    signature = Signature((Field("x", Float(32)),), (Field("y", Float(32)),), nulls_as_nan=True)
    assert {"type": "null"} in signature.json_schema("inputs")["properties"]["x"]["anyOf"]
    assert {"type": "null"} not in signature.json_schema("outputs")["properties"]["y"]["anyOf"]
    assert repr(signature.decode_row(b'{"x": null}')) == "(nan,)"


@settings(max_examples=200, deadline=None)
@given(field=strategies.any_field, text=strategies.json_texts)
def test_what_the_schema_takes_the_signature_takes_and_the_other_way_round(field, text):
    """By a validator of our own for the keywords used; formats and patterns of moments say less than the signature."""
    signature = Signature((field,), ())
    value = json.loads(text, parse_float=float)
    try:
        signature.decode_row(b'{"x": %b}' % text.encode("utf-8", "surrogatepass"))
    except (NotJson, RowsDoNotFit):
        return
    assert valid({"x": value}, signature.json_schema("inputs"))


def valid(value, schema) -> bool:
    if "anyOf" in schema:
        return any(valid(value, inner) for inner in schema["anyOf"])
    if "enum" in schema and not any(value == known and isinstance(value, bool) is False for known in schema["enum"]):
        return False
    kinds = schema.get("type", [])
    if kinds and not any(is_kind(value, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds)):
        return False
    if isinstance(value, list):
        few = len(value) < schema.get("minItems", 0) or len(value) > schema.get("maxItems", len(value))
        return not few and all(valid(item, schema["items"]) for item in value)
    if isinstance(value, dict):
        known = schema["properties"]
        there = set(schema["required"]) <= set(value) <= set(known)
        return there and all(valid(item, known[name]) for name, item in value.items())
    if isinstance(value, str):
        return bool(schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", len(value)))
    if isinstance(value, bool) or value is None:
        return True
    return bool(schema.get("minimum", value) <= value <= schema.get("maximum", value))


def is_kind(value, kind: str) -> bool:
    whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
    return {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "integer": whole and not isinstance(value, bool),
        "number": isinstance(value, int | float) and not isinstance(value, bool),
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }[kind]


def test_arrow_schema():
    schema = SIGNATURE.input_schema
    assert schema.field("n") == pa.field("n", pa.int8(), nullable=False)
    assert schema.field("v").type == pa.list_(pa.field("item", pa.float32(), nullable=False), 2)
    assert schema.field("when") == pa.field("when", pa.timestamp("us", tz="UTC"))
    assert schema.field("kind").type == pa.string()


def test_a_light_import():
    code = (
        "import sys; from twofold._signature import Field, Int, Signature\n"
        "signature = Signature((Field('x', Int()),), (Field('y', Int()),))\n"
        "signature.encode_row(signature.decode_row(b'{\"x\": 7}')); signature.json_schema('inputs')\n"
        "print([name for name in ('numpy', 'pyarrow', 'asyncio', 'rich', 'pandas') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
