"""Model processes: the model runs beside the server process, so that a slow call holds nothing up.

    server process: ProcessBackend           model process: answer_calls
    start_call(batch) ---- call frame -----> Runner.run
    done(result)      <--- answer frame ----

    start_stream(batch) -- stream frame ---> Runner.stream
    on_piece(piece)   <--- piece frames ----
    cancel()           --- cancel frame --->   looked at between two pieces
    on_end(failure)   <--- end frame -------   the generator is closed, the process is free

They meet at a socket that the server process listens on. A model process takes one call at a time. One that dies
costs its call (`worker_lost`); one that is not done when nobody waits for its answer, and no call should take so long,
is reported as hung, to be killed.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import selectors
import socket
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, Final, cast

import msgspec
import pyarrow as pa

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._realtime.frames import (
    CANCEL_FRAME,
    Buffer,
    FrameReader,
    answer_frame,
    call_frame,
    end_frame,
    hello_frame,
    piece_frame,
    read_answer,
    read_call,
    read_hello,
    read_piece,
    stream_frame,
)
from twofold._realtime.memory_kills import memory_kills
from twofold._realtime.streams import OnEnd, OnPiece, Running
from twofold._runner import Result, Runner, StreamBroke, failure_of

__all__ = ["Address", "ProcessBackend", "answer_calls", "warm_up_answers", "warm_up_calls"]

# {"path": …} of a Unix socket, or {"host": …, "port": …}; with "token", which a model process must show.
Address = dict[str, Any]

RECEIVED_AT_ONCE: Final = 1 << 18
JOINED_BYTES: Final = 1 << 16  # below, one copy costs less than two more system calls
LOST: Final = RowFailure("worker_lost", "the process that computed the row ended before it answered")
HUNG: Final = RowFailure("deadline_exceeded", "the model did not answer before the deadline")


class ProcessBackend:
    """The server process's side: the model processes that are there, and the calls they work on. See `Backend`.

    `on_count` is told how many model processes there are, whenever that changes; `on_hung` the id of a process whose
    call is over its deadline.
    """

    inline = False
    call_rows: int | None = None
    longest_s = 0.0

    def __init__(
        self, outputs: pa.Schema, token: str, *, on_count: Callable[[int], None], on_hung: Callable[[int], None]
    ) -> None:
        self.outputs = outputs
        self.token = token
        self.on_free: Callable[[], None] = lambda: None
        self.on_held: Callable[[int, float], None] = lambda _rows, _seconds: None
        self.on_hung = on_hung
        self._on_count = on_count
        self._listening: asyncio.Server | None = None
        self._connected: set[_ModelProcess] = set()
        self._joined: set[_ModelProcess] = set()
        self._idle: list[_ModelProcess] = []
        self._memory_kills = memory_kills()

    def ran_out_of_memory(self) -> bool:
        """Whether the kernel has killed a process for want of memory since this was last asked."""
        before, self._memory_kills = self._memory_kills, memory_kills()
        return self._memory_kills > before

    @property
    def free(self) -> int:
        return len(self._idle)

    @property
    def places(self) -> int:
        return len(self._joined)

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        # The one that was busy last: its caches are warm.
        self._idle[-1].start_call(batch, done, deadline)

    def start_stream(self, batch: Batch, on_piece: OnPiece, on_end: OnEnd) -> Running:
        return self._idle[-1].start_stream(batch, on_piece, on_end)

    async def listen(self, path: str | None) -> Address:
        """Let model processes join: at a Unix socket, or on a free loopback port where `path` is None."""
        loop = asyncio.get_running_loop()
        if path is None:
            self._listening = await loop.create_server(lambda: _ModelProcess(self), "127.0.0.1", 0)
            host, port = self._listening.sockets[0].getsockname()[:2]
            return {"host": host, "port": port, "token": self.token}
        self._listening = await loop.create_unix_server(lambda: _ModelProcess(self), path)
        return {"path": path, "token": self.token}

    async def close(self) -> None:
        """Let the model processes go; calls that are not answered are lost."""
        if self._listening is not None:
            self._listening.close()
        for process in list(self._connected):
            process.close()
        while self._connected:
            await asyncio.sleep(0)

    def connected(self, process: _ModelProcess) -> None:
        self._connected.add(process)

    def disconnected(self, process: _ModelProcess) -> None:
        self._connected.discard(process)

    def joined(self, process: _ModelProcess) -> None:
        self._joined.add(process)
        self._memory_kills = memory_kills()  # those from now on may be of ours
        self._on_count(len(self._joined))
        self.idle(process)
        self.on_free()

    def left(self, process: _ModelProcess) -> None:
        if process in self._joined:
            self._joined.discard(process)
            if process in self._idle:
                self._idle.remove(process)
            self._on_count(len(self._joined))
            self.on_free()

    def idle(self, process: _ModelProcess) -> None:
        self._idle.append(process)

    def busy(self, process: _ModelProcess) -> None:
        self._idle.remove(process)


class _ModelProcess(asyncio.Protocol):
    """The connection of one model process, and the call it works on."""

    def __init__(self, backend: ProcessBackend) -> None:
        self._backend = backend
        self._frames = FrameReader()
        self._pid = 0
        self._batch: Batch | None = None
        self._done: Callable[[Result], None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._stream: _Stream | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are none of asyncio's classes
        self._backend.connected(self)

    def close(self) -> None:
        self._transport.abort()

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        frame = _in_one(call_frame(batch))
        self._backend.busy(self)
        self._batch, self._done = batch, done
        self._timer = self._loop.call_later(max(deadline - time.monotonic(), self._backend.longest_s), self.hung)
        self._transport.writelines(frame)

    def start_stream(self, batch: Batch, on_piece: OnPiece, on_end: OnEnd) -> Running:
        frame = _in_one(stream_frame(batch))
        self._backend.busy(self)
        self._stream = _Stream(self, on_piece, on_end)
        self._transport.writelines(frame)
        return self._stream

    def cancel_stream(self) -> None:
        self._transport.resume_reading()  # it may hang in a piece that nobody reads
        self._transport.write(CANCEL_FRAME)

    def pause(self) -> None:
        self._transport.pause_reading()

    def resume(self) -> None:
        self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        try:
            for columns, rest in self._frames.feed(data):
                if self._pid:
                    if columns:
                        self._answered(columns, rest)
                    else:
                        self._streamed(rest)
                else:
                    self._joins(rest)
        except (ValueError, msgspec.MsgspecError, OSError):  # not one of ours (Arrow's errors are ValueErrors)
            self._transport.abort()

    def _joins(self, rest: memoryview) -> None:
        hello = read_hello(rest)
        if not hmac.compare_digest(hello.token, self._backend.token):
            raise ValueError("a wrong token")
        self._pid = hello.pid
        self._backend.joined(self)

    def _answered(self, columns: memoryview, rest: memoryview) -> None:
        if self._done is None:
            raise ValueError("an answer without a call")
        result = read_answer(columns, rest, self._backend.outputs)
        self._backend.idle(self)
        self._finish(result)

    def _streamed(self, rest: memoryview) -> None:
        stream = self._stream
        if stream is None:
            raise ValueError("a piece without a call")
        said = read_piece(rest)
        if said is None or isinstance(said, RowFailure):
            self._stream = None
            self._transport.resume_reading()
            self._backend.idle(self)
            stream.end(said)
        else:
            stream.on_piece(said)

    def _finish(self, result: Result) -> None:
        done = self._done
        assert done is not None
        if self._timer is not None:
            self._timer.cancel()
        self._batch = self._done = self._timer = None
        done(result)

    def hung(self) -> None:
        self._give_up(HUNG)
        self._transport.abort()
        self._backend.on_hung(self._pid)

    def _give_up(self, failure: RowFailure) -> None:
        self._backend.left(self)
        if self._batch is not None:
            nothing, n_rows = Batch.from_rows(self._backend.outputs, []), self._batch.n_rows
            exhausted = n_rows > 1 and failure is LOST and self._backend.ran_out_of_memory()
            failures = dict.fromkeys(range(n_rows), failure)
            self._finish(Result(nothing, failures, n_rows if exhausted else 0))
        elif self._stream is not None:
            stream, self._stream = self._stream, None
            stream.end(failure)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 (asyncio's signature)
        self._give_up(LOST)
        self._backend.disconnected(self)


class _Stream:
    """An answer in pieces that a model process makes. See `Running`."""

    def __init__(self, process: _ModelProcess, on_piece: OnPiece, on_end: OnEnd) -> None:
        self._process: _ModelProcess | None = process
        self.on_piece = on_piece
        self._on_end = on_end

    def end(self, failure: RowFailure | None) -> None:
        self._process = None
        self._on_end(failure)

    def cancel(self, *, hung: bool) -> None:
        if self._process is None:
            pass
        elif hung:
            self._process.hung()
        else:
            self._process.cancel_stream()

    def pause(self) -> None:
        if self._process is not None:
            self._process.pause()

    def resume(self) -> None:
        if self._process is not None:
            self._process.resume()


def warm_up_calls(inputs: pa.Schema) -> None:
    """In the server process, which has no model in it: make the first call as fast as the next."""
    call_frame(Batch.from_rows(inputs, []))


def warm_up_answers(outputs: pa.Schema) -> None:
    """In a model process: make the first answer as fast as the next."""
    answer_frame(Result(Batch.from_rows(outputs, []), {}))


def answer_calls(runner: Runner, address: Address, joined: Callable[[], None]) -> None:
    """The model process's side: join, and answer call after call until the server process goes away."""
    try:
        connection = _connect(address)
    except OSError:  # gone already: the parent will say where the next one is
        return
    schema = runner.signature.input_schema
    with connection:
        try:
            connection.sendall(hello_frame(address["token"], os.getpid()))
            joined()
            calls = _Calls(connection)
            for columns, rest in calls:
                batch = read_call(columns, schema)
                if rest:
                    connection.sendall(end_frame(_stream(runner, batch.rows()[0], calls)))
                    continue
                for piece in _in_one(answer_frame(runner.run(batch))):
                    connection.sendall(piece)
        except ConnectionError:
            pass


