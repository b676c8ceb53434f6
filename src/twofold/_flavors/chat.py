"""What a model that is declared to be a chat model must look like."""

from __future__ import annotations

from twofold._errors import ModelError
from twofold._signature import Binding, Choice, List, String, Struct, Type

__all__ = ["check_chat"]

SHOULD = (
    "A chat model takes `messages: list[Message]`, where Message is a struct with the texts `role` and `content`, and "
    "what else it has a default; it answers with a str, at once or in pieces (`-> Iterator[str]`)."
)


def check_chat(name: str, binding: Binding) -> None:
    """Raises ModelError when this cannot answer a chat."""
    outputs = [field.type for field in binding.outputs]
    if binding.form != "rows" or outputs != [String()] or binding.outputs[0].nullable:
        raise ModelError(f"{name} is declared chat=True, and does not answer with a str. {SHOULD}")
    inputs = {field.name: field for field in binding.inputs}
    messages = inputs.pop("messages", None)
    if messages is None or not _holds_messages(messages.type):
        raise ModelError(f"{name} is declared chat=True, and has no `messages` that are messages. {SHOULD}")
    for field in inputs.values():
        if field.required and not field.nullable:
            raise ModelError(f"{name} is declared chat=True, and {field.name!r} has no default. {SHOULD}")


def _holds_messages(kind: Type) -> bool:
    item = kind.item.type if isinstance(kind, List) else None
    if not isinstance(item, Struct):
        return False
    fields = {field.name: field.type for field in item.fields}
    return isinstance(fields.get("role"), String | Choice) and isinstance(fields.get("content"), String)
