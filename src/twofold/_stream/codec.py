"""Messages to rows and answers to letters, as JSON: an object a message.

An answer is the message's own text with the model's answers and `_id` put at its end, so that what is not read is not
written again either; a dead letter is the message with `_position` and `_error` instead.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from twofold._columns import Batch
from twofold._errors import NotJson, RowFailure, RowsDoNotFit, UsageError
from twofold._runner import Result
from twofold._signature import Signature
from twofold._signature.decode import decode_exactly
from twofold._stream.messages import Headers, Letter, Message

__all__ = ["ERROR_HEADER", "ID", "JsonCodec", "Read"]

ID: Final = "_id"
ERROR_HEADER: Final = "twofold-error"
OWN: Final = (ID, "_position", "_error", "_raw", "_raw_base64")
_ID: Final = b',"_id":'
_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_encode = msgspec.json.Encoder().encode


@dataclass
class Read:
    """Messages on their way through the model. `good`: those whose rows are in `batch`, in order."""

    batch: Batch
    good: Sequence[Message]
    failures: dict[str, RowFailure] = field(default_factory=dict)
    """Of the messages that did not get that far, by id."""


class JsonCodec:
    """Reads and writes messages that are JSON objects; fields that the model does not take pass through.

    `keep`: only these fields of a message are in its answer (None: all); `rename`: an output -> its name there.
    """

    def __init__(self, signature: Signature, keep: Sequence[str] | None, rename: dict[str, str]) -> None:
        self._signature = signature
        self._decode = signature.decode_record
        self._keep = None if keep is None else tuple(keep)
        outputs = [output.name for output in signature.outputs]
        for name in rename:
            if name not in outputs:
                raise UsageError(
                    f"--rename {name}={rename[name]}: the model has no output {name!r}. "
                    f"Its outputs: {', '.join(outputs)}."
                )
        names = [rename.get(name, name) for name in outputs]
        taken = next((name for name in names if names.count(name) > 1 or name in OWN), None)
        if taken is not None:
            raise UsageError(f"two fields of an answer would be {taken!r}. Give one another name (--rename).")
        both = [name for name in self._keep or () if name in names]
        if both:
            raise UsageError(f"--keep {both[0]}: the model's answer has that name too (--rename gives it another).")
        self._heads = [(b"," if at else b"") + _encode(name) + b":" for at, name in enumerate(names)]
        self._names = names
        self._quoted = [_encode(name) for name in names] if keep is None else []

    def read(self, messages: Sequence[Message]) -> Read:
        """The rows of these messages, and why the others have none."""
        rows: list[tuple[Any, ...]] = []
        good: list[Message] = []
        failures: dict[str, RowFailure] = {}
        decode, quoted = self._decode, self._quoted
        for message in messages:
            value = message.value
            try:
                row = decode(value)
                for name in quoted:
                    if name in value:
                        self._refuse_taken(value)
            except RowsDoNotFit as error:
                more = f" (and {len(error.errors) - 1} more)" if len(error.errors) > 1 else ""
                first = error.errors[0]
                failures[message.id] = RowFailure("row_does_not_fit", first.message + more, field=first.field)
            except NotJson as error:
                failures[message.id] = RowFailure("not_json", f"the message is not JSON: {error.data['reason']}")
            except _Taken as taken:
                failures[message.id] = RowFailure("row_does_not_fit", str(taken), field=taken.name)
            else:
                rows.append(row)
                good.append(message)
        return Read(Batch.from_rows(self._signature.input_schema, rows), good, failures)

    def _refuse_taken(self, value: bytes) -> None:
        members = _members.decode(value)
        for name in self._names:
            if name in members:
                raise _Taken(name)

    def write(self, read: Read, result: Result) -> list[Letter]:
        """A letter for each row that was answered, in order; the failures of the others are added to `read`."""
        answered = read.good
        if result.failures:
            for at, failure in result.failures.items():
                read.failures[read.good[at].id] = failure
            answered = [message for at, message in enumerate(read.good) if at not in result.failures]
        if not answered:
            return []
        heads, start = self._heads, self._start
        texts = self._signature.column_texts(result.outputs)
        letters = []
        for message, *cells in zip(answered, *texts, strict=True):
            parts = [start(message.value)]
            for head, cell in zip(heads, cells, strict=True):
                parts += (head, cell)
            parts += (_ID, _encode(message.id), b"}")
            letters.append(Letter(b"".join(parts), message.id, message.key, message.headers))
        return letters

    def _start(self, value: bytes) -> bytes:
        """What an answer begins with: the message up to its closing brace, and a comma where fields came before."""
        if self._keep is None and b'"_' not in value:
            text = value.rstrip()[:-1]
            if text[-1] not in b"{ \t\r\n":
                return text + b","
        members = _members.decode(value)
        names = [name for name in members if name not in OWN] if self._keep is None else self._keep
        kept = [b"%b:%b," % (_encode(name), members[name]) for name in names if name in members]
        return b"{" + b"".join(kept)

    def dead(self, message: Message, failure: RowFailure) -> Letter:
        """The letter that says why this message has no answer."""
        about = {"_position": message.id, "_error": failure.to_json()}
        fields = _object(message.value)
        line: dict[str, Any]
        if fields is None:
            try:
                line = {"_raw": message.value.decode()}
            except UnicodeDecodeError:
                line = {"_raw_base64": base64.b64encode(message.value).decode()}
        else:
            line = {name: value for name, value in fields.items() if name not in OWN}
        headers: Headers = (*message.headers, (ERROR_HEADER, failure.code.encode()))
        return Letter(_encode(line | about), message.id, message.key, headers)


class _Taken(Exception):
    def __init__(self, name: str) -> None:
        super().__init__(
            f"the message has a field {name!r}, and the model's answer has that name too: give the answer another "
            f"name (--rename {name}=NAME), or keep other fields only (--keep)"
        )
        self.name = name


def _object(value: bytes) -> dict[str, msgspec.Raw] | None:
    try:
        decode_exactly(value)  # `Raw` members are not looked into
        return _members.decode(value)
    except (NotJson, msgspec.MsgspecError, UnicodeDecodeError):
        return None
