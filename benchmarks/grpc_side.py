"""gRPC for the benchmarks: the least service on the same engine, and calls from one client.

python -m benchmarks.grpc_side PORT     each call answers its own message; prints "ready" when it listens
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import uvloop

__all__ = ["answer_of", "first_answers", "infer_requests", "load"]

METHOD = "/inference.GRPCInferenceService/ModelInfer"
CONNECTIONS, EACH = 4, 16
RUN_CALLS = 4000  # of one run of h2load: fewer than after which a connection is renewed, which it does not do


def echo(message: bytes, unit: Any, deadline_s: float | None) -> None:  # noqa: ARG001
    unit.succeed(message)


async def serve(port: int) -> None:
    from twofold._realtime.grpc.connection import GrpcConnection, GrpcServerState

    state = GrpcServerState({METHOD.encode(): echo}, max_message_bytes=1 << 20, idle_s=600)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", port))
        server = await asyncio.get_running_loop().create_server(lambda: GrpcConnection(state), sock=listening)
        print("ready", flush=True)
        await server.serve_forever()


def infer_requests(model: str, rows: Sequence[Sequence[float]]) -> list[bytes]:
    """A request for each row of float32 `features`, its contents raw."""
    from twofold._realtime.grpc.messages import message_class

    request = message_class("ModelInferRequest")
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, len(rows[0])]}
    return [
        request(
            model_name=model, inputs=[tensor], raw_input_contents=[struct.pack(f"<{len(row)}f", *row)]
        ).SerializeToString()
        for row in rows
    ]


def answer_of(message: bytes) -> float:
    """The only value of a raw answer."""
    from twofold._realtime.grpc.messages import message_class

    contents = message_class("ModelInferResponse").FromString(message).raw_output_contents[0]
    value: float = struct.unpack("<f", contents)[0]
    return value


def first_answers(port: int, messages: Sequence[bytes]) -> list[bytes]:
    """Asked by grpcio, one after the other."""
    import grpc

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary(METHOD, bytes, bytes)
        return [call(message, timeout=30) for message in messages]


def load(port: int, messages: Sequence[bytes], seconds: float) -> int:
    """Calls for so long by h2load, 64 at once over four connections; in each short run the message is another. How
    many calls there were."""
    calls, until = 0, time.perf_counter() + seconds
    with tempfile.NamedTemporaryFile() as file:
        while time.perf_counter() < until:
            message = messages[calls // RUN_CALLS % len(messages)]
            file.seek(0)
            file.write(b"\0" + len(message).to_bytes(4, "big") + message)
            file.flush()
            how = ["-n", str(RUN_CALLS), "-c", str(CONNECTIONS), "-m", str(EACH), "-d", file.name]
            headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
            url = f"http://127.0.0.1:{port}{METHOD}"
            done = subprocess.run(["h2load", *how, *headers, url], capture_output=True, text=True)
            if f"{RUN_CALLS} succeeded" not in done.stdout:
                raise SystemExit(f"h2load says: {done.stdout}{done.stderr}")
            calls += RUN_CALLS
    return calls


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
