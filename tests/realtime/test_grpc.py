"""The gRPC port, asked by grpcio: a real client, with our own message classes."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twofold
from tests.realtime import models
from tests.realtime.oip_asks import CONTENTS, ROW, same
from tests.realtime.serving import Served, serving

grpc = pytest.importorskip("grpc")
zttp = pytest.importorskip("zttp")
pytest.importorskip("google.protobuf")

from tests.realtime.grpc_calls import (  # noqa: E402
    SERVICE,
    Request,
    ask,
    call,
    described,
    infer_method,
    numbers,
    raw_request,
    refused,
)
from twofold._realtime.grpc import connection, methods  # noqa: E402
from twofold._realtime.grpc.calls import message_of  # noqa: E402
from twofold._realtime.grpc.connection import GrpcConnection  # noqa: E402
from twofold._realtime.grpc.messages import HEALTH  # noqa: E402
from twofold._realtime.http.access import Access, Keys  # noqa: E402
from twofold._realtime.logs import ACCESS  # noqa: E402


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(same, models.parity, models.many_at_once, grpc=True) as found:
        yield found


@pytest.fixture(scope="module")
def channel(served: Served) -> Iterator[Any]:
    with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as found:
        yield found


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


def test_a_model_or_version_that_is_not_there(channel: Any) -> None:
    for asked in ({"name": "nope"}, {"name": "parity", "version": "1"}):
        assert not call(channel, "ModelReady", **asked).ready
        with pytest.raises(grpc.RpcError) as caught:
            call(channel, "ModelMetadata", **asked)
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


def test_compressed_messages_do_not_hold_the_loop(channel: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []

    def watched(*arguments: Any) -> bytes:
        threads.append(threading.current_thread().name)
        return message_of(*arguments)

    monkeypatch.setattr(connection, "message_of", watched)
    ask(channel, numbers(*range(1000, 3000, 2)), compression=grpc.Compression.Gzip)
    ask(channel, numbers(7))
    assert threads[0] != "server"
    assert threads[1] == "server"


def test_the_id_of_a_call_comes_back(channel: Any) -> None:
    method = infer_method(channel)
    mine = (("x-request-id", "mine"),)
    _, done = method.with_call(numbers(7), metadata=mine, timeout=10)
    assert dict(done.initial_metadata())["x-request-id"] == "mine"
    _, done = method.with_call(numbers(7), timeout=10)
    assert "x-request-id" not in dict(done.initial_metadata())
    with pytest.raises(grpc.RpcError) as caught:
        method(numbers(66), metadata=mine, timeout=10)
    assert ("x-request-id", "mine") in (*caught.value.initial_metadata(), *caught.value.trailing_metadata())
    with pytest.raises(grpc.RpcError) as caught:
        method(numbers(66), timeout=10)
    made = dict((*caught.value.initial_metadata(), *caught.value.trailing_metadata()))["x-request-id"]
    assert len(made) == 16


def test_a_failing_call_is_logged_with_its_id(caplog: pytest.LogCaptureFixture) -> None:
    with (
        serving(models.parity, grpc=True) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel,
    ):
        assert refused(channel, numbers(66), metadata=(("x-request-id", "mine"),))[0] == "INTERNAL"
    assert [getattr(record, "request_id", "") for record in caplog.records] == ["mine"]


def test_the_access_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, ACCESS)
    with (
        serving(models.parity, grpc=True, access_log=True, access=Access(keys=Keys(["one"]))) as served,
        grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel,
    ):
        key = ("authorization", "Bearer one")
        ask(channel, numbers(7), metadata=(key, ("x-request-id", "mine")))
        refused(channel, numbers(13), metadata=(key,))
        refused(channel, numbers(7))
    said = [record.getMessage().split(maxsplit=1)[1] for record in caplog.records if record.name == ACCESS]
    first, second, third = said
    assert re.fullmatch(r'"gRPC /inference.GRPCInferenceService/ModelInfer" 0 ok [0-9.]+ ms [0-9]+ bytes mine', first)
    assert '" 3 invalid_argument ' in second
    assert '" 16 unauthenticated ' in third
    records = [record for record in caplog.records if record.name == ACCESS]
    assert [record.model for record in records] == ["parity", "parity", ""]  # type: ignore[attr-defined]


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
