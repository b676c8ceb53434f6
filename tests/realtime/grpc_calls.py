"""Calls to the gRPC port, by grpcio with our own message classes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.realtime.oip_asks import CONTENTS, ROW

grpc = pytest.importorskip("grpc")
zttp = pytest.importorskip("zttp")
pytest.importorskip("google.protobuf")

from twofold._realtime.grpc.messages import message_class  # noqa: E402

Request = message_class("ModelInferRequest")
SERVICE = "inference.GRPCInferenceService"


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
