"""The gRPC port, byte by byte: HTTP/2 frames, and the parts that read calls."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.realtime import models
from tests.realtime.serving import Served, serving
from twofold._realtime.counters import OUTCOMES

grpc = pytest.importorskip("grpc")
zttp = pytest.importorskip("zttp")
pytest.importorskip("google.protobuf")

from tests.realtime.grpc_calls import SERVICE, numbers  # noqa: E402
from twofold._realtime.grpc import arriving  # noqa: E402
from twofold._realtime.grpc.calls import CallRefused, message_of, timeout_s  # noqa: E402
from twofold._realtime.grpc.messages import message_class  # noqa: E402


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(models.parity, models.many_at_once, grpc=True) as found:
        yield found


class Client:
    """An HTTP/2 client that does what it is told."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.http = zttp.Connection(zttp.CLIENT, protocol=zttp.HTTP2)
        self.http.initiate_connection()
        self.events: list[Any] = []

    def request(self, body: bytes | None, *headers: tuple[bytes, bytes], method: bytes = b"POST") -> Any:
        named = dict(headers)
        given = [(b"host", b"x"), (b"content-type", named.pop(b"content-type", b"application/grpc"))]
        path = named.pop(b"path", f"/{SERVICE}/ModelInfer".encode())
        stream = self.http.send_request(method, path, b"2", [*given, *named.items()])
        if body is not None:
            stream.send_data(body)
            stream.end_message()
        self.flush()
        return stream

    def flush(self) -> None:
        self.sock.sendall(self.http.data_to_send())

    def until(self, kind: type) -> Any:
        while True:
            event = self.http.next_event()
            if event is zttp.NEED_DATA:
                self.flush()
                data = self.sock.recv(1 << 16)
                assert data, "the connection has ended"
                self.http.receive_data(data)
                continue
            self.events.append(event)
            if isinstance(event, kind):
                return event


@pytest.fixture
def client(served: Served) -> Iterator[Client]:
    found = Client(served.grpc_port)
    yield found
    found.sock.close()


def framed(message: bytes, *, compressed: int = 0) -> bytes:
    return bytes((compressed,)) + len(message).to_bytes(4, "big") + message


def status_of(client: Client) -> int:
    response = client.until(zttp.Response)
    return int(dict(response.headers).get(b"grpc-status", b"-1"))


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 13),
        (b"\0\0\0", 13),
        (framed(b"x")[:-1], 13),
        (framed(b"") + b"y", 13),
        (framed(b"", compressed=1), 12),
        (framed(b"\xff\xff"), 3),
    ],
)
def test_bodies_that_are_no_message(client: Client, body: bytes, status: int) -> None:
    client.request(body)
    assert status_of(client) == status


def test_requests_that_are_no_grpc(client: Client) -> None:
    client.request(b"{}", (b"content-type", b"application/json"))
    assert client.until(zttp.Response).status_code == 415
    client.request(framed(b""), method=b"PUT")
    assert client.until(zttp.Response).status_code == 415
    client.request(framed(b""), (b"grpc-timeout", b"soon"))
    assert status_of(client) == 3
    client.request(framed(numbers(7).SerializeToString()))
    assert client.until(zttp.Response).status_code == 200


def test_what_is_no_http2(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.grpc_port), timeout=10) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 10)
        while sock.recv(1 << 16):
            pass


def test_a_call_in_single_bytes(client: Client) -> None:
    stream = client.request(None)
    for byte in framed(numbers(8).SerializeToString()):
        stream.send_data(bytes((byte,)))
        client.flush()
    stream.end_message()
    client.flush()
    answer = client.until(zttp.Data).data
    assert message_class("ModelInferResponse").FromString(answer[5:]).outputs[0].contents.bytes_contents == [b"Even"]


def test_a_request_that_does_not_come_to_its_end(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arriving, "BODY_S", 0.2)
    client = Client(served.grpc_port)
    slow = client.request(None)
    client.request(framed(numbers(7).SerializeToString()))
    assert client.until(zttp.Response).stream_id != slow.stream_id  # others are answered meanwhile
    response = client.until(zttp.Response)
    assert response.stream_id == slow.stream_id
    assert dict(response.headers)[b"grpc-status"] == b"4"
    assert client.until(zttp.RstStream).stream_id == slow.stream_id
    client.request(framed(numbers(7).SerializeToString()))
    assert client.until(zttp.Response).status_code == 200
    client.sock.close()


