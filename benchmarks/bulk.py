"""Bulk requests of 1,000 rows against the model's own time for them.

    python -m benchmarks.bulk [--quick]

One server process (`--inline`) of the fraud model, one connection. *The model* is `InferenceSession.run` on the same
1,000 rows in this process, with one thread, interleaved with the requests. The figure of a request is the CPU time of
the server process, read from the operating system around all requests of a round.
"""

from __future__ import annotations

import argparse
import http.client
import io
import time
from collections.abc import Callable

import numpy as np
import onnxruntime as ort
import pyarrow as pa

from benchmarks.processes import FRAUD
from benchmarks.results import OURS, Goal, Results
from benchmarks.servers import check_equal, running
from twofold._compare.usage import tree_cpu_s

ROWS = 1000
MODEL = "the model"


def bodies(features: np.ndarray) -> dict[str, tuple[str, bytes]]:
    """The same rows in each form that this model reads."""
    file, sink = io.BytesIO(), pa.BufferOutputStream()
    np.save(file, features)
    table = pa.table({"features": pa.FixedSizeListArray.from_arrays(pa.array(features.reshape(-1)), features.shape[1])})
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return {
        ".npy": ("application/x-npy", file.getvalue()),
        "Arrow": ("application/vnd.apache.arrow.stream", sink.getvalue().to_pybytes()),
    }


def own_time(session: ort.InferenceSession, features: np.ndarray, calls: int) -> float:
    """Microseconds of CPU of one call."""
    began = time.process_time()
    for _ in range(calls):
        session.run(None, {"features": features})
    return (time.process_time() - began) / calls * 1e6


def asker(port: int, kind: str, body: bytes) -> Callable[[], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def ask() -> bytes:
        connection.request("POST", "/predict", body, {"Content-Type": kind})
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(content.decode())
        return content

    return ask


def values_of(form: str, content: bytes) -> list[float]:
    """The predictions of an answer."""
    if form == ".npy":
        found = np.load(io.BytesIO(content), allow_pickle=False)
        return [float(value) for value in (found[found.dtype.names[0]] if found.dtype.names else found).reshape(-1)]
    with pa.ipc.open_stream(content) as stream:
        table = stream.read_all()
    return [float(value) for value in table.column("prediction").to_pylist()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one short round")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    results = Results.begin("bulk", 1 if quick else 5, quick=quick)
    requests = 100 if quick else 400
    features = np.random.default_rng(1).normal(size=(ROWS, 30)).astype(np.float32)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(FRAUD), options, providers=["CPUExecutionProvider"])
    given = bodies(features)
    own: list[float] = []
    found: dict[str, list[float]] = {form: [] for form in given}
    one = b'{"features": [' + b",".join([b"0.5"] * 30) + b"]}"
    with running(OURS, "fraud", one) as server:
        ask = {form: asker(server.port, kind, body) for form, (kind, body) in given.items()}
        answers = session.run(None, {"features": features})[0].reshape(-1).tolist()
        check_equal({MODEL: answers, **{form: values_of(form, ask[form]()) for form in given}})
        for _ in range(results.rounds):
            own.append(own_time(session, features, requests))
            for form in given:
                ask[form]()
                before = tree_cpu_s(server.pid) or 0.0
                for _ in range(requests):
                    ask[form]()
                found[form].append(((tree_cpu_s(server.pid) or 0.0) - before) / requests * 1e6)
    for form, cpu in found.items():
        results.add(
            "fraud model, bulk", f"server CPU of {ROWS:,} rows, {form}", "µs", {OURS: cpu, MODEL: own}, Goal(1.2, MODEL)
        )
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
