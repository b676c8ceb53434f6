"""`twofold.connect`: a served model that is called like the model itself."""

from __future__ import annotations

import inspect
import keyword
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final, Literal, NoReturn, Self

import msgspec

from twofold._connections import Connections, Reply
from twofold._errors import (
    BadRow,
    DeadlineExceeded,
    FieldError,
    ModelFailed,
    RequestFailed,
    RowFailure,
    RowsDoNotFit,
    RowsFailed,
    Unreachable,
    WorkerLost,
)
from twofold._signature import Bool, Bytes, Choice, Date, Datetime, Field, Float, Int, Signature, String, Type
from twofold._signature.encode import object_writer
from twofold._signature.objects import as_mapping
from twofold._signature.types import List, Struct, Tensor

__all__ = ["Answer", "Client", "connect"]

Row = tuple[Any, ...]

ROWS_A_REQUEST: Final = 1000
BYTES_A_REQUEST: Final = 4 << 20
ROWS_NAMED: Final = 10

FAILURES: Final[dict[str, type[RequestFailed]]] = {
    kind.code: kind for kind in (ModelFailed, WorkerLost, DeadlineExceeded)
}


class Answer(dict[str, Any]):
    """The answer of a model with several outputs: a dict whose items are attributes too."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the answer has no {name!r}; it has {', '.join(self)}") from None


def connect(url: str, *, timeout_s: float = 60.0) -> Client:
    """A client of the model served at `url` (http://127.0.0.1:8000, say), to be called like the model.

    `timeout_s`: how long to wait for an answer. Raises Unreachable when no twofold server answers there, UsageError
    for what is no URL.
    """
    return Client(url, timeout_s=timeout_s)


class Client:
    """A served model. Any number of threads may call it; connections are kept open.

    url, name, version, signature   of the model, as of when the client was made

        client(7), client(number=7), client({"number": 7})    one row -> its answer
        client.batch([{"number": 7}, {"number": 8}])          rows -> their answers, in order

    Values are what the signature takes: NumPy arrays, datetimes, bytes, dataclasses. An answer is the value itself
    where it is one, else an `Answer`; arrays come as lists, enums as their values.

    Raises RowsDoNotFit (with `.errors`) for a row that does not fit, BadRow for one that the model refused, and a
    RequestFailed for the rest: its `code` is model_failed, worker_lost, deadline_exceeded, unreachable, or another
    word of the server's.
    """

    def __init__(self, url: str, *, timeout_s: float = 60.0) -> None:
        self._connections = Connections(url, timeout_s)
        self.url = self._connections.url
        self.name, self.version, self.signature = self._described()
        self._write = object_writer(self.signature.inputs)
        self._read = Signature(self.signature.outputs, self.signature.outputs).decode_row
        self._outputs = [field.name for field in self.signature.outputs]
        self.__signature__ = _python_signature(self.signature)

    def __repr__(self) -> str:
        return f"<Client of {self.name} version {self.version} at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connections that are open."""
        self._connections.close()

    def __call__(self, *args: Any, **fields: Any) -> Any:
        """The answer to one row: its fields by position or by name, or the row as one mapping or instance."""
        row = self._row(args, fields)
        reply = self._connections.ask("POST", "/predict", self._write(row))
        if reply.status != 200:
            self._refused(reply)
        return self._answer(reply.body)

    def batch(self, rows: Iterable[Any]) -> list[Any]:
        """The answers to many rows, in order: mappings, instances, or the bare values of the only field.

        Many rows go in several requests. Raises RowsDoNotFit before anything is sent; RowsFailed, with all the other
        answers, when some rows have none.
        """
        texts = self._texts(rows)
        answers: list[Any] = []
        failures: dict[int, RowFailure] = {}
        for part in _parts(texts):
            body = b"[" + b",".join(part) + b"]"
            reply = self._connections.ask("POST", "/predict", body)
            if reply.status != 200:
                self._refused(reply, len(answers))
            some_failed = "Twofold-Failed-Rows" in reply.headers
            for text in _items(reply, len(part), self.url):
                failure = _failure(text) if some_failed else None
                if failure is not None:
                    failures[len(answers)] = failure
                answers.append(None if failure is not None else self._answer(text))
        if failures:
            raise RowsFailed(answers, failures)
        return answers

    def _row(self, args: Sequence[Any], fields: dict[str, Any]) -> Row:
        inputs = self.signature.inputs
        if len(args) == 1 and not fields and (len(inputs) == 1 or _is_row(args[0], inputs)):
            return self.signature.row(args[0])
        if len(args) > len(inputs):
            raise TypeError(f"{self.name} takes {len(inputs)} positional arguments, and {len(args)} were given")
        given = dict(zip((field.name for field in inputs), args, strict=False))
        for name in given:
            if name in fields:
                raise TypeError(f"{self.name} got several values for the argument {name!r}")
        return self.signature.row(given | fields)

    def _texts(self, rows: Iterable[Any]) -> list[bytes]:
        """Each row as JSON. RowsDoNotFit names the first ones that do not fit."""
        texts: list[bytes] = []
        errors: list[FieldError] = []
        named = 0
        for index, value in enumerate(rows):
            try:
                texts.append(self._write(self.signature.row(value, index)))
            except RowsDoNotFit as error:
                errors += error.errors
                named += 1
                if named == ROWS_NAMED:
                    break
        if errors:
            raise RowsDoNotFit(errors)
        return texts

    def _answer(self, text: bytes) -> Any:
        row = self._read(text)
        if self._outputs == ["prediction"]:
            return row[0]
        return Answer(zip(self._outputs, row, strict=True))

    def _refused(self, reply: Reply, first_row: int = 0) -> NoReturn:
        """Raise what the server's problem details say. `first_row`: how many rows went before this request."""
        found = _problem(reply)
        if found is None:
            raise RequestFailed(
                f"{self.url} answered {reply.status} {reply.reason}, which is not an answer of twofold's. "
                "Is something else between here and the server?",
                code=f"http_{reply.status}",
                url=self.url,
                status=reply.status,
            )
        code, detail = found["code"], found["detail"]
        if code == "row_does_not_fit" and found.get("errors"):
            errors = [FieldError(**{**error, "row": error["row"] + first_row}) for error in found["errors"]]
            raise RowsDoNotFit(errors)
        if code == "bad_row":
            raise BadRow(detail)
        kind = FAILURES.get(code, RequestFailed)
        raise kind(f"{self.name} at {self.url}: {detail}", code=code, url=self.url, status=reply.status)

    def _described(self) -> tuple[str, str, Signature]:
        """Name, version and signature, from the server's OpenAPI document."""
        reply = self._connections.ask("GET", "/openapi.json")
        try:
            info = msgspec.json.decode(reply.body)["info"] if reply.status == 200 else {}
            return info["title"], info["version"], Signature.from_json(info["x-twofold-signature"])
        except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
            raise Unreachable(
                f"what answers at {self.url} is no twofold server of this version: its /openapi.json does not "
                "describe a model. Check the address.",
                url=self.url,
            ) from None


def _is_row(value: Any, inputs: tuple[Field, ...]) -> bool:
    """Whether the only argument stands for the whole row, not for its first field."""
    given = as_mapping(value)
    if given is None:
        return False
    return not isinstance(inputs[0].type, Struct) or all(f.name in given for f in inputs if f.required)


def _parts(texts: list[bytes]) -> Iterator[list[bytes]]:
    """The rows of one request after the other."""
    part: list[bytes] = []
    size = 0
    for text in texts:
        if part and (len(part) == ROWS_A_REQUEST or size + len(text) > BYTES_A_REQUEST):
            yield part
            part, size = [], 0
        part.append(text)
        size += len(text) + 1
    if part:
        yield part


def _items(reply: Reply, n_rows: int, url: str) -> list[bytes]:
    """The JSON text of each answer of a list."""
    items = [bytes(item) for item in msgspec.json.decode(reply.body, type=list[msgspec.Raw])]
    if len(items) != n_rows:
        raise RequestFailed(f"{url} gave {len(items)} answers to {n_rows} rows.", url=url)
    return items


def _failure(text: bytes) -> RowFailure | None:
    """What stands in the place of an answer: `{"error": {"code": …, "message": …}}`."""
    found = msgspec.json.decode(text)
    error = found.get("error") if len(found) == 1 else None
    if not isinstance(error, dict) or "code" not in error:
        return None
    return RowFailure(error["code"], error.get("message", ""), field=error.get("field", ""))


def _problem(reply: Reply) -> dict[str, Any] | None:
    """Our problem details, or None for an answer of somebody else."""
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) and {"code", "detail"} <= found.keys() else None


def _python_signature(signature: Signature) -> inspect.Signature:
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