def _stream(runner: Runner, row: tuple[Any, ...], calls: _Calls) -> RowFailure | None:
    """Send the pieces of an answer until it is complete or taken back; then the model's generator is closed."""
    try:
        with closing(runner.stream(row)) as pieces:
            for piece in pieces:
                calls.connection.sendall(piece_frame(piece))
                if calls.taken_back():
                    break
    except StreamBroke as broke:
        return broke.failure
    except ConnectionError:
        raise
    except Exception as error:  # a `finally` of the model's
        return failure_of(error)
    return None


class _Calls:
    """The calls as they come over the connection, and whether the one that is being answered was taken back."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._frames = FrameReader()
        self._arrived: deque[tuple[memoryview, memoryview]] = deque()
        self._readable = selectors.DefaultSelector()
        self._readable.register(connection, selectors.EVENT_READ)

    def __iter__(self) -> Iterator[tuple[memoryview, memoryview]]:
        while self._arrived or self._receive():
            while self._arrived:
                columns, rest = self._arrived.popleft()
                if columns:  # else a stream is taken back that had just ended
                    yield columns, rest

    def _receive(self) -> bool:
        """Wait for more; False at the end of the connection."""
        data = self.connection.recv(RECEIVED_AT_ONCE)
        self._arrived.extend(self._frames.feed(data))
        return bool(data)

    def taken_back(self) -> bool:
        """Whether the server process wants no more of this answer, or has gone. Does not wait."""
        if not self._arrived and self._readable.select(0):
            return not self._receive() or bool(self._arrived)
        return bool(self._arrived)


def _in_one(pieces: list[Buffer]) -> list[Buffer]:
    return [b"".join(pieces)] if sum(map(len, pieces)) <= JOINED_BYTES else pieces


def _connect(address: Address) -> socket.socket:
    if "path" in address:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address["path"])
        except OSError:
            connection.close()
            raise
        return connection
    connection = socket.create_connection((address["host"], address["port"]))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection
