"""The fast lane: uvicorn's protocol, with a short cut for the JSON of `POST /predict` and its like.

A request takes the lane when it is the only one in flight on its connection and needs nothing special: JSON, a
Content-Length within the limit, no Expect, Upgrade, chunks or encoding. It is then answered without a scope, a task
and an app. Everything else is uvicorn's. Both ways end in the same translator, so their answers are the same bytes.

Clients send the same head again and again: a head that took the lane is remembered, and a request that comes in one
piece with the very same head need not be parsed again.

uvicorn does not know of requests on the lane, so each of them stands in for the connection's `cycle` while it is in
flight: `shutdown()` then lets it finish, and a pipelined request behind it waits its turn.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, ClassVar

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from twofold._realtime.http.access import ANYBODY, Access, Keys
from twofold._realtime.http.lane_request import LaneHead, LanePath, LaneRequest
from twofold._realtime.http.problems import CONNECTION, PARTING_S, Answer, Refusal, problem, written
from twofold._realtime.http.terms import BODY_BYTES_A_SECOND, BODY_S, REQUEST_ID, deadline_in, usable_request_id
from twofold._realtime.http.waiting import Waiter

__all__ = ["LaneProtocol"]

HEAD_BYTES = 64 << 10  # a request's target and headers together
DISCARDED_BYTES = 64 << 20  # how much of a body that was refused unread is read over, so that its client sees why
LINGER_S = 1.0
# A request that does not come to its end holds a connection. From its first byte on it has so long for its head.
HEAD_S = 10.0
LANE_HEADERS = 40
BODY_HEADERS = (b"content-length", b"transfer-encoding")
HEAD_END = b"\r\n\r\n"
KNOWN_HEADS = 1000
KNOWN_HEAD_BYTES = 1000
# Their values decide how a body is read, or ask for what only the app does.
SLOW_HEADERS = frozenset(
    (b"transfer-encoding", b"content-encoding", b"expect", b"upgrade", b"inference-header-content-length")
)


class LaneProtocol(HttpToolsProtocol):
    """One connection. `bound_to` gives the class that a server uses."""

    paths: ClassVar[Mapping[bytes, LanePath]]  # by the target of a request
    version: ClassVar[str]  # of the model that answers where a request names none
    keys: ClassVar[Keys | None]  # who may ask
    slow_headers: ClassVar[frozenset[bytes]]
    known_heads: ClassVar[dict[bytes, LaneHead]]  # of whole requests that took the lane
    ending: ClassVar[bool] = False  # each answer is the last of its connection, and says so

    @classmethod
    def end(cls) -> None:
        """The server drains: let clients know with the next answer, before their connections are closed."""
        cls.ending = True
        cls.known_heads.clear()

    @classmethod
    def bound_to(cls, paths: Mapping[bytes, LanePath], version: str, access: Access = ANYBODY) -> type[LaneProtocol]:
        """The protocol of one server. Without paths every request goes the app's way (the answers are equal)."""
        slow = SLOW_HEADERS | {b"origin"} if access.origins else SLOW_HEADERS
        own = {"paths": paths, "version": version, "keys": access.keys, "slow_headers": slow, "known_heads": {}}
        return type("BoundLaneProtocol", (cls,), own)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.receiving: LaneRequest | None = None  # on the lane, its body not complete yet
        self.chunks: list[bytes] = []  # of that body
        self.on_lane: LaneRequest | None = None  # the request on the lane that is in flight
        self.active: RequestResponseCycle | None = None  # the request of the app that is in flight, or was last
        self.parting: Waiter | None = None  # a request of the app that waits for the model
        self.client_ended = False
        self.ignoring = False  # the connection is closing: what still comes in is not read
        self.between = True  # the parser stands between two requests
        self.parsed = b""  # the data at hand, while it is all of one request
        self.head_open = False
        self.head_began = False  # in the data at hand
        self.head_bytes = 0  # of a head that comes in several pieces
        self.count_head = False  # it came in pieces, or in a large one: its size must be looked at
        self.discarded_bytes = 0
        self.active_at = 0.0
        self.idle_timer: asyncio.TimerHandle | None = None
        self.check_at = 0.0  # when the timer is due
        self.begun_at = 0.0  # when the request came that is not complete yet
        self.begun_bytes = 0  # what has come of it

    # --- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.active_at = self.loop.time()
        self._check_in(self.timeout_keep_alive)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.idle_timer is not None:
            self.idle_timer.cancel()
            self.idle_timer = None
        if self.on_lane is not None:
            self.on_lane.lose()
            self.on_lane = None
        self.receiving = None
        if self.active is not None and not self.active.response_complete:  # uvicorn tells the last request only
            self.active.disconnected = True
            self.active.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def eof_received(self) -> bool | None:  # type: ignore[override]
        """The client has ended its half: it may be gone, or wait for its answer, which nobody can tell.

        Rows that are with the model are answered; rows that still wait a moment later leave the queue. A request
        that is not complete will not be: it is refused.
        """
        cycle = self.cycle
        in_flight = cycle is not None and not cycle.response_complete
        if not in_flight or cycle.more_body:
            if self.ignoring or not (in_flight or self.head_open):
                return None
            self._refuse(CUT_OFF)
            return True
        cycle.keep_alive = False
        self.client_ended = True
        waiting = self.on_lane or self.parting
        if waiting is not None:
            self.loop.call_later(PARTING_S, waiting.drop_if_waiting)
        return True

    def give_up(self) -> None:
        """The server ends now: tell a client that still waits for the model."""
        waiting = self.on_lane or self.parting
        if waiting is not None:
            waiting.give_up()

    def _check_in(self, seconds: float) -> None:
        if self.idle_timer is not None:
            self.idle_timer.cancel()
        self.idle_timer = self.loop.call_later(seconds, self._check_idle)
        self.check_at = self.loop.time() + seconds

    def _check_idle(self) -> None:
        """The keep-alive timeout and those of requests that come slowly, with one timer a connection instead of one a
        request."""
        cycle = self.cycle
        now = self.loop.time()
        open_request = cycle is not None and not cycle.response_complete
        left_s = self.active_at + self.timeout_keep_alive - now
        if open_request and not cycle.more_body:  # the server's turn, not the client's
            left_s = self.timeout_keep_alive
        elif not self.between and not self.ignoring and not self.flow.read_paused:
            allowed_s = HEAD_S if self.head_open else BODY_S + self.begun_bytes / BODY_BYTES_A_SECOND
            left_s = min(left_s, self.begun_at + allowed_s - now)
        if left_s > 0.001:
            self._check_in(left_s)
        elif open_request or self.head_open:
            self._refuse(TIMED_OUT)
        elif not self.transport.is_closing():
            self.transport.close()

    def _note_incomplete(self, n_bytes: int) -> None:
        """These bytes have come, and the request that they are of is not complete."""
        if self.head_began:
            self.begun_at = self.active_at
            self.begun_bytes = 0
            if self.check_at > self.active_at + BODY_S:
                self._check_in(HEAD_S)
        self.begun_bytes += n_bytes

    def data_received(self, data: bytes) -> None:
        if self.ignoring:
            return
        self.active_at = self.loop.time()
        if self.between:
            end = data.find(HEAD_END) + 4
            head = self.known_heads.get(data[:end])
            if head is not None and head.body_bytes == len(data) - end and self._is_free():
                request = self.cycle = self.on_lane = LaneRequest(self, head, True)  # type: ignore[assignment]
                request.start(data[end:])
                return
            self.parsed = data
        else:
            self.parsed = b""
        self.count_head = self.head_open or len(data) > HEAD_BYTES
        self.head_began = False
        self._parse(data)
        if not self.between:
            self._note_incomplete(len(data))
        if self.head_open:
            self.head_bytes = len(self.parsed) if self.head_began else self.head_bytes + len(data)
            if self.head_bytes > HEAD_BYTES:
                self._refuse(HEADERS_TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        """As uvicorn does, but for what comes in one piece behind a request to upgrade: uvicorn drops it. Nothing is
        upgraded here, so that these are further requests."""
        try:
            while data:
                try:
                    self.parser.feed_data(data)
                    return
                except httptools.HttpParserUpgrade as asked:
                    data = b"" if self.ignoring else data[asked.args[0] :]
        except httptools.HttpParserError:
            self._refuse(NOT_HTTP)

    def _is_free(self) -> bool:
        """Nothing is in flight, and answers go out as fast as they are made."""
        cycle = self.cycle
        return (cycle is None or cycle.response_complete) and not self.flow.write_paused and not self.client_ended

    def _remember_head(self, head: LaneHead) -> None:
        """The request that is complete now took the lane: was it all of one piece of data?"""
        end = len(self.parsed) - head.body_bytes
        if head.request_id:  # of this request only
            return
        if 4 < end <= KNOWN_HEAD_BYTES and self.parsed.find(HEAD_END) + 4 == end:
            if len(self.known_heads) >= KNOWN_HEADS:
                self.known_heads.clear()
            self.known_heads[self.parsed[:end]] = head

    # --- parser callbacks

    def on_message_begin(self) -> None:
        self.between = False
        self.url = b""
        self.headers = []
        self.head_open = self.head_began = True

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.head_open = False
        if self.ignoring or self.transport.is_closing():
            self.ignoring = True
            return
        if self.count_head and self._head_size() > HEAD_BYTES:
            self._refuse(HEADERS_TOO_LARGE)
            return
        if self.parser.should_upgrade() and any(name in BODY_HEADERS for name, _ in self.headers):
            self._refuse(NO_UPGRADE)  # the parser would leave the body unread, for another protocol
        elif (head := self._lane_head()) is not None:
            keep_alive = self.parser.get_http_version() != "1.0" and self.parser.should_keep_alive()
            request = LaneRequest(self, head, keep_alive and not self.ending)
            self.receiving = self.on_lane = request
            self.chunks.clear()
            self.cycle = request  # type: ignore[assignment]
        else:
            self._start_cycle()

    def _lane_head(self) -> LaneHead | None:
        """The head that has been read, when its request takes the lane."""
        path = self.paths.get(self.url)
        if path is None or self.parser.get_method() != b"POST" or not self._is_free():
            return None
        named = dict(self.headers)
        length = named.get(b"content-length", b"")
        begin = path.translator(named, int(length)) if length.isdigit() else None
        fits = (
            self.slow_headers.isdisjoint(named)
            and len(named) == len(self.headers) <= LANE_HEADERS
            and (self.keys is None or self.keys.allow(named.get(b"authorization", b"")))
        )
        if begin is None or not fits:
            return None
        request_id = usable_request_id(named[REQUEST_ID]) if REQUEST_ID in named else b""
        try:
            return LaneHead(path, begin, int(length), deadline_in(named), request_id)
        except Refusal:
            return None  # the app says why

    def _start_cycle(self) -> None:
        """uvicorn's way, from where its own `on_message_begin` would have begun."""
        url, headers = self.url, self.headers
        super().on_message_begin()
        self.url = url
        self.scope["headers"] = self.headers = headers
        self.scope["extensions"] = {CONNECTION: {"protocol": self}}
        self.expect_100_continue = any(n == b"expect" and v.lower() == b"100-continue" for n, v in headers)
        super().on_headers_complete()
        if self.ending:
            self.cycle.keep_alive = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self.active = cycle
        super()._start_asgi_task(cycle, app)

    def on_body(self, body: bytes) -> None:
        request = self.receiving
        if request is not None:
            self.chunks.append(body)
        elif self.ignoring:
            pass
        elif self.cycle.response_complete:
            self.discarded_bytes += len(body)
            if self.discarded_bytes > DISCARDED_BYTES:
                self.transport.close()
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self.between = not self.ignoring
        request = self.receiving
        if request is not None:
            self.receiving = None
            body = b"".join(self.chunks)
            self.chunks.clear()
            if request.keep_alive:
                self._remember_head(request.head)
            request.start(body)
        elif not self.ignoring:
            self.discarded_bytes = 0
            super().on_message_complete()
        self.parsed = b""

    # --- answers

    def on_response_complete(self) -> None:
        """As uvicorn's, without its timer: `_check_idle` watches."""
        self.server_state.total_requests += 1
        self.on_lane = None
        self.parting = None
        if self.transport.is_closing():
            return
        self.active_at = self.loop.time()
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)

    def write_answer(
        self, answer: Answer, version: str, keep_alive: bool, request_id: bytes = b"", *, linger: bool = False
    ) -> None:
        """Write what uvicorn would write for the same answer of the app; close when that was the last.

        With `linger` the client may still be sending: closing at once would make its kernel throw the answer away.
        """
        content = [STATUS_LINE[answer.status]]
        headers, body = written(answer, version, request_id)
        for name, value in (*self.server_state.default_headers, *headers):
            content += (name, b": ", value, b"\r\n")
        content.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
        content.append(body)
        self.transport.write(b"".join(content))
        if linger:
            if self.transport.can_write_eof():  # TLS has no half of a connection to end
                self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)
        elif not keep_alive:
            self.transport.close()

    def _refuse(self, answer: Answer) -> None:
        """Refuse what comes in from here on; requests before it are answered first."""
        if self.ignoring:  # the parser goes on in what has been refused
            return
        self.ignoring = True
        self.between = self.head_open = False
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and not cycle.more_body:
            cycle.keep_alive = False
            self.flow.pause_reading()
        elif self.pipeline:  # behind requests whose answers would come too late now
            self.transport.close()
        elif not self.transport.is_closing():
            self.receiving = None
            if isinstance(cycle, RequestResponseCycle) and not cycle.response_complete:
                cycle.disconnected = True  # what the app has to say to the part that came is not sent as well
                cycle.waiting_for_100_continue = False
                cycle.message_event.set()
            self.write_answer(answer, self.version, keep_alive=False, linger=True)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)


NOT_HTTP = problem("bad_request", "The request is not valid HTTP/1.1. The connection ends here.")
NO_UPGRADE = problem("bad_request", "This server speaks HTTP/1.1 only. Send the request without an Upgrade header.")
CUT_OFF = problem("bad_request", "The connection ended before the request did. Send all of its Content-Length.")
TIMED_OUT = problem("request_timeout", "The request did not come to its end in time.")
HEADERS_TOO_LARGE = problem(
    "headers_too_large", f"The request's target and headers are larger than {HEAD_BYTES} bytes together."
)
