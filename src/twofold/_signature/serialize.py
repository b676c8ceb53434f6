"""Fields as JSON and back, complete: another process rebuilds the signature without loading the model."""

from __future__ import annotations

from typing import Any

from twofold._errors import ModelError
from twofold._signature.encode import json_value_maker
from twofold._signature.types import (
    UNCONSTRAINED,
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
from twofold._signature.values import value_reader

__all__ = ["constraints_json", "described", "field_from_json", "field_to_json"]

_CONSTRAINTS = ("ge", "gt", "le", "lt", "multiple_of", "min_length", "max_length", "pattern")


def field_to_json(field: Field) -> dict[str, Any]:
    found: dict[str, Any] = {"name": field.name, "type": _type_to_json(field.type)}
    if field.nullable:
        found["nullable"] = True
    if not field.required:
        found["default"] = json_value_maker(field)(field.default)
    if field.constraints != UNCONSTRAINED:
        found["constraints"] = constraints_json(field.constraints)
    return found


def constraints_json(constraints: Constraints) -> dict[str, Any]:
    """The constraints that are given; infinite bounds as strings, like every float in JSON."""
    found: dict[str, Any] = {}
    for name in _CONSTRAINTS:
        value = getattr(constraints, name)
        if value is not None:
            finite = not isinstance(value, float) or value - value == 0.0
            found[name] = value if finite else "Infinity" if value > 0 else "-Infinity"
    return found


def field_from_json(found: dict[str, Any]) -> Field:
    """The field again. Raises ModelError for what `field_to_json` did not write."""
    given: dict[str, Any] = {
        name: float(value) if name != "pattern" and isinstance(value, str) else value
        for name, value in found.get("constraints", {}).items()
    }
    bare = Field(
        found["name"],
        _type_from_json(found["type"]),
        found.get("nullable", False),
        constraints=Constraints(**given) if given else UNCONSTRAINED,
    )
    if "default" not in found:
        return bare
    return Field(bare.name, bare.type, bare.nullable, value_reader(bare)(found["default"]), bare.constraints)


def _type_to_json(kind: Type) -> dict[str, Any]:
    match kind:
        case Int(bits, signed):
            return {"kind": "int", "bits": bits, "signed": signed}
        case Float(bits):
            return {"kind": "float", "bits": bits}
        case Datetime(naive):
            return {"kind": "datetime", "naive": naive}
        case Choice(values):
            return {"kind": "choice", "values": list(values)}
        case Tensor(item, shape):
            return {"kind": "tensor", "item": _type_to_json(item), "shape": list(shape)}
        case List(inner):
            return {"kind": "list", "item": field_to_json(inner)}
        case Struct(fields):
            return {"kind": "struct", "fields": [field_to_json(field) for field in fields]}
        case _:
            return {"kind": type(kind).__name__.lower()}


def _type_from_json(found: dict[str, Any]) -> Type:
    match found["kind"]:
        case "bool":
            return Bool()
        case "int":
            return Int(found["bits"], found["signed"])
        case "float":
            return Float(found["bits"])
        case "string":
            return String()
        case "bytes":
            return Bytes()
        case "datetime":
            return Datetime(found["naive"])
        case "date":
            return Date()
        case "choice":
            return Choice(tuple(found["values"]))
        case "tensor":
            item = _type_from_json(found["item"])
            assert isinstance(item, Bool | Int | Float)
            return Tensor(item, tuple(found["shape"]))
        case "list":
            return List(field_from_json(found["item"]))
        case "struct":
            return Struct(tuple(field_from_json(field) for field in found["fields"]))
        case other:
            raise ModelError(f"a signature holds the unknown type {other!r}; it was written by another twofold.")


def described(field: Field) -> dict[str, Any]:
    """The field for a reader: its type in words, and whatever else is not plain."""
    found: dict[str, Any] = {"name": field.name, "type": type_name(field.type)}
    if field.nullable:
        found["nullable"] = True
    if not field.required:
        found["default"] = json_value_maker(field)(field.default)
    if field.constraints != UNCONSTRAINED:
        found["constraints"] = constraints_json(field.constraints)
    if isinstance(field.type, Struct):
        found["fields"] = [described(inner) for inner in field.type.fields]
    elif isinstance(field.type, List) and not isinstance(field.type.item.type, Bool | Int | Float | String):
        found["item"] = described(field.type.item)
    return found
