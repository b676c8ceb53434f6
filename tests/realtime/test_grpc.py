"""The gRPC port, asked by grpcio: a real client, with our own message classes."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twofold
from tests.realtime import models
from tests.realtime.serving import Served, serving
from tests.realtime.test_oip import CONTENTS, ROW, same

grpc = pytest.importorskip("grpc")
zttp = pytest.importorskip("zttp")
pytest.importorskip("google.protobuf")

from twofold._realtime.grpc import connection, methods  # noqa: E402
from twofold._realtime.grpc.calls import CallRefused, message_of, timeout_s  # noqa: E402
from twofold._realtime.grpc.connection import GrpcConnection  # noqa: E402
from twofold._realtime.grpc.messages import HEALTH, message_class  # noqa: E402
from twofold._realtime.http.access import Access, Keys  # noqa: E402

Request = message_class("ModelInferRequest")
SERVICE = "inference.GRPCInferenceService"


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(same, models.parity, models.many_at_once, grpc=True) as found:
        yield found


@pytest.fixture(scope="module")
def channel(served: Served) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as found:
        yield found


def serialized(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def infer_method(channel: Any) -> Any:
    return channel.unary_unary(f"/{SERVICE}/ModelInfer", serialized, message_class("ModelInferResponse").FromString)


def call(channel: Any, method_name: str, of: str = SERVICE, /, **options: Any) -> Any:
    package = of.rpartition(".")[0]
    kind = {"Check": "HealthCheck", "Watch": "HealthCheck"}.get(method_name, method_name)
    request, answer = message_class(f"{kind}Request", package), message_class(f"{kind}Response", package)
    make = channel.unary_stream if method_name == "Watch" else channel.unary_unary
    method = make(f"/{of}/{method_name}", serialized, answer.FromString)
    timeout = options.pop("timeout", 10)
    return method(request(**options), timeout=timeout)


def ask(channel: Any, request: Any, **options: Any) -> Any:
    answer = message_class("ModelInferResponse")
    method = channel.unary_unary(
        f"/{SERVICE}/ModelInfer", lambda message: message.SerializeToString(), answer.FromString
    )
    return method(request, timeout=options.pop("timeout", 10), **options)


def refused(channel: Any, request: Any, **options: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        ask(channel, request, **options)
    return caught.value.code().name, caught.value.details()


def described(name: str, n_rows: int = 1) -> dict[str, Any]:
    return {"name": name, "datatype": ROW[name]["datatype"], "shape": [n_rows, *ROW[name]["shape"][1:]]}


def raw_request(n_rows: int = 1, **more: Any) -> Any:
    return Request(
        model_name="same",
        inputs=[described(name, n_rows) for name in CONTENTS],
        raw_input_contents=[content * n_rows for content in CONTENTS.values()],
        **more,
    )


def numbers(*values: int, model: str = "parity", name: str = "number", **more: Any) -> Any:
    tensor = {"name": name, "datatype": "INT64", "shape": [len(values)], "contents": {"int64_contents": values}}
    return Request(model_name=model, inputs=[tensor], **more)


TYPED: dict[str, dict[str, Any]] = {
    "flag": {"bool_contents": [True]},
    "small": {"int64_contents": [7]},
    "share": {"fp64_contents": [0.5]},
    "text": {"bytes_contents": ["héllo".encode()]},
    "data": {"bytes_contents": [b"\0\1"]},
    "day": {"bytes_contents": [b"2026-01-02"]},
    "at": {"bytes_contents": [b"2026-01-02T03:04:05Z"]},
    "kind": {"bytes_contents": [b"a"]},
    "tags": {"bytes_contents": [b"x", b"y"]},
    "grid": {"int64_contents": [1, 2, 3, 4]},
    "maybe": {"bytes_contents": [b"3"]},
    "perhaps": {"fp64_contents": [float("nan")]},
    "more": {"bytes_contents": [b'{"score":1.5,"label":"l"}']},
    "extra": {"int64_contents": [6]},
}


def test_server_and_model_say_what_they_are(served: Served, channel: Any) -> None:
    assert call(channel, "ServerLive").live
    assert call(channel, "ServerReady").ready
    assert call(channel, "ModelReady", name="parity").ready
    found = call(channel, "ServerMetadata")
    assert (found.name, found.version, list(found.extensions)) == ("twofold", twofold.__version__, [])
    found = call(channel, "ModelMetadata", name="same", version=served.catalog["same"].version)
    assert list(found.versions) == [served.catalog["same"].version]
    shown = {tensor.name: (tensor.datatype, list(tensor.shape)) for tensor in found.inputs}
    assert shown == {name: (sent["datatype"], [-1] * len(sent["shape"])) for name, sent in ROW.items()}
    assert found.inputs == found.outputs


@pytest.mark.parametrize("method", ["ModelReady", "ModelMetadata"])
def test_a_model_or_version_that_is_not_there(channel: Any, method: str) -> None:
    for asked in ({"name": "nope"}, {"name": "parity", "version": "1"}):
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, method, **asked)
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("n_rows", [1, 2])
def test_raw_contents_answer_raw(served: Served, channel: Any, n_rows: int) -> None:
    for long_id in ("", "7", "x" * 300):
        found = ask(channel, raw_request(n_rows, id=long_id))
        version = served.catalog["same"].version
        assert (found.model_name, found.model_version, found.id) == ("same", version, long_id)
        shown = [(tensor.name, tensor.datatype, list(tensor.shape)) for tensor in found.outputs]
        assert shown == [tuple(described(name, n_rows).values()) for name in CONTENTS]
        assert list(found.raw_output_contents) == [content * n_rows for content in CONTENTS.values()]
        assert not any(tensor.HasField("contents") for tensor in found.outputs)


@pytest.mark.parametrize("n_rows", [1, 2])
def test_typed_contents_answer_typed(channel: Any, n_rows: int) -> None:
    inputs = [
        {**described(name, n_rows), "contents": {field: values * n_rows for field, values in contents.items()}}
        for name, contents in TYPED.items()
    ]
    request = Request(model_name="same", inputs=inputs)
    found = ask(channel, request)
    assert not found.raw_output_contents
    for sent, got in zip(request.inputs, found.outputs, strict=True):
        assert (got.name, got.datatype, list(got.shape)) == (sent.name, sent.datatype, list(sent.shape))
        assert str(got.contents) == str(sent.contents)


def test_outputs_are_chosen(channel: Any) -> None:
    wanted = [{"name": "text"}, {"name": "flag"}]
    for request in (raw_request(outputs=wanted), raw_request(2, outputs=wanted)):
        found = ask(channel, request)
        assert [tensor.name for tensor in found.outputs] == ["text", "flag"]
    assert list(ask(channel, raw_request(outputs=wanted)).raw_output_contents) == [CONTENTS["text"], b"\1"]


def test_calls_with_one_row_share_a_batch(served: Served, channel: Any) -> None:
    method = infer_method(channel)
    before = served.catalog["parity"].counted
    calls = [method.future(numbers(n), timeout=10) for n in range(100, 400)]
    for n, future in enumerate(calls, 100):
        assert list(future.result().outputs[0].contents.bytes_contents) == [b"Odd" if n % 2 else b"Even"]
    after = served.catalog["parity"].counted
    assert after["calls"] - before["calls"] < after["rows"] - before["rows"] == 300


def test_a_connection_is_renewed_without_losing_a_call(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[GrpcConnection] = []
    made = GrpcConnection.connection_made

    def count(connection: GrpcConnection, transport: Any) -> None:
        opened.append(connection)
        made(connection, transport)

    monkeypatch.setattr(connection, "CALLS_A_CONNECTION", 50)
    monkeypatch.setattr(GrpcConnection, "connection_made", count)
    with (
        serving(models.parity, grpc=True) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel,
    ):
        method = infer_method(channel)
        for first in range(100, 300, 20):
            calls = [method.future(numbers(n), timeout=10) for n in range(first, first + 20)]
            for n, future in enumerate(calls, first):
                assert list(future.result().outputs[0].contents.bytes_contents) == [b"Odd" if n % 2 else b"Even"]
            time.sleep(0.02)
    assert len(opened) > 1


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (numbers(7, model="nope"), "NOT_FOUND", "There is no model 'nope'"),
        (numbers(7, model_version="1"), "NOT_FOUND", "version"),
        (numbers(7, name="x"), "INVALID_ARGUMENT", "The model has no input 'x'. Its inputs: 'number'."),
        (Request(model_name="parity"), "INVALID_ARGUMENT", "The request lacks the input 'number'."),
        (numbers(7, outputs=[{"name": "x"}]), "INVALID_ARGUMENT", "The model has no output 'x'"),
        (numbers(1, 13), "INVALID_ARGUMENT", "1 of 2 rows failed (row 1); row 1: thirteen brings bad luck"),
        (numbers(66), "INTERNAL", "sixty-six is too much for me"),
        (numbers(7, raw_input_contents=[b"\0" * 8]), "INVALID_ARGUMENT", "has contents, and raw_input_contents, too"),
        (numbers(7, raw_input_contents=[b"", b""]), "INVALID_ARGUMENT", "There are 1 inputs and 2 raw_input_contents"),
        (
            Request(model_name="parity", inputs=[{"name": "number", "datatype": "INT64", "shape": [1]}]),
            "INVALID_ARGUMENT",
            "The input 'number' has 0 elements; its shape [1] takes 1.",
        ),
        (
            Request(
                model_name="parity",
                inputs=[
                    {"name": "number", "datatype": "INT64", "shape": [1], "contents": {"fp32_contents": [1.0]}},
                ],
            ),
            "INVALID_ARGUMENT",
            "The elements of 'number' stand in fp32_contents, not in int64_contents.",
        ),
        (
            numbers(7, parameters={"timeout": {"string_param": "soon"}}),
            "INVALID_ARGUMENT",
            "The parameter timeout is a whole number",
        ),
    ],
)
def test_what_does_not_fit(channel: Any, request_: Any, code: str, said: str) -> None:
    found, message = refused(channel, request_)
    assert found == code
    assert said in message


def test_what_is_no_message_and_no_method(channel: Any) -> None:
    def raw(path: str, message: bytes) -> str:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(path, lambda m: m, lambda m: m)(message, timeout=10)
        return str(caught.value.code().name)

    assert raw(f"/{SERVICE}/ModelInfer", b"\xff\xff") == "INVALID_ARGUMENT"
    assert raw(f"/{SERVICE}/ModelMetadata", b"\xff\xff") == "INVALID_ARGUMENT"
    assert raw("/grpc.health.v1.Health/Check", b"\xff\xff") == "INVALID_ARGUMENT"
    assert raw(f"/{SERVICE}/ModelConfig", b"") == "UNIMPLEMENTED"


def test_a_message_text_that_is_not_ascii_comes_through(channel: Any) -> None:
    assert "'é%\\n'" in refused(channel, numbers(7, name="é%\n"))[1]


def test_compressed_messages_are_read(channel: Any) -> None:
    for kind in (grpc.Compression.Gzip, grpc.Compression.Deflate):
        found = ask(channel, numbers(*range(1000, 3000, 2)), compression=kind)
        assert set(found.outputs[0].contents.bytes_contents) == {b"Even"}


def test_the_deadline_of_the_call_is_the_deadline(served: Served, channel: Any) -> None:
    waiting = numbers(3000, model="many_at_once", name="milliseconds")
    began = time.monotonic()
    assert refused(channel, waiting, timeout=0.1)[0] == "DEADLINE_EXCEEDED"
    assert time.monotonic() - began < 2
    with_parameter = numbers(
        3000, model="many_at_once", name="milliseconds", parameters={"timeout": {"int64_param": 50_000}}
    )
    assert refused(channel, with_parameter)[0] in ("DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED")


def test_a_message_that_is_too_large() -> None:
    with (
        serving(models.parity, grpc=True, max_body_bytes=100_000) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel,
    ):
        assert len(ask(channel, numbers(*range(1000, 11_000, 2))).outputs[0].contents.bytes_contents) == 5000
        many = numbers(*range(2**40, 2**40 + 100_000))
        assert refused(channel, many) == (
            "RESOURCE_EXHAUSTED",
            "The message is larger than 100000 bytes, which --max-body allows.",
        )
        bomb = numbers(*[2**40] * 100_000)
        assert refused(channel, bomb, compression=grpc.Compression.Gzip)[0] == "RESOURCE_EXHAUSTED"
        assert ask(channel, numbers(7)).outputs[0].contents.bytes_contents == [b"Odd"]


def test_keys() -> None:
    with (
        serving(models.parity, grpc=True, access=Access(keys=Keys(["one", "two"]))) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel,
    ):
        for metadata in ((), (("authorization", "Bearer three"),)):
            assert refused(channel, numbers(7), metadata=metadata)[0] == "UNAUTHENTICATED"
        assert ask(channel, numbers(7), metadata=(("authorization", "Bearer two"),)).outputs
        assert call(channel, "Check", f"{HEALTH}.Health").status == 1
        assert call(channel, "ServerLive").live  # as /v2/health/live and /v2/health/ready are open
        assert call(channel, "ServerReady").ready
        with pytest.raises(grpc.RpcError, match="asks for a key"):
            call(channel, "ServerMetadata")


def test_tls(tmp_path: Path) -> None:
    trustme = pytest.importorskip("trustme")
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    known = grpc.ssl_channel_credentials(authority.cert_pem.bytes())
    with (
        serving(models.parity, grpc=True, access=Access(certificate=str(tmp_path / "server.pem"))) as served,
        grpc.secure_channel(f"127.0.0.1:{served.grpc_port}", known) as channel,
    ):
        assert ask(channel, numbers(7)).outputs


def test_health(served: Served, channel: Any) -> None:
    health = f"{HEALTH}.Health"
    for service in ("", SERVICE):
        assert call(channel, "Check", health, service=service).status == 1
    with pytest.raises(grpc.RpcError) as caught:
        call(channel, "Check", health, service="x")
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    watch = call(channel, "Watch", health)
    assert next(watch).status == 1
    parity = served.catalog["parity"]
    parity.ready = False
    try:
        assert call(channel, "Check", health).status == 2
        assert next(watch).status == 2
    finally:
        parity.ready = True
    assert next(watch).status == 1
    watch.cancel()
    unknown = call(channel, "Watch", health, service="x")
    assert next(unknown).status == 3
    unknown.cancel()


def test_draining_answers_what_is_in_flight_and_ends_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "WATCHED_EVERY_S", 0.02)
    with serving(models.many_at_once, grpc=True) as served:
        channel = grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}")
        method = infer_method(channel)
        watch = call(channel, "Watch", f"{HEALTH}.Health")
        assert next(watch).status == 1
        slow = method.future(numbers(600, model="many_at_once", name="milliseconds"), timeout=10)
        time.sleep(0.1)
        served.stop()
        assert slow.result().outputs[0].contents.bytes_contents == [b"done"]
        assert [found.status for found in watch] == [2]
        assert watch.code() == grpc.StatusCode.OK
        served.thread.join(5)
        assert not served.thread.is_alive()
        channel.close()


# ---- HTTP/2, byte by byte


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


def test_a_cancelled_call_leaves_the_queue(served: Served, client: Client) -> None:
    service = served.catalog["many_at_once"]
    message = numbers(*[5000] * 100, model="many_at_once", name="milliseconds").SerializeToString()
    stream = client.request(framed(message))
    deadline = time.monotonic() + 5
    while not service.rows_waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert service.rows_waiting
    stream.reset()
    client.flush()
    while service.rows_waiting and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not service.rows_waiting


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
