"""Signature: type hints or a model file -> fields; outside data -> typed rows and back, by one table of coercions."""

from twofold._signature.binding import Binding
from twofold._signature.construct import Answering
from twofold._signature.encode import any_json
from twofold._signature.hints import read_hints
from twofold._signature.misfit import JsonNumber
from twofold._signature.plain import PlainValues, plain_values
from twofold._signature.promises import broken_promises
from twofold._signature.shape import Shape
from twofold._signature.signature import Coerced, Signature
from twofold._signature.types import (
    MISSING,
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
    Scalar,
    String,
    Struct,
    Tensor,
    Type,
    arrow_schema,
    arrow_type,
    type_name,
)

__all__ = [
    "MISSING",
    "UNCONSTRAINED",
    "Answering",
    "Binding",
    "Bool",
    "Bytes",
    "Choice",
    "Coerced",
    "Constraints",
    "Date",
    "Datetime",
    "Field",
    "Float",
    "Int",
    "JsonNumber",
    "List",
    "PlainValues",
    "Scalar",
    "Shape",
    "Signature",
    "String",
    "Struct",
    "Tensor",
    "Type",
    "any_json",
    "arrow_schema",
    "arrow_type",
    "broken_promises",
    "plain_values",
    "read_hints",
    "type_name",
]
