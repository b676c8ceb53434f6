"""One gRPC connection: HTTP/2 by zttp, straight on the event loop, without a task or a scope for a call.

(Measured against connectrpc on uvicorn's HTTP/2 and grpcio, answering the same small message on one core: 20 µs of CPU
a call here, 150 there, 310 to 360 with grpcio.)
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import zttp

from twofold._realtime.grpc.arriving import Arriving
from twofold._realtime.grpc.calls import (
    CANCELLED,
    DEADLINE_EXCEEDED,
    INTERNAL,
    OK,
    UNAUTHENTICATED,
    UNIMPLEMENTED,
    Call,
    CallRefused,
    Method,
    head_of,
    message_of,
    status_trailers,
)
from twofold._realtime.http.terms import REQUEST_ID, usable_request_id

__all__ = ["ON_THE_WIRE_S", "GrpcConnection", "GrpcServerState"]

LOG = logging.getLogger("twofold")

ANSWER_HEAD: Final = [(b"content-type", b"application/grpc")]
ANSWER_END: Final = [(b"grpc-status", b"0")]
CONTENT_TYPE: Final = b"application/grpc"
COMPRESSED: Final = b"\1"  # how the body of such a message begins
AUTHORIZATION: Final = b"authorization"
OPEN: Final = (
    b"/grpc.health.v1.Health/",
    b"/inference.GRPCInferenceService/ServerLive",
    b"/inference.GRPCInferenceService/ServerReady",
)
NO_ERROR: Final = 0
REFUSED_STREAM: Final = 7  # the client sends the call again, elsewhere
ENHANCE_YOUR_CALM: Final = 11
NO_LAST_STREAM: Final = 2**31 - 1
CALLS_A_CONNECTION: Final = 2000
"""Then the client is told to open another one, which gRPC does without losing a call: zttp takes 4,096 requests on one
connection for a flood, and ends it."""
ON_THE_WIRE_S: Final = 0.1
MOST_PARKED_BYTES: Final = 64 << 20
"""Answers that a client does not read. Beyond it the connection ends."""


def _nobody() -> None:
    pass


def _head(call: Call) -> list[tuple[bytes, bytes]]:
    return [*ANSWER_HEAD, (REQUEST_ID, call.request_id)] if call.request_id else ANSWER_HEAD


class GrpcServerState:
    """What the connections of one server have in common."""

    def __init__(
        self,
        methods: Mapping[bytes, Method],
        *,
        max_message_bytes: int,
        idle_s: float,
        allow: Callable[[bytes], bool] | None = None,
        log: Callable[[Call, int, int, object, float], None] | None = None,
    ) -> None:
        """`allow`: whether a value of the header `authorization` may call (None: everybody may). Health is open.
        `log` is told of each call that has ended its status, bytes of its answer, who asked and the seconds it took."""
        self.methods = methods
        self.allow = allow
        self.log = log
        self.max_message_bytes = max_message_bytes
        self.idle_s = idle_s
        self.connections: set[GrpcConnection] = set()
        self.on_lost: Callable[[], None] = _nobody


class GrpcConnection(asyncio.Protocol):
    """Reads calls, hands their messages to the methods, writes the answers."""

    def __init__(self, state: GrpcServerState) -> None:
        self._state = state
        self._loop = asyncio.get_running_loop()
        self._http = zttp.Connection(zttp.SERVER, protocol=zttp.HTTP2)
        self._calls: dict[int, Call] = {}
        self._arriving = Arriving(state.max_message_bytes, self._late)
        self._flush_due = False
        self._last_accepted = NO_LAST_STREAM
        self._last_stream = 0
        self._n_calls = 0
        self._parked_bytes = 0
        self._active_at = self._loop.time()
        self._idle_timer: asyncio.TimerHandle | None = None
        self._closing = False
        self._transport: asyncio.Transport

    # ---- the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._state.connections.add(self)
        self._http.initiate_connection()
        self._flush()
        self._idle_timer = self._loop.call_later(self._state.idle_s, self._check_idle)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        self._state.connections.discard(self)
        self._state.on_lost()
        self._closing = True
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        self._arriving.end()
        calls, self._calls = self._calls, {}
        for call in calls.values():
            self._lose(call)

    def pause_writing(self) -> None:
        """The client does not read: neither do we, until it does."""
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._transport.resume_reading()

    def _check_idle(self) -> None:
        """Ends a connection that has nothing to do, or that keeps a call incomplete, for too long."""
        left_s = self._active_at + self._state.idle_s - self._loop.time()
        if any(call.ticket is not None or call.cancelled is not None for call in self._calls.values()):
            left_s = self._state.idle_s  # the server's turn
        if left_s > 0.001:
            self._idle_timer = self._loop.call_later(left_s, self._check_idle)
        elif not self._transport.is_closing():
            self._end()

    def _end(self, error_code: int = 0) -> None:
        if not self._transport.is_closing():
            self._http.close(error_code)
            self._flush()
            self._transport.close()

    # ---- draining

    def announce_end(self) -> None:
        """Tell the client to open its next calls elsewhere; what it has sent meanwhile is still answered."""
        if not self._transport.is_closing():
            self._http.close(0, NO_LAST_STREAM)
            self._flush()

    def end_when_idle(self) -> None:
        """Answer what is in flight, and close then."""
        if self._closing:
            return
        self._closing = True
        self._last_accepted = self._last_stream
        for call in list(self._calls.values()):
            if call.cancelled is not None:  # it would never end by itself
                call.cancelled()
                call.end()
        if not self._calls:
            self._end()
        elif not self._transport.is_closing():
            self._http.close(0, self._last_accepted)
            self._flush()

    @property
    def open_calls(self) -> int:
        return len(self._calls)

    def abort(self) -> None:
        self._transport.abort()

    # ---- what comes in

    def data_received(self, data: bytes) -> None:
        if self._transport.is_closing():
            return
        self._active_at = self._loop.time()
        http = self._http
        try:
            http.receive_data(data)
            while (event := http.next_event()) is not zttp.NEED_DATA:
                kind = type(event)
                if kind is zttp.Request:
                    self._begin(event)
                elif kind is zttp.Data:
                    self._take(event.stream_id, event.data)  # type: ignore[union-attr]
                elif kind is zttp.EndOfMessage:
                    self._start(event.stream_id)  # type: ignore[union-attr]
                elif kind is zttp.RstStream:
                    self._forget(event.stream_id)  # type: ignore[union-attr]
        except zttp.ProtocolError:
            self._flush()
            self._transport.close()
            return
        self._flush()
        self._arriving.watch()

    def _begin(self, request: Any) -> None:
        stream_id = request.stream_id
        if stream_id > self._last_accepted:
            self._http.stream(stream_id).reset(REFUSED_STREAM)
            return
        self._last_stream = stream_id
        self._n_calls += 1
        if self._n_calls == CALLS_A_CONNECTION:
            self.announce_end()
            self._loop.call_later(ON_THE_WIRE_S, self.end_when_idle)
        headers = dict(request.headers)
        if request.method != b"POST" or not headers.get(b"content-type", b"").startswith(CONTENT_TYPE):
            self._http.stream(stream_id).send_response(415, [(b"content-length", b"0")], end_stream=True)
            return
        request_id = usable_request_id(headers[REQUEST_ID]) if REQUEST_ID in headers else b""
        call = Call(self, stream_id, request.path, request_id, self._active_at)
        if self._state.log is not None:
            call.identify()
        try:
            self._admit(call, headers)
        except CallRefused as refused:
            call.fail(refused.status, str(refused))
            return
        self._calls[stream_id] = call
        self._arriving.add(call)
        if request.end_stream:
            self._start(stream_id)

    def _admit(self, call: Call, headers: Mapping[bytes, bytes]) -> None:
        """Read the head of a call. Raises CallRefused."""
        allow = self._state.allow
        if allow is not None and not call.path.startswith(OPEN) and not allow(headers.get(AUTHORIZATION, b"")):
            known = AUTHORIZATION in headers
            what = "The key is not one that this server knows" if known else "This server asks for a key"
            raise CallRefused(UNAUTHENTICATED, f"{what}: send authorization: Bearer KEY.")
        call.method = self._state.methods.get(call.path)
        if call.method is None:
            raise CallRefused(UNIMPLEMENTED, f"There is no method {call.path[:200].decode('latin-1')}.")
        call.encoding, left_s = head_of(headers)
        if left_s is not None:
            call.until = call.began + left_s

    def _take(self, stream_id: int, data: bytes) -> None:
        call = self._calls.get(stream_id)
        if call is None or call.ended:
            return
        try:
            self._arriving.take(call, data)
        except CallRefused as refused:
            call.fail(refused.status, str(refused))

    def _late(self, call: Call) -> None:
        call.fail(DEADLINE_EXCEEDED, "The request did not come to its end in time.")
        self._http.stream(call.stream_id).reset(NO_ERROR)  # what it still sends is not read

    def _start(self, stream_id: int) -> None:
        call = self._calls.get(stream_id)
        if call is None or call.ended:
            return
        body = self._arriving.leave(call)
        most = self._state.max_message_bytes
        if body[:1] == COMPRESSED:  # in a thread: how much comes out of it cannot be told
            unpacking = self._loop.run_in_executor(None, message_of, body, call.encoding, most)
            unpacking.add_done_callback(lambda done: self._ask(call, done.result))
        else:
            self._ask(call, lambda: message_of(body, call.encoding, most))

    def _ask(self, call: Call, read: Callable[[], bytes]) -> None:
        if call.ended:
            return
        assert call.method is not None
        try:
            message = read()
            left_s = None if call.until is None else max(call.until - self._loop.time(), 0.0)
            ticket = call.ticket = call.method(message, call, left_s)
            if ticket is not None:
                ticket.asker = call
        except CallRefused as refused:
            call.fail(refused.status, str(refused))
        except Exception:
            LOG.exception("a gRPC call could not be read", extra={"request_id": call.identify()})
            call.fail(INTERNAL, "The call could not be read; the server's log says why.")

    def _forget(self, stream_id: int) -> None:
        call = self._calls.pop(stream_id, None)
        if call is not None:
            self._arriving.leave(call)
            self._lose(call)
            self._end_if_done()

    def _lose(self, call: Call) -> None:
        call.lose()
        self._tell(call, CANCELLED, 0)

    # ---- what goes out

    def answer(self, call: Call, message: bytes) -> None:
        """End a call with its answer."""
        stream = self._http.stream(call.stream_id)
        stream.send_response(200, _head(call))
        stream.send_data(b"\0" + len(message).to_bytes(4, "big") + message)
        stream.end_message(ANSWER_END)
        self._answered(call, OK, len(message))

    def send(self, call: Call, message: bytes, *, first: bool) -> None:
        """One message of several."""
        stream = self._http.stream(call.stream_id)
        if first:
            stream.send_response(200, _head(call))
        stream.send_data(b"\0" + len(message).to_bytes(4, "big") + message)
        self._flush_soon()

    def end(self, call: Call) -> None:
        """End a call whose messages have been sent."""
        self._http.stream(call.stream_id).end_message(ANSWER_END)
        self._answered(call, OK, 0)

    def refuse(self, call: Call, status: int, message: str) -> None:
        """End a call with a status and no answer."""
        call.identify()
        head = [*_head(call), *status_trailers(status, message)]
        self._http.stream(call.stream_id).send_response(200, head, end_stream=True)
        self._answered(call, status, 0)

    def _answered(self, call: Call, status: int, n_bytes: int) -> None:
        self._calls.pop(call.stream_id, None)
        self._active_at = self._loop.time()
        if self._state.log is not None:
            self._tell(call, status, n_bytes)
        self._parked_bytes += n_bytes
        self._flush_soon()

    def _tell(self, call: Call, status: int, n_bytes: int) -> None:
        if (log := self._state.log) is not None:
            client = self._transport.get_extra_info("peername")
            log(call, status, n_bytes, client, self._loop.time() - call.began)

    def _flush_soon(self) -> None:
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush_and_close)

    def _flush_and_close(self) -> None:
        self._flush_due = False
        if self._transport.is_closing():
            return
        self._flush()
        if not self._http.has_pending_send():
            self._parked_bytes = 0
        elif self._parked_bytes > MOST_PARKED_BYTES:
            self._end(ENHANCE_YOUR_CALM)
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._closing and not self._calls and not self._http.has_pending_send():
            self._end()

    def _flush(self) -> None:
        data = self._http.data_to_send()
        if data:
            self._transport.write(data)
