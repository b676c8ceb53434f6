"""The client of a served model: in a thread, or in an event loop; what it does is written once, as steps."""

from __future__ import annotations

import copy
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, Final, Self

from twofold._client.answer import Answer
from twofold._client.reading import Reading
from twofold._client.replies import described, failure_in, items, refuse, route
from twofold._client.shown import python_signature
from twofold._errors import FieldError, RowFailure, RowsDoNotFit, RowsFailed, UsageError
from twofold._signature import Field, Signature
from twofold._signature.encode import object_writer
from twofold._signature.objects import as_mapping
from twofold._signature.types import Struct
from twofold._wire.connections import Connections
from twofold._wire.exchange import Reply
from twofold._wire.links import Until
from twofold._wire.patience import pause_s
from twofold._wire.steps import Sleep, Steps, run, run_later, stream, stream_later

__all__ = ["Client", "connect"]

Row = tuple[Any, ...]

ROWS_A_REQUEST: Final = 1000
BYTES_A_REQUEST: Final = 4 << 20
ROWS_NAMED: Final = 10


def connect(
    url: str,
    *,
    model: str = "",
    timeout_s: float = 60.0,
    retries: int = 4,
    api_key: str = "",
    ca: str | os.PathLike[str] = "",
) -> Client:
    """A client of the model served at `url` (http://127.0.0.1:8000, say), to be called like the model.

    `model`: its name, where the server has several; else the first. `timeout_s`: how long to wait for an answer; the
    server is told and computes nothing that comes too late. `retries`: how often a request is sent again within that
    time when the server is busy (429, 503), when it says so (Retry-After) or after a growing pause. `api_key`: what
    the server asks for; else that of the environment, TWOFOLD_API_KEY. `ca`: a file with the certificate of the
    authority that signed the server's, where the system does not know it (https).

    Raises Unreachable when no twofold server answers there, UsageError for what is no URL or no model of that server.
    """
    return Client(url, model=model, timeout_s=timeout_s, retries=retries, api_key=api_key, ca=ca)


