"""What is no body of HTTP: messages of gRPC, and requests that are hardly HTTP."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.fuzzing.mutations import Sent, bent
from benchmarks.fuzzing.targets import oip_requests
from benchmarks.fuzzing.wire import ANSWERS_WITHIN_S

__all__ = ["GRPC_ALLOWED", "GrpcCaller", "malformed"]

GRPC_ALLOWED = frozenset(("OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED", "UNIMPLEMENTED"))
INFER = "/inference.GRPCInferenceService/ModelInfer"
METHODS = [INFER] * 12 + [
    "/inference.GRPCInferenceService/ModelMetadata",
    "/inference.GRPCInferenceService/ModelReady",
    "/inference.GRPCInferenceService/ServerLive",
    "/inference.GRPCInferenceService/ServerMetadata",
    "/grpc.health.v1.Health/Check",
    "/nobody/Knows",
]


class GrpcCaller:
    """Calls of all methods with valid, bent and random messages. Needs grpcio."""

    def __init__(self, address: str, inputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        import grpc

        from twofold._realtime.grpc.messages import message_class

        self._message = message_class("ModelInferRequest")
        self._inputs = inputs
        self._channel = grpc.insecure_channel(address)
        self._methods = {name: self._channel.unary_unary(name, bytes, bytes) for name in METHODS}

    def close(self) -> None:
        self._channel.close()

    def message(self, chance: random.Random) -> bytes:
        model = chance.choice(list(self._inputs))
        asked, contents = oip_requests(self._inputs[model], chance)
        tensors = [{key: tensor[key] for key in ("name", "datatype", "shape")} for tensor in asked["inputs"]]
        found: bytes = self._message(
            model_name=model, id=asked.get("id", ""), inputs=tensors, raw_input_contents=contents
        ).SerializeToString()
        for _ in range(chance.randrange(4)):
            found = bent(found, chance)
        return chance.randbytes(chance.randrange(60)) if chance.random() < 0.03 else found

    def ask(self, chance: random.Random) -> tuple[str, str, bytes]:
        """The status of a call, what it said, and the message that was sent."""
        method, message = chance.choice(METHODS), self.message(chance)
        ended = self._methods[method].future(message, timeout=ANSWERS_WITHIN_S)
        return ended.code().name, f"{method}: {ended.details()}", message

    def good(self) -> bool:
        """Is a request that is known to be good answered rightly?"""
        from twofold._realtime.grpc.messages import message_class

        tensors = [{"name": name, "datatype": kind, "shape": [1]} for name, kind in WINE]
        asked = self._message(model_name="wine", inputs=tensors)
        for tensor, value in zip(asked.inputs, (0.5, 2.0, 1999), strict=True):
            field = "fp64_contents" if isinstance(value, float) else "int64_contents"
            getattr(tensor.contents, field).append(value)
        answer = self._methods[INFER](asked.SerializeToString(), timeout=ANSWERS_WITHIN_S)
        found = message_class("ModelInferResponse").FromString(answer)
        return list(found.outputs[0].contents.fp64_contents) == [2001.5]


WINE = (("acid", "FP64"), ("sugar", "FP64"), ("year", "INT64"))


# ---- HTTP


def malformed(make: Callable[[random.Random], Sent], chance: random.Random) -> bytes:
    """The bytes of a connection: requests with spoilt heads, chunks, bodies that are cut off, several at once."""
    return b"".join(_one(make(chance), chance) for _ in range(chance.choice([1, 1, 2, 5])))


def _one(sent: Sent, chance: random.Random) -> bytes:
    match chance.randrange(9):
        case 0:
            return _chunked(sent, chance)
        case 1:  # less or more than it says
            said = chance.choice([0, 1, len(sent.body) + 1, len(sent.body) * 9, 2**31, 2**63, -1])
            return sent.written().replace(b"Content-Length: %d" % len(sent.body), b"Content-Length: %d" % said, 1)
        case 2:
            line = b"Content-Length: %d\r\n" % len(sent.body)
            more = [line + b"Content-Length: 1\r\n", line + b"Transfer-Encoding: chunked\r\n", b"", line * 2]
            return sent.written().replace(line, chance.choice(more), 1)
        case 3:
            size = chance.choice([100, 60_000, 70_000, 200_000])
            line = chance.choice(
                [b"X-Long: " + b"a" * size + b"\r\n", b"A: b\r\n" * (size // 6), b"X" * size + b": 1\r\n"]
            )
            return sent.written().replace(b"Host: fuzz\r\n", line, 1)
        case 4:
            line = b"POST " + chance.choice(TARGETS) + b" HTTP/" + chance.choice([b"1.1", b"1.0", b"2.0", b"0.9", b"9"])
            return chance.choice(METHODS_HTTP) + line.removeprefix(b"POST") + b"\r\nHost: fuzz\r\n\r\n"
        case 5:
            return chance.choice(JUNK)
        case 6:
            line = chance.choice(LINES)
            return sent.written().replace(b"Host: fuzz\r\n", b"Host: fuzz\r\n" + line + b"\r\n", 1)
        case 7:
            return sent.written()
        case _:
            whole = sent.written()
            head = whole.index(b"\r\n\r\n")
            return bent(bent(whole[:head], chance, 1.0), chance) + whole[head:]


def _chunked(sent: Sent, chance: random.Random) -> bytes:
    head = sent.written()[: -len(sent.body) or None].replace(b"Content-Length", b"X-Length")
    head = head.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n")
    size = chance.choice([1, 7, 1000])
    pieces = [sent.body[at : at + size] for at in range(0, min(len(sent.body), 2000), size)]
    extension = chance.choice([b"", b"", b";a=b", b";" + b"x" * 20_000])
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(piece), extension, piece) for piece in pieces)
    end = chance.choice(
        [b"0\r\n\r\n", b"0\r\n\r\n", b"", b"0\r\nTrailer: x\r\n\r\n", b"zz\r\n\r\n", b"ffffffffffffffff\r\n", b"-1\r\n"]
    )
    return head + chunks + end


TARGETS = [
    b"/predict",
    b"*",
    b"//",
    b"/%00",
    b"/%",
    b"http://x/predict",
    b"/\xff",
    b"/" + b"a" * 70_000,
    b"/models/%2e%2e/x",
]
TARGETS += [
    b"/openapi.json",
    b"/docs",
    b"/",
    b"/metrics",
    b"/v2/",
    b"/v1/models",
    b"/static/form.js",
    b"/static/../../x",
]
TARGETS += [
    b"/v2/models/mixed/versions/%ff/infer",
    b"x:443",
    b"http://[/",
    b"/predict?" + b"&" * 5000,
    b"/predict#x",
    b"",
]
METHODS_HTTP = [
    b"GET",
    b"HEAD",
    b"PUT",
    b"OPTIONS",
    b"TRACE",
    b"CONNECT",
    b"DELETE",
    b"PATCH",
    b"PRI",
    b"BREW",
    b"",
    b"post",
]
JUNK = [
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + b"\0" * 80,
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\0" * 100,
    b"\r\n" * 50,
]
JUNK += [
    b"GET /",
    b"GET / HTTP/1.1\r\nHost",
    b" ",
    b"\xff" * 1000,
    b"HTTP/1.1 200 OK\r\n\r\n",
    b"POST /predict HTTP/1.1\n\n{}",
]
LINES = [
    b"Connection: close",
    b"Connection: upgrade\r\nUpgrade: websocket",
    b"Upgrade: h2c",
    b"Expect: 100-continue",
    b" folded",
]
LINES += [
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: identity",
    b"Host: other",
    b"X:\0",
    b"Content-Length : 1",
]
LINES += [
    b"Connection: keep-alive, close",
    b": nameless",
    b"noColon",
    b"X: " + b"\x80" * 10,
    b"Te: trailers\r\nTrailer: X",
]
LINES += [b"Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\nUpgrade: websocket\r\nConnection: Upgrade"]
