"""The body of a chat completion -> a row of a chat model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from twofold._errors import FieldError, RowsDoNotFit, shorten
from twofold._realtime.http.problems import Refusal
from twofold._signature import Field, List, Signature, Struct

__all__ = ["ChatRequest"]

# What would change what an answer is, and the values that change nothing: refused, unless the model has such an input.
PLAIN: Final[Mapping[str, tuple[object, ...]]] = {
    "n": (1,),
    "tools": ([],),
    "functions": ([],),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
    "audio": (),
}
OURS: Final = frozenset(("model", "stream", "stream_options", "messages"))
# The newer name of a parameter -> the one by which nearly all models know it.
RENAMED: Final = {"max_completion_tokens": "max_tokens"}


class ChatRequest:
    """One request. Raises Refusal for what is none.

    model           the name in the request; None where it names none
    stream          in chunks
    include_usage   with the usage in the last chunk
    """

    def __init__(self, body: bytes) -> None:
        try:
            given = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refusal("not_json", f"The body is not JSON: {error}.") from None
        except RecursionError:
            raise Refusal("not_json", "The body is nested too deeply.") from None
        if not isinstance(given, dict):
            raise Refusal("row_does_not_fit", "The body is a JSON object with `messages`.")
        self._given = {name: value for name, value in given.items() if value is not None}
        self.model: str | None = self._own("model", str)
        self.stream: bool = self._own("stream", bool) or False
        options: dict[str, Any] = self._own("stream_options", dict) or {}
        self.include_usage = options.get("include_usage") is True

    def _own(self, name: str, kind: type) -> Any:
        value = self._given.get(name)
        if value is not None and not isinstance(value, kind):
            raise _wrong(name, f"{name} is a {_JSON_NAMES[kind]}, not {shorten(repr(value))}")
        return value

    def row(self, signature: Signature) -> tuple[Any, ...]:
        """The model's inputs, as a canonical row. Raises Refusal naming the parameter."""
        inputs = {field.name: field for field in signature.inputs}
        given = self._given
        for newer, older in RENAMED.items():
            if newer in given and newer not in inputs:
                given.setdefault(older, given[newer])
        for name, plain in PLAIN.items():
            if name in given and name not in inputs and given[name] not in plain:
                raise _wrong(name, f"{name} is not supported by this model: it gives one text answer. Leave it out")
        named = {name: value for name, value in given.items() if name in inputs and name not in OURS}
        for name, field in inputs.items():
            if name in named and isinstance(field.type, List) and isinstance(named[name], str):
                named[name] = [named[name]]  # `stop` is a text or a list of them
            elif name not in given and field.required and field.nullable:
                named[name] = None
        if "messages" not in given:
            raise _wrong("messages", "messages is missing: a list of objects with a role and a content")
        named["messages"] = _messages(given["messages"], inputs["messages"])
        try:
            row: tuple[Any, ...] = signature.row(named)
        except RowsDoNotFit as error:
            raise Refusal("row_does_not_fit", error.errors[0].message, error.errors[:1]) from None
        return row


def _messages(given: object, field: Field) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise _wrong("messages", "messages is a list of at least one object with a role and a content")
    assert isinstance(field.type, List)
    assert isinstance(field.type.item.type, Struct)
    known = {member.name: member for member in field.type.item.type.fields}
    return [_message(at, message, known) for at, message in enumerate(given)]


def _message(at: int, message: object, known: Mapping[str, Field]) -> dict[str, Any]:
    """One message with what the model knows of messages; a content in parts is joined."""
    if not isinstance(message, dict):
        raise _wrong(f"messages.{at}", f"a message is an object, not {shorten(repr(message))}")
    found = {name: value for name, value in message.items() if name in known}
    content = found.get("content")
    if isinstance(content, list):
        found["content"] = "".join(_text(at, part) for part in content)
    elif content is None and not known["content"].nullable:
        found["content"] = ""  # of a message that only called a tool, say
    return found


def _text(at: int, part: object) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        text: str = part["text"]
        return text
    kind = part.get("type") if isinstance(part, dict) else part
    raise _wrong(f"messages.{at}.content", f"this model reads text only, not a part of type {shorten(repr(kind))}")


def _wrong(param: str, message: str) -> Refusal:
    return Refusal("row_does_not_fit", f"{message}.", [FieldError(0, param, "", "", message)])


_JSON_NAMES: Final = {str: "string", bool: "boolean", dict: "object"}