def test_a_cancelled_call_leaves_the_queue(served: Served, client: Client) -> None:
    service = served.catalog["many_at_once"]
    message = numbers(*[5000] * 100, model="many_at_once", name="milliseconds").SerializeToString()
    stream = client.request(framed(message))
    deadline = time.monotonic() + 5
    while not service.rows_waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert service.rows_waiting
    gone = OUTCOMES.index("client_gone")
    before = service.counters.cells[gone]
    stream.reset()
    client.flush()
    while service.rows_waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not service.rows_waiting
    assert service.counters.cells[gone] == before + 1


def test_a_connection_that_goes_away_leaves_the_queue(served: Served, client: Client) -> None:
    service = served.catalog["many_at_once"]
    message = numbers(*[5000] * 100, model="many_at_once", name="milliseconds").SerializeToString()
    client.request(framed(message))
    deadline = time.monotonic() + 5
    while not service.rows_waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert service.rows_waiting
    client.sock.close()
    while service.rows_waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not service.rows_waiting


def test_idle_and_incomplete_connections_end() -> None:
    from twofold._realtime.grpc.server import GrpcServer

    with serving(models.parity) as served:
        listening = socket.create_server(("127.0.0.1", 0))
        port = listening.getsockname()[1]
        found: list[GrpcServer] = []
        loop: list[asyncio.AbstractEventLoop] = []

        async def start() -> None:
            found.append(GrpcServer(served.catalog, idle_s=0.3))
            await found[0].start(listening)

        def run() -> None:
            loop.append(asyncio.new_event_loop())
            loop[0].run_until_complete(start())
            loop[0].run_forever()
            loop[0].run_until_complete(found[0].drain(1))
            loop[0].close()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            idle, incomplete = Client(port), Client(port)
            idle.flush()
            incomplete.request(None)
            for client in (idle, incomplete):
                client.until(zttp.GoAway)
                client.sock.close()
            with socket.create_connection(("127.0.0.1", port), timeout=10) as silent:
                while silent.recv(1000):
                    pass
        finally:
            loop[0].call_soon_threadsafe(loop[0].stop)
            thread.join(10)


# ---- parts


@pytest.mark.parametrize(
    ("text", "seconds"), [("1H", 3600), ("2M", 120), ("3S", 3), ("100m", 0.1), ("5u", 5e-6), ("7n", 7e-9)]
)
def test_timeouts(text: str, seconds: float) -> None:
    assert timeout_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "1", "m", "-1m", "1.5S", "123456789S", "1s"])
def test_timeouts_that_are_none(text: str) -> None:
    with pytest.raises(CallRefused):
        timeout_s(text)


def test_compressed_bodies() -> None:
    packed = gzip.compress(b"x" * 1000)
    assert message_of(framed(packed, compressed=1), b"gzip", 1000) == b"x" * 1000
    for body, most in ((packed, 999), (packed[:-9], 1000), (b"nonsense", 1000)):
        with pytest.raises(CallRefused):
            message_of(framed(body, compressed=1), b"gzip", most)


def test_contents_of_every_number() -> None:
    from twofold._realtime.oip.tensors import DTYPES, tensor_of
    from twofold._signature import Bool, Field, Float, Int, Tensor

    kinds: list[Any] = [
        Bool(),
        *(Int(b, signed=s) for b in (8, 16, 32, 64) for s in (True, False)),
        *map(Float, (16, 32, 64)),
    ]
    for kind in kinds:
        spec = tensor_of(Field("x", Tensor(kind, (2,))))
        array = spec.from_bytes(b"\1" * 4 * DTYPES[spec.datatype].itemsize, [2, 2])
        assert not isinstance(array, list)
        assert (array.shape, array.dtype) == ((2, 2), spec.dtype)
