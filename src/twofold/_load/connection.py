"""One keep-alive connection of the generator, with at most one request on its way."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import httptools

from twofold._load.plan import LoadPlan

__all__ = ["Connection", "Load", "requests_of"]


def requests_of(plan: LoadPlan, bodies: list[bytes]) -> list[bytes]:
    """The bytes of a POST request with each JSON body."""
    host = f"[{plan.host}]" if ":" in plan.host else plan.host
    named = {"Host": f"{host}:{plan.port}", "Content-Type": "application/json", **dict(plan.headers)}
    head = f"POST {plan.path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in named.items())
    start = head.encode("latin-1")
    return [b"%bContent-Length: %d\r\n\r\n%b" % (start, len(body), body) for body in bodies]


class Load(Protocol):
    """Whose connection it is."""

    requests: list[bytes]

    def opened(self, connection: Connection) -> None: ...

    def answered(self, connection: Connection, status: int, body: bytes) -> None:
        """`connection.index` is the body that was sent, `connection.since_s` the moment its latency counts from."""
        ...

    def free(self, connection: Connection) -> None:
        """It is open and has nothing to do."""
        ...

    def closed(self, connection: Connection, why: str) -> None:
        """It ended; `connection.busy` where a request was on its way."""
        ...


class Connection(asyncio.Protocol):
    __slots__ = ("_load", "_parser", "_parts", "_transport", "_why", "busy", "index", "since_s")

    def __init__(self, load: Load) -> None:
        self._load = load
        self._parts: list[bytes] = []
        self._why = "connection lost"
        self.index = -1
        self.since_s = 0.0
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport
        self._parser = httptools.HttpResponseParser(self)
        self._load.opened(self)

    def send(self, index: int, since_s: float) -> None:
        self.index, self.since_s, self.busy = index, since_s, True
        self._transport.write(self._load.requests[index])

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.give_up("not HTTP")

    def on_body(self, part: bytes) -> None:
        self._parts.append(part)

    def on_message_complete(self) -> None:
        parts = self._parts
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        self._parts = []
        self.busy = False
        self._load.answered(self, self._parser.get_status_code(), body)
        if self._parser.should_keep_alive():
            self._load.free(self)
        else:
            self._transport.close()

    def close(self) -> None:
        self._transport.close()

    def give_up(self, why: str) -> None:
        self._why = why
        self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        self._load.closed(self, self._why)
