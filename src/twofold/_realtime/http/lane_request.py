"""One request on the fast lane, and the paths that the lane knows."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from twofold._realtime.batcher import Ticket
from twofold._realtime.http.media import best_coding, wants_json
from twofold._realtime.http.problems import CONTENT_TYPE, Answer, Client, Refusal, new_request_id, parted, stopping
from twofold._realtime.service import Service

__all__ = ["BULK_BYTES", "Begin", "LaneHead", "LanePath", "LaneRequest"]


Begin = Callable[[bytes, Client, float | None], Ticket | None]
"""A translator: answers a body, within so many seconds. None: the client has its answer; else it will, unless the
ticket is cancelled."""


NO_BULK: Mapping[bytes, Begin] = {}
BULK_BYTES: Final = 1 << 18  # larger bodies are read in a thread, by the app


class LanePath:
    """What the lane answers at one target: about which model, and by which translator of JSON bodies.

    `bulk` are translators by other content types, which answer in the type that they read. `form` is the protocol's
    form of a refusal.
    """

    def __init__(
        self,
        service: Service,
        begin: Begin,
        bulk: Mapping[bytes, Begin] = NO_BULK,
        form: Callable[[Refusal], Answer] = lambda refusal: refusal.answer,
    ) -> None:
        self.parted = form(parted())._replace(code="client_gone")
        self.stopping = form(stopping())
        self.counters = service.counters
        self.version = service.version
        self._begin = begin
        self._bulk = bulk
        self._max_body_bytes = service.limits.max_body_bytes
        self.head_of: object = None
        self.known_head = b""

    def translator(self, named: Mapping[bytes, bytes], body_bytes: int) -> Begin | None:
        """Who answers a request with these headers; None where the app is to see to it."""
        kind = named.get(b"content-type", b"")
        accept = named.get(b"accept", b"")
        if kind == CONTENT_TYPE:
            return self._begin if body_bytes <= self._max_body_bytes and wants_json(accept) else None
        begin = self._bulk.get(kind)
        if begin is None or accept not in (b"", b"*/*", kind) or body_bytes > min(BULK_BYTES, self._max_body_bytes):
            return None
        packed = best_coding(named.get(b"accept-encoding", b"").decode("latin-1"))
        return begin if packed is None else None

    def head(self, default_headers: list[tuple[bytes, bytes]]) -> bytes:
        """The head of a plain 200 up to its length: made anew when uvicorn renews the date."""
        if default_headers is not self.head_of:
            self.head_of = default_headers
            own = ((b"model-version", self.version.encode()), (b"content-type", CONTENT_TYPE))
            lines = b"".join(b"%b: %b\r\n" % line for line in (*default_headers, *own))
            self.known_head = STATUS_LINE[200] + lines
        return self.known_head


class LaneHead:
    """What is known of a request once its head has been read: it can be known of the next one with the same head."""

    __slots__ = ("begin", "body_bytes", "deadline_s", "path", "request_id")

    def __init__(
        self, path: LanePath, begin: Begin, body_bytes: int, deadline_s: float | None, request_id: bytes
    ) -> None:
        self.path = path
        self.begin = begin
        self.body_bytes = body_bytes
        self.deadline_s = deadline_s
        self.request_id = request_id


class _NoEvent:
    """What uvicorn wakes when a connection is lost: a request on the lane waits for nothing."""

    def set(self) -> None:
        pass


NO_EVENT = _NoEvent()


class Connection(Protocol):
    """What a request needs of its connection, a `LaneProtocol`."""

    transport: asyncio.Transport
    server_state: ServerState
    pipeline: deque[Any]
    loop: asyncio.AbstractEventLoop
    on_lane: LaneRequest | None
    active_at: float

    def write_answer(self, answer: Answer, version: str, keep_alive: bool, request_id: bytes = b"") -> None: ...

    def on_response_complete(self) -> None: ...


class LaneRequest:
    """One request on the lane. Has the attributes of uvicorn's `RequestResponseCycle` that its protocol looks at."""

    __slots__ = ("disconnected", "head", "keep_alive", "more_body", "protocol", "response_complete", "ticket")

    message_event = NO_EVENT

    def __init__(self, protocol: Connection, head: LaneHead, keep_alive: bool) -> None:
        self.protocol = protocol
        self.head = head
        self.keep_alive = keep_alive
        self.more_body = True
        self.response_complete = False
        self.disconnected = False
        self.ticket: Ticket | None = None

    def start(self, body: bytes) -> None:
        self.more_body = False
        ticket = self.ticket = self.head.begin(body, self, self.head.deadline_s)
        if ticket is not None:
            ticket.asker = self

    def succeed(self, body: bytes) -> None:
        head = self.head
        if self.keep_alive and not self.disconnected and not head.request_id:
            path, protocol = head.path, self.protocol
            named = protocol.server_state.default_headers
            first = path.known_head if named is path.head_of else path.head(named)
            protocol.transport.write(b"%bcontent-length: %d\r\n\r\n%b" % (first, len(body), body))
            path.counters.delivered += 1
            self._end()
        else:
            self.respond(Answer(200, CONTENT_TYPE, (), body))

    def respond(self, answer: Answer) -> None:
        head = self.head
        head.path.counters.ended(answer.code)
        if not self.disconnected:
            self.protocol.write_answer(answer, head.path.version, self.keep_alive, head.request_id)
        self._end()

    def identify(self) -> str:
        head = self.head
        if not head.request_id:  # the head may be that of other requests too
            self.head = head = LaneHead(head.path, head.begin, head.body_bytes, head.deadline_s, new_request_id())
        return head.request_id.decode()

    def _end(self) -> None:
        self.response_complete = True
        self.ticket = None
        protocol = self.protocol
        if protocol.pipeline or not self.keep_alive:
            protocol.on_response_complete()
        else:  # what that would do, for a connection on which nothing else has come in
            protocol.on_lane = None
            protocol.active_at = protocol.loop.time()

    def give_up(self) -> None:
        """The server ends now."""
        if self.ticket is not None:
            self.ticket.cancel()
        self.respond(self.head.path.stopping)

    def drop_if_waiting(self) -> None:
        if self.ticket is not None and self.ticket.waiting:
            self.ticket.cancel()
            self.respond(self.head.path.parted)

    def lose(self) -> None:
        """The client is gone, and so is the interest in an answer."""
        self.disconnected = True
        self.head.path.counters.ended("client_gone")
        if self.ticket is not None:
            self.ticket.cancel()
            self.ticket = None
