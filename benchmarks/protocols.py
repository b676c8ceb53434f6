"""What a request costs by each protocol, and in a model process: server CPU, the fraud model, 64 in flight.

    python -m benchmarks.protocols [--quick]

One server process each, all processes of a side counted. *Plain* is `POST /predict` of a row, inline, with everything
on that is on by default; *by hand* the ceiling of `benchmarks.realtime`. *Echo and model* is a service that answers
each message with itself on the same HTTP/2 engine, and what one row of the model costs beside it; the load of both
gRPC servers comes from h2load.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
import onnxruntime as ort

from benchmarks import grpc_side
from benchmarks.processes import FRAUD
from benchmarks.realtime import CONNECTIONS, bodies_of, load
from benchmarks.results import OURS, Goal, Results
from benchmarks.servers import HAND, Server, check_equal, free_port, predictions, running, serving
from twofold._compare.usage import tree_cpu_s

PLAIN, OIP, GRPC, ISOLATED, ECHO = "plain", "OIP JSON", "gRPC", "model process", "echo and model"
GROUP = "one request by protocol"
NAME = "fraud"


def oip_bodies(rows: list[list[float]]) -> list[bytes]:
    tensor = {"name": "features", "datatype": "FP32", "shape": [1, len(rows[0])]}
    return [json.dumps({"inputs": [{**tensor, "data": row}]}).encode() for row in rows]


@contextmanager
def echoing() -> Iterator[tuple[int, int]]:
    """The bare service: its port and process."""
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.grpc_side", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield port, process.pid
        finally:
            process.terminate()


def grpc_us(port: int, pid: int, messages: list[bytes], seconds: float) -> float:
    """Microseconds of server CPU a call."""
    before = tree_cpu_s(pid) or 0.0
    calls = grpc_side.load(port, messages, seconds)
    return ((tree_cpu_s(pid) or 0.0) - before) / calls * 1e6


def model_us(rows: np.ndarray) -> float:
    """Microseconds of CPU of the model's call for one row."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(FRAUD), options, providers=["CPUExecutionProvider"])
    ones = [rows[at : at + 1] for at in range(len(rows))]
    for row in ones:
        session.run(None, {"features": row})
    began = time.process_time()
    for row in ones * 5:
        session.run(None, {"features": row})
    return (time.process_time() - began) / len(ones) / 5 * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two short rounds")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    rounds, seconds = (2, 1.0) if quick else (5, 3.0)
    results = Results.begin("protocols", rounds, quick=quick)
    with_grpc = shutil.which("h2load") is not None
    bodies = bodies_of("fraud")
    rows = [json.loads(body)["features"] for body in bodies]
    oip, messages = oip_bodies(rows), grpc_side.infer_requests(NAME, rows)
    with ExitStack() as stack:
        grpc_port = free_port()
        how = ["--inline", "--workers", "1", "--grpc-port", str(grpc_port)]
        ours = stack.enter_context(serving(f"{NAME}={FRAUD}", bodies[0], *how))
        hand = stack.enter_context(running(HAND, "fraud", bodies[0]))
        apart = stack.enter_context(serving(f"{NAME}={FRAUD}", bodies[0], "--isolate", "--workers", "1"))
        echo_port, echo_pid = stack.enter_context(echoing())
        infer = replace(ours, path=f"/v2/models/{NAME}/infer")
        sides: dict[str, tuple[Server, list[bytes]]] = {
            PLAIN: (ours, bodies), HAND: (hand, bodies), ISOLATED: (apart, bodies), OIP: (infer, oip),
        }  # fmt: skip
        answers = grpc_side.first_answers(grpc_port, messages[:20])
        found = {side: predictions(server, asked[:20]) for side, (server, asked) in sides.items()}
        check_equal({**found, GRPC: [grpc_side.answer_of(answer) for answer in answers]})
        cpu: dict[str, list[float]] = {side: [] for side in (*sides, GRPC, ECHO)}
        for _ in range(rounds):
            for side, (server, asked) in sides.items():
                cpu[side].append(load(server, asked, CONNECTIONS, seconds)[0])
            if with_grpc:
                cpu[GRPC].append(grpc_us(grpc_port, ours.pid, messages, seconds))
                bare = grpc_us(echo_port, echo_pid, messages, seconds)
                cpu[ECHO].append(bare + model_us(np.array(rows, dtype=np.float32)))
    add = results.add
    add(GROUP, "plain JSON, inline: server CPU", "µs", {OURS: cpu[PLAIN], HAND: cpu[HAND]}, Goal(1.5, HAND))
    add(GROUP, "plain JSON, in a model process", "µs", {OURS: cpu[ISOLATED], HAND: cpu[HAND]}, Goal(4, HAND))
    add(GROUP, "Open Inference Protocol, JSON", "µs", {OURS: cpu[OIP], PLAIN: cpu[PLAIN]}, Goal(1.5, PLAIN))
    if with_grpc:
        add(GROUP, "Open Inference Protocol, gRPC", "µs", {OURS: cpu[GRPC], ECHO: cpu[ECHO]}, Goal(1.3, ECHO))
    else:
        results.notes.append("gRPC was not measured: h2load (Debian: nghttp2-client) is not on PATH.")
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
