"""What Python shows of a client: the signature of the model, with Python's types."""

from __future__ import annotations

import inspect
import keyword
from datetime import date, datetime
from typing import Any, Final, Literal

from twofold._client.answer import Answer
from twofold._signature import Bool, Bytes, Choice, Date, Datetime, Field, Float, Int, Signature, String, Type
from twofold._signature.types import List, Struct, Tensor

__all__ = ["python_signature"]


def python_signature(signature: Signature) -> inspect.Signature:
    """What `inspect.signature(client)` shows. Names that Python cannot write go by `**fields`."""
    parameters: list[inspect.Parameter] = []
    kind: Any = inspect.Parameter.POSITIONAL_OR_KEYWORD
    others = False
    for field in signature.inputs:
        if not field.name.isidentifier() or keyword.iskeyword(field.name):
            others, kind = True, inspect.Parameter.KEYWORD_ONLY
            continue
        default = inspect.Parameter.empty if field.required else field.default
        if field.required and any(parameter.default is not parameter.empty for parameter in parameters):
            kind = inspect.Parameter.KEYWORD_ONLY
        parameters.append(inspect.Parameter(field.name, kind, default=default, annotation=_hint(field)))
    if others:
        parameters.append(inspect.Parameter("fields", inspect.Parameter.VAR_KEYWORD, annotation=Any))
    outputs = signature.outputs
    answer = _hint(outputs[0]) if [field.name for field in outputs] == ["prediction"] else Answer
    return inspect.Signature(parameters, return_annotation=answer)


def _hint(field: Field) -> Any:
    hint = _type_hint(field.type)
    return hint | None if field.nullable else hint


def _type_hint(kind: Type) -> Any:
    match kind:
        case Choice(values):
            return Literal[values]
        case Tensor(item, shape):
            inner = Field("item", item if len(shape) == 1 else Tensor(item, shape[1:]))
            return list[_hint(inner)]  # type: ignore[misc]
        case List(item):
            return list[_hint(item)]  # type: ignore[misc]
        case Struct():
            return dict[str, Any]
        case _:
            return _PLAIN[type(kind)]


_PLAIN: Final[dict[type, Any]] = {
    Bool: bool,
    Int: int,
    Float: float,
    String: str,
    Bytes: bytes,
    Datetime: datetime,
    Date: date,
}