class Client:
    """A served model. Any number of threads and tasks may call it; connections are kept open.

    url, name, version, signature   of the model, as of when the client was made
    example                         a row that it takes, as JSON, or None

        client(7), client(number=7), client({"number": 7})    one row -> its answer
        client.batch([{"number": 7}, {"number": 8}])          rows -> their answers, in order
        await client.acall(7), await client.abatch([7, 8])    the same in an event loop
        for piece in client.stream("Hello"): ...              the answer of a model that yields, as it is made
        async for piece in client.astream("Hello"): ...       the same in an event loop
        client.within(0.05)(7)                                with another timeout: 50 ms

    Values are what the signature takes: NumPy arrays, datetimes, bytes, dataclasses. An answer is the value itself
    where it is one, else an `Answer`; arrays come as lists, enums as their values.

    Raises RowsDoNotFit (with `.errors`) for a row that does not fit, BadRow for one that the model refused, and a
    RequestFailed for the rest: its `code` is model_failed, worker_lost, deadline_exceeded, overloaded, unreachable, or
    another word of the server's.
    """

    def __init__(
        self,
        url: str,
        *,
        model: str = "",
        timeout_s: float = 60.0,
        retries: int = 4,
        api_key: str = "",
        ca: str | os.PathLike[str] = "",
    ) -> None:
        self._timeout_s = _positive(timeout_s)
        self._retries = retries
        key = api_key or os.environ.get("TWOFOLD_API_KEY", "")
        self._connections = Connections(url, api_key=key, ca=os.fspath(ca))
        self.url = self._connections.url
        self._route = route(model)
        try:
            found = described(run(self._asking("GET", "/openapi.json")), self.url, model)
            self.name, self.signature, self.example = found.name, found.signature, found.example
            self.version = found.version or self._version_of(model)
        except BaseException:
            self.close()
            raise
        self._write = object_writer(self.signature.inputs)
        self._read = Signature(self.signature.outputs, self.signature.outputs).decode_row
        self._outputs = [field.name for field in self.signature.outputs]
        self.__signature__ = python_signature(self.signature)

    def __repr__(self) -> str:
        return f"<Client of {self.name} version {self.version} at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def close(self) -> None:
        """End the connections that are open."""
        self._connections.close()

    async def aclose(self) -> None:
        """End the connections that are open, also those of this event loop."""
        import asyncio

        self._connections.close()
        await asyncio.sleep(0)

    def within(self, timeout_s: float) -> Self:
        """The same client with another timeout; it shares the connections."""
        other = copy.copy(self)
        vars(other)["_timeout_s"] = _positive(timeout_s)
        return other

    def __call__(self, *args: Any, **fields: Any) -> Any:
        """The answer to one row: its fields by position or by name, or the row as one mapping or instance."""
        return run(self._one(self._row(args, fields)))

    async def acall(self, *args: Any, **fields: Any) -> Any:
        """The answer to one row, in an event loop."""
        return await run_later(self._one(self._row(args, fields)))

    def batch(self, rows: Iterable[Any]) -> list[Any]:
        """The answers to many rows, in order: mappings, instances, or the bare values of the only field.

        Many rows go in several requests. Raises RowsDoNotFit before anything is sent; RowsFailed, with all the other
        answers, when some rows have none.
        """
        return run(self._many(self._texts(rows)))

    async def abatch(self, rows: Iterable[Any]) -> list[Any]:
        """The answers to many rows, in an event loop."""
        return await run_later(self._many(self._texts(rows)))

    def stream(self, *args: Any, **fields: Any) -> Iterator[Any]:
        """The pieces of the answer to one row, as they are made; joined they are the answer. For a model that yields;
        another's answer comes in one piece. The timeout is that of each piece."""
        return stream(self._pieces(self._row(args, fields)))

    def astream(self, *args: Any, **fields: Any) -> AsyncIterator[Any]:
        """The pieces of the answer to one row, in an event loop: `async for piece in client.astream(…)`."""
        return stream_later(self._pieces(self._row(args, fields)))

    def _one(self, row: Row) -> Steps[Any]:
        reply = yield from self._asking("POST", self._route, self._write(row))
        if reply.status != 200:
            refuse(reply, self.name, self.url)
        return self._answer(reply.body)

    def _many(self, texts: list[bytes]) -> Steps[list[Any]]:
        answers: list[Any] = []
        failures: dict[int, RowFailure] = {}
        for part in _parts(texts):
            body = b"[" + b",".join(part) + b"]"
            reply = yield from self._asking("POST", self._route, body)
            if reply.status != 200:
                refuse(reply, self.name, self.url, len(answers))
            some_failed = "twofold-failed-rows" in reply.headers
            for text in items(reply, len(part), self.url):
                failure = failure_in(text) if some_failed else None
                if failure is not None:
                    failures[len(answers)] = failure
                answers.append(None if failure is not None else self._answer(text))
        if failures:
            raise RowsFailed(answers, failures)
        return answers

    def _asking(self, method: str, path: str, body: bytes = b"") -> Steps[Reply]:
        """One request, sent again while the server is busy and there is time."""
        until = Until(self._timeout_s)
        for attempt in count():
            reply = yield from self._connections.ask(method, path, body, until)
            if not (yield from self._waited(reply, attempt, until.left_s)):
                break
        return reply

    def _pieces(self, row: Row) -> Steps[None]:
        body = self._write(row)
        for attempt in count():
            until = Until(self._timeout_s)
            reading = Reading(self.name, self.url, self._answer)
            exchange = yield from self._connections.ask_for_pieces(self._route, body, until, reading.of)
            reply = exchange.reply()
            if reply.status == 200:
                reading.finish()
                return
            if not (yield from self._waited(reply, attempt, self._timeout_s)):
                refuse(reply, self.name, self.url)

    def _waited(self, reply: Reply, attempt: int, left_s: float) -> Steps[bool]:
        """Whether to ask again, when it is time to. `attempt` counts from 0."""
        pause = pause_s(reply, attempt) if attempt < self._retries else None
        if pause is None or pause >= left_s:
            return False
        yield Sleep(pause)
        return True

    def _version_of(self, model: str) -> str:
        reply = run(self._asking("GET", route(model).removesuffix("/predict")))
        return reply.headers.get("model-version", "")

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
        write: Callable[[Row], bytes] = self._write
        for index, value in enumerate(rows):
            try:
                texts.append(write(self.signature.row(value, index)))
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


def _positive(timeout_s: float) -> float:
    if not timeout_s > 0:
        raise UsageError(f"timeout_s must be more than 0, and {timeout_s} was given.")
    return timeout_s


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
