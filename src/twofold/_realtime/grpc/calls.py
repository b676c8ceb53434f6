"""One call of a gRPC client: its head, its message, its answer. Nothing here knows what the messages mean."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol
from urllib.parse import quote

from twofold._realtime.batcher import Ticket
from twofold._realtime.http.problems import new_request_id
from twofold._realtime.service import Service

__all__ = ["Call", "CallRefused", "Method", "Unit", "head_of", "message_of", "timeout_s"]

PREFIX_BYTES: Final = 5  # before each message: compressed or not, and its length
_UNITS: Final = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_TIMEOUT = re.compile(r"(\d{1,8})([HMSmun])")

OK: Final = 0
CANCELLED: Final = 1
INVALID_ARGUMENT: Final = 3
DEADLINE_EXCEEDED: Final = 4
RESOURCE_EXHAUSTED: Final = 8
UNIMPLEMENTED: Final = 12
INTERNAL: Final = 13
UNAUTHENTICATED: Final = 16


class CallRefused(Exception):
    """A call that ends with this gRPC status instead of an answer."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Unit(Protocol):
    """Who takes the answer of a call. `service`: whom it asks, told by the method."""

    service: Service | None

    def succeed(self, message: bytes) -> None: ...

    def fail(self, status: int, message: str) -> None: ...


class Method(Protocol):
    """Answers the serialized message of a call. None: the caller has its answer; else it will, unless the ticket is
    cancelled. `deadline_s`: what is left of the caller's deadline, None where it has none."""

    def __call__(self, message: bytes, unit: Unit, deadline_s: float | None) -> Ticket | None: ...


class Call:
    """A call that is not answered yet."""

    __slots__ = (
        "began", "body", "cancelled", "connection", "encoding", "ended", "method", "path", "request_id", "service",
        "stream_id", "ticket", "until",
    )  # fmt: skip

    def __init__(self, connection: Any, stream_id: int, path: bytes, request_id: bytes, began: float) -> None:
        self.connection = connection
        self.stream_id = stream_id
        self.path = path
        self.request_id = request_id  # b"": it has none
        self.began = began  # by the loop's clock, as its deadline is
        self.until: float | None = None
        self.method: Method | None = None
        self.encoding = b""
        self.service: Service | None = None
        self.body: bytes | bytearray = b""
        self.ended = False
        self.cancelled: Callable[[], None] | None = None
        self.ticket: Ticket | None = None

    def succeed(self, message: bytes) -> None:
        if not self.ended:
            self.ended = True
            self.connection.answer(self, message)

    def fail(self, status: int, message: str) -> None:
        if not self.ended:
            self.ended = True
            self.connection.refuse(self, status, message)

    def end(self) -> None:
        """All of its messages have been sent."""
        if not self.ended:
            self.ended = True
            self.connection.end(self)

    def identify(self) -> str:
        if not self.request_id:
            self.request_id = new_request_id()
        return self.request_id.decode()

    def lose(self) -> None:
        """Nobody waits for the answer any more."""
        self.ended = True
        if self.service is not None:
            self.service.counters.ended("client_gone")
        if self.ticket is not None:
            self.ticket.cancel()
        if self.cancelled is not None:
            self.cancelled()


def timeout_s(text: str) -> float:
    """Seconds of a `grpc-timeout` header. Raises CallRefused."""
    found = _TIMEOUT.fullmatch(text)
    if found is None:
        raise CallRefused(INVALID_ARGUMENT, f"grpc-timeout is a number and a unit, 100m say, not {text[:40]!r}.")
    return int(found[1]) * _UNITS[found[2]]


def message_of(body: bytes | bytearray, encoding: bytes, most_bytes: int) -> bytes:
    """The one message of a complete request body. Raises CallRefused."""
    length = int.from_bytes(body[1:PREFIX_BYTES], "big")
    if len(body) < PREFIX_BYTES or len(body) != PREFIX_BYTES + length:
        raise CallRefused(INTERNAL, "The call must have one message, and all of it.")
    message = bytes(body[PREFIX_BYTES:])
    if body[0] == 0:
        return message
    if encoding not in (b"gzip", b"deflate"):
        raise CallRefused(UNIMPLEMENTED, f"The message is compressed as {encoding[:40]!r}; gzip and deflate are read.")
    return _inflated(message, most_bytes)


def _inflated(message: bytes, most_bytes: int) -> bytes:
    inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        found = inflate.decompress(message, most_bytes + 1)
    except zlib.error:
        raise CallRefused(INTERNAL, "The compressed message cannot be read.") from None
    if len(found) > most_bytes:
        raise CallRefused(RESOURCE_EXHAUSTED, too_large(most_bytes))
    if not inflate.eof:
        raise CallRefused(INTERNAL, "The compressed message is cut off.")
    return found


def too_large(most_bytes: int) -> str:
    return f"The message is larger than {most_bytes} bytes, which --max-body allows."


def head_of(headers: Mapping[bytes, bytes]) -> tuple[bytes, float | None]:
    """The encoding of the message and the seconds until the deadline. Raises CallRefused."""
    timeout = headers.get(b"grpc-timeout")
    encoding = headers.get(b"grpc-encoding", b"identity")
    return encoding, None if timeout is None else timeout_s(timeout.decode("latin-1"))


def status_trailers(status: int, message: str) -> list[tuple[bytes, bytes]]:
    """How a status other than OK stands in trailers."""
    # as the gRPC protocol says: printable ASCII as it is, the rest percent-encoded UTF-8
    safe = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
    text = quote(message.encode("utf-8", "replace"), safe=safe)
    return [(b"grpc-status", str(status).encode()), (b"grpc-message", text.encode())]
