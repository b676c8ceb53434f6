"""Fields as JSON Schema 2020-12: for OpenAPI and for the form."""

from __future__ import annotations

from typing import Any

from twofold._signature.bounds import value_check
from twofold._signature.encode import json_value_maker
from twofold._signature.numbers import FLOAT_WORDS
from twofold._signature.types import (
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
    Type,
    type_name,
)

__all__ = ["object_schema"]

_INSTANT = r"^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?"
_BOUNDS = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def object_schema(fields: tuple[Field, ...], *, nulls_as_nan: bool = False) -> dict[str, Any]:
    """The schema of one row: an object with these fields and no others."""
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _field_schema(field, nulls_as_nan) for field in fields},
        "required": [field.name for field in fields if field.required],
        "additionalProperties": False,
    }
    return schema


def _field_schema(field: Field, nulls_as_nan: bool) -> dict[str, Any]:
    schema = _type_schema(field.type, field, nulls_as_nan)
    if field.nullable or (nulls_as_nan and _is_float(field.type)):
        schema = _or_null(schema)
    if not field.required:
        schema["default"] = json_value_maker(field)(field.default)
    return schema


def _is_float(kind: Type) -> bool:
    return isinstance(kind, Float) or (isinstance(kind, Tensor) and isinstance(kind.item, Float))


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    if "anyOf" in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]}
    if "enum" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    return {**schema, "type": [schema["type"], "null"]}


def _type_schema(kind: Type, field: Field, nulls_as_nan: bool) -> dict[str, Any]:
    match kind:
        case Bool():
            return {"type": "boolean"}
        case Int():
            return _integer(kind, field.constraints)
        case Float():
            return _number(kind, field)
        case String():
            return {"type": "string", **_lengths(field.constraints, "Length")}
        case Bytes():
            return {"type": "string", "contentEncoding": "base64", "format": "byte"}
        case Datetime(naive):
            zone = "$" if naive else r"([Zz]|[+-]\d\d:\d\d)$"
            return {"type": "string", "pattern": _INSTANT + zone} | ({} if naive else {"format": "date-time"})
        case Date():
            return {"type": "string", "format": "date", "pattern": r"^\d{4}-\d\d-\d\d$"}
        case Choice(values):
            return {"enum": list(values), "type": "string" if isinstance(values[0], str) else "integer"}
        case Tensor(item, shape):
            inner = Field("item", item, constraints=_numeric(field.constraints))
            schema = _field_schema(inner, nulls_as_nan)
            for length in reversed(shape):
                schema = {"type": "array", "items": schema, "minItems": length, "maxItems": length}
            return {**schema, "description": type_name(kind)}
        case List(inner):
            items = _field_schema(inner, nulls_as_nan)
            return {"type": "array", "items": items, **_lengths(field.constraints, "Items")}
        case Struct(fields):
            return object_schema(fields, nulls_as_nan=nulls_as_nan)


def _numeric(given: Constraints) -> Constraints:
    return Constraints(ge=given.ge, gt=given.gt, le=given.le, lt=given.lt, multiple_of=given.multiple_of)


def _integer(kind: Int, given: Constraints) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "integer", "format": type_name(kind), "minimum": kind.low, "maximum": kind.high}
    schema |= _given_bounds(given)
    schema["minimum"] = max(schema["minimum"], kind.low)
    schema["maximum"] = min(schema["maximum"], kind.high)
    return schema


def _number(kind: Float, field: Field) -> dict[str, Any]:
    number: dict[str, Any] = {"type": "number", "format": {64: "double", 32: "float", 16: "float16"}[kind.bits]}
    number |= _given_bounds(field.constraints)
    check = value_check(field)
    words = [word for word, value in FLOAT_WORDS.items() if check is None or check(value)]
    return {"anyOf": [number, {"enum": words}]} if words else number


def _given_bounds(given: Constraints) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, word in {**_BOUNDS, "multiple_of": "multipleOf"}.items():
        value = getattr(given, name)
        if value is not None and (not isinstance(value, float) or value - value == 0.0):
            found[word] = value
    return found


def _lengths(given: Constraints, of: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if given.min_length is not None:
        found[f"min{of}"] = given.min_length
    if given.max_length is not None:
        found[f"max{of}"] = given.max_length
    if given.pattern is not None:
        found["pattern"] = given.pattern
    return found
