"""A server in a thread, and a client that sends exactly the bytes it is told to."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import msgspec
import uvloop

import twofold
from twofold._realtime.backends import InlineBackend, WaitingBackend
from twofold._realtime.catalog import Catalog
from twofold._realtime.http.access import ANYBODY, Access
from twofold._realtime.http.server import serve_http
from twofold._realtime.limits import Limits
from twofold._realtime.service import Service
from twofold._runner import Runner

VERSION = "0123456789ab"
MADE_UP = rb"(?<=x-request-id: )[0-9a-f]{16}(?=\r)|(?<=\"request_id\":\")[0-9a-f]{16}(?=\")"


@dataclass
class Served:
    port: int
    service: Service
    catalog: Catalog
    stop: Callable[[], None]
    thread: threading.Thread
    grpc_port: int = 0


@contextmanager
def serving(
    target: Any,
    *others: Any,
    loop: str = "uvloop",
    fast_lane: bool = True,
    access: Access = ANYBODY,
    keep_alive_s: float = 75.0,
    drain_s: float = 10.0,
    grpc: bool = False,
    around: Sequence[Any] = (),
    access_log: bool = False,
    **options: Any,
) -> Iterator[Served]:
    """Models served over HTTP (with `grpc`, over gRPC too) on free ports, in a thread with an event loop of its own."""
    loaded = [twofold.load(one) for one in (target, *others)]
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    listening_grpc = socket.create_server(("127.0.0.1", 0)) if grpc else None
    grpc_port = listening_grpc.getsockname()[1] if listening_grpc else 0
    ready = threading.Event()
    made: list[Any] = []

    async def main() -> None:
        catalog = Catalog(_service(model, at, options) for at, model in enumerate(loaded))
        stop = asyncio.Event()
        made[:] = [catalog, asyncio.get_running_loop(), stop]
        also = []
        if listening_grpc is not None:
            from twofold._realtime.grpc.server import serve_grpc

            also.append(
                serve_grpc(catalog, listening_grpc, stop=stop, drain_s=drain_s, access=access, access_log=access_log)
            )
        await asyncio.gather(
            *also,
            serve_http(
                catalog,
                {"http": listening},
                stop=stop,
                on_ready=ready.set,
                keep_alive_s=keep_alive_s,
                drain_s=drain_s,
                fast_lane=fast_lane,
                access=access,
                around=around,
            ),
        )

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
            runner.run(main())

    thread = threading.Thread(target=run, name="server")
    thread.start()
    assert ready.wait(10)
    catalog, event_loop, event = made

    def stop() -> None:
        if thread.is_alive():
            event_loop.call_soon_threadsafe(event.set)

    try:
        yield Served(port, catalog.default, catalog, stop, thread, grpc_port)
    finally:
        stop()
        thread.join(20)
        assert not thread.is_alive()


def _service(model: Any, at: int, options: dict[str, Any]) -> Service:
    runner = Runner(model)
    backend = WaitingBackend(runner) if model.is_async or model.threads or model.streams else InlineBackend(runner)
    version = f"{int(VERSION, 16) + at:012x}"
    return Service(
        model.signature,
        version,
        model.name,
        backend,
        limits=Limits(**options),
        example=model.example,
        streams=model.streams,
        chat=model.chat,
    )


def post(body: bytes | str, *headers: str, path: str = "/predict", version: str = "1.1", method: str = "POST") -> bytes:
    """The bytes of a request as most clients send it; further headers as given."""
    body = body.encode() if isinstance(body, str) else body
    named = [header.partition(":")[0].lower() for header in headers]
    lines = [f"{method} {path} HTTP/{version}", "Host: test"]
    if "content-type" not in named:
        lines.append("Content-Type: application/json")
    if not {"content-length", "transfer-encoding"} & set(named):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, *(h for h in headers if not h.endswith(":")), "", ""]).encode("latin-1") + body


def get(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: test", *headers, "", ""]).encode("latin-1")


LAST = get("/health/live", "Connection: close")  # after it the server ends the connection


def chunked(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"


def connect(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=30)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def talk(port: int, *pieces: bytes, half_close: bool = False) -> bytes:
    """Send the pieces, one after the other, and read until the server ends the connection. Dates are blanked, and so
    are the ids of requests that the server made up."""
    with connect(port) as sock:
        for at, piece in enumerate(pieces):
            if at:
                time.sleep(0.02)
            sock.sendall(piece)
        if half_close:
            with suppress(OSError):  # the server was first to end it
                sock.shutdown(socket.SHUT_WR)
        return re.sub(MADE_UP, b"-" * 16, re.sub(rb"\r\ndate: [^\r]*", b"\r\ndate: -", everything(sock)))


def everything(sock: socket.socket) -> bytes:
    data = b""
    try:
        while piece := sock.recv(1 << 16):
            data += piece
    except ConnectionResetError:
        pass
    return data


@dataclass
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])


def replies(data: bytes) -> list[Reply]:
    """The complete answers in these bytes (none of them to HEAD)."""
    found = []
    while data:
        head, end, rest = data.partition(b"\r\n\r\n")
        assert end, data
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", "0"))
        assert len(rest) >= length, data
        found.append(Reply(int(lines[0].split()[1]), headers, rest[:length]))
        data = rest[length:]
    return found


def ask(sock: socket.socket, request: bytes) -> Reply:
    """Send one request on a connection and read its answer."""
    sock.sendall(request)
    return answer(sock)


def answer(sock: socket.socket) -> Reply:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(1 << 16)
        assert piece, f"the connection ended after {data!r}"
        data += piece
    length = int(re.search(rb"\r\ncontent-length: (\d+)", data)[1])  # type: ignore[index]
    missing = data.index(b"\r\n\r\n") + 4 + length - len(data)
    while missing > 0:
        piece = sock.recv(missing)
        assert piece, "the connection ended within a body"
        data += piece
        missing -= len(piece)
    (reply,) = replies(data)
    return reply


def ask_once(port: int, request: bytes) -> Reply:
    with connect(port) as sock:
        return ask(sock, request)
