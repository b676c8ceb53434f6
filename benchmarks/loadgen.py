"""MLPerf's scenarios, unofficial: its LoadGen drives a Service in this process; the model runs in a process beside.

    python -m benchmarks.loadgen [--quick]

SingleStream: one query at a time. Offline: all at once. Server: queries fall due at random (Poisson); the largest
rate is sought at which the 99th percentile keeps a bound, 10 times and 50 times the time of one row. Beside it stands
the ceiling: what a queue with this model's t(n) could do at best (`benchmarks/queue_model.py`). The rate is sought with
runs of 10 s, and is the one that a run of 60 s confirms. Needs the package `mlcommons-loadgen`. Official runs are of
600 s: these figures are unofficial, and not MLPerf results.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.processes import HERE
from benchmarks.queue_model import Cost, ceiling, line_through, peak
from benchmarks.results import OURS, Goal, Results
from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._model import Model, load
from twofold._realtime.limits import Limits, Refused
from twofold._realtime.model_process import ProcessBackend, warm_up_calls
from twofold._realtime.service import Service
from twofold._runner import Result

MODEL = HERE / "dense.py"
MOST_ROWS = 64
SIZES = (1, 2, 4, 8, 16, 32, 64)
BOUNDS = (10, 50)
OF_CEILING = {10: 0.9}
OUTRIGHT = {50: 0.85}
SEEK_SHARE = 1 / 6  # of the length of a run, while the rate is sought
CONFIRMATIONS, LESS = 5, 0.98
TOKEN = "benchmark"
WORKER = """
import sys
from twofold._model import load
from twofold._realtime.model_process import answer_calls, warm_up_answers
from twofold._runner import Runner
runner = Runner(load(sys.argv[1]))
warm_up_answers(runner.signature.output_schema)
answer_calls(runner, {"path": sys.argv[2], "token": sys.argv[3]}, lambda: None)
"""

COSTS = """
import json, statistics, sys, time
from twofold._columns import Batch
from twofold._model import load
from twofold._runner import Runner
model = load(sys.argv[1])
runner, schema, found = Runner(model), model.signature.input_schema, {}
for size in map(int, sys.argv[3:]):
    batch, took, began = Batch.from_rows(schema, [model.example] * size), [], time.perf_counter()
    while len(took) < 5 or time.perf_counter() - began < float(sys.argv[2]):
        start = time.perf_counter()
        runner.run(batch)
        took.append(time.perf_counter() - start)
    found[size] = statistics.median(took[1:])
print(json.dumps(found))
"""


def measured_cost(seconds: float) -> dict[int, float]:
    """Seconds of a call of n rows, in a process as the Service's: the median of what fits into `seconds` for each n."""
    command = [sys.executable, "-c", COSTS, str(MODEL), str(seconds), *map(str, SIZES)]
    done = subprocess.run(command, env=one_thread(), stdout=subprocess.PIPE, check=True)
    return {int(size): took for size, took in json.loads(done.stdout).items()}


def one_thread() -> dict[str, str]:
    """The environment of the model's process."""
    return {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")}


class Sut:
    """The system under test: a Service with one model process, in an event loop of its own thread."""

    def __init__(self, model: Model, folder: Path) -> None:
        self._rows = _rows(model)
        self._model = model
        self._path = str(folder / "calls")
        self._ready = threading.Event()
        self._over = asyncio.Event()
        self.refused = self.failed = 0
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()
        assert self._ready.wait(60), "the model process has not joined"

    def _serve(self) -> None:
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(self._main())

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        signature = self._model.signature
        warm_up_calls(signature.input_schema)
        backend = ProcessBackend(signature.output_schema, TOKEN, on_count=self._count, on_hung=lambda _: None)
        limits = Limits(deadline_s=3600.0, batch_rows=MOST_ROWS)
        self.service = Service(signature, self._model.version, self._model.name, backend, limits=limits)
        await backend.listen(self._path)
        command = [sys.executable, "-c", WORKER, str(MODEL), self._path, TOKEN]
        with subprocess.Popen(command, env=one_thread()) as process:
            await self._over.wait()
            await backend.close()
            process.terminate()

    def _count(self, processes: int) -> None:
        if processes:
            self._ready.set()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    # What LoadGen calls, from its own threads

    def issue(self, samples: Sequence[Any]) -> None:
        asked = [(sample.id, sample.index) for sample in samples]
        self._loop.call_soon_threadsafe(self._submit, asked)

    def flush(self) -> None:
        pass

    def _submit(self, asked: Sequence[tuple[int, int]]) -> None:
        """One sample is a request of a row, many are a bulk request: columns that stay columns."""
        rows = self._rows
        if len(asked) == 1:
            query, index = asked[0]
            self._send(
                lambda: self.service.submit([rows[index]], lambda answers: self._answered([query], answers)), [query]
            )
            return
        queries = [query for query, _ in asked]
        batch = Batch.from_rows(self._model.signature.input_schema, [rows[index] for _, index in asked])
        self._send(lambda: self.service.submit_batch(batch, partial(self._done, queries)), queries)

    def _send(self, submit: Callable[[], object], queries: Sequence[int]) -> None:
        try:
            submit()
        except Refused:
            self.refused += len(queries)
            _complete(queries)

    def _answered(self, queries: Sequence[int], answers: Sequence[Any]) -> None:
        self.failed += sum(isinstance(answer, RowFailure) for answer in answers)
        _complete(queries)

    def _done(self, queries: Sequence[int], result: Result) -> None:
        self.failed += len(result.failures)
        _complete(queries)


def _complete(queries: Sequence[int]) -> None:
    import mlperf_loadgen as lg

    lg.QuerySamplesComplete([lg.QuerySampleResponse(query, 0, 0) for query in queries])


def _rows(model: Model) -> list[tuple[Any, ...]]:
    random = np.random.default_rng(3)
    return [model.signature.row(random.normal(size=16).astype(np.float32)) for _ in range(256)]


@dataclass(frozen=True)
class Run:
    """What LoadGen says of one run. `figure`: queries/s (Server, Offline) or the p90 in seconds (SingleStream)."""

    valid: bool
    figure: float
    p99_s: float


def run(sut: Sut, scenario: str, seconds: float, **settings: float) -> Run:
    """One run of LoadGen, whose summary is read from its log."""
    import mlperf_loadgen as lg

    asked = lg.TestSettings()
    asked.scenario = getattr(lg.TestScenario, scenario)
    asked.mode = lg.TestMode.PerformanceOnly
    asked.min_duration_ms = int(seconds * 1e3)
    asked.min_query_count = 1
    for name, value in settings.items():
        setattr(asked, name, value)
    sut.refused = sut.failed = 0
    with tempfile.TemporaryDirectory() as folder:
        output = lg.LogOutputSettings()
        output.outdir, output.copy_summary_to_stdout = folder, False
        log = lg.LogSettings()
        log.log_output, log.enable_trace = output, False
        made = lg.ConstructSUT(sut.issue, sut.flush)
        samples = lg.ConstructQSL(256, 256, lambda _: None, lambda _: None)
        lg.StartTestWithLogSettings(made, samples, asked, log)
        lg.DestroyQSL(samples)
        lg.DestroySUT(made)
        text = (Path(folder) / "mlperf_log_summary.txt").read_text()
    figures = {
        "Server": r"Completed samples per second\s*: ([\d.e+]+)",
        "Offline": r"Samples per second\s*: ([\d.e+]+)",
        "SingleStream": r"90.00 percentile latency \(ns\)\s*: (\d+)",
    }
    found = re.search(figures[scenario], text)
    p99 = re.search(r"99.00 percentile latency \(ns\)\s*: (\d+)", text)
    assert found, text
    assert p99, text
    figure = float(found[1]) / (1e9 if scenario == "SingleStream" else 1)
    valid = "Result is : VALID" in text and not (sut.refused or sut.failed)
    return Run(valid, figure, float(p99[1]) / 1e9)


AtRate = Callable[[float, float], Run]  # queries/s, seconds


def _told(found: Run, rate: float, seconds: float) -> Run:
    print(
        f"    {rate:8.1f}/s asked for {seconds:.0f} s, {found.figure:8.1f}/s done, p99 {found.p99_s * 1e3:.1f} ms, "
        f"{'valid' if found.valid else 'not valid'}",
        flush=True,
    )
    return found


def largest_rate(at_rate: AtRate, first: float, steps: int, seconds: float) -> float:
    """Queries/s of the largest rate whose run is valid, within 2 %, from a first guess on: sought with shorter runs,
    confirmed by a whole one. 0 where none is."""
    low, high, rate = 0.0, float("inf"), first
    for _ in range(steps):
        if _told(at_rate(rate, seconds * SEEK_SHARE), rate, seconds * SEEK_SHARE).valid:
            low = rate
        else:
            high = rate
        if high < 1.02 * low:
            break
        rate = (low + high) / 2 if high < float("inf") and low else rate * (1.05 if low else 0.93)
    rate = low or rate
    for _ in range(CONFIRMATIONS):
        found = _told(at_rate(rate, seconds), rate, seconds)
        if found.valid:
            return found.figure
        rate *= LESS
    return 0.0


@contextmanager
def _system(model: Model) -> Iterator[Sut]:
    with tempfile.TemporaryDirectory(prefix="twofold-") as folder:
        sut = Sut(model, Path(folder))
        try:
            yield sut
        finally:
            sut.close()


def scenarios(results: Results, seconds: float, steps: int) -> None:
    model = load(MODEL)
    measured = measured_cost(seconds / 30)
    cost: Cost = line_through(measured)
    one_row_s = measured[1]
    group = f"dense network, {one_row_s * 1e3:.1f} ms a row, one model process"
    shown = ", ".join(f"{size}: {took * 1e3:.2f}" for size, took in measured.items())
    results.notes.append(f"t(n) of the dense network in ms, rows: {shown}.")
    with _system(model) as sut:
        run(sut, "Offline", 1.0, offline_expected_qps=peak(cost, MOST_ROWS))  # the Service learns t(n)
        single = run(sut, "SingleStream", seconds, single_stream_expected_latency_ns=int(one_row_s * 1e9))
        results.add(group, "SingleStream, p90", "ms", {OURS: [single.figure * 1e3], "the model": [one_row_s * 1e3]})
        offline = run(sut, "Offline", seconds, offline_expected_qps=peak(cost, MOST_ROWS)).figure
        results.add(group, "Offline", "/s", {OURS: [offline], "ceiling": [peak(cost, MOST_ROWS)]})
        for factor in BOUNDS:
            bound_s = factor * one_row_s

            def at_rate(rate: float, run_s: float, bound_s: float = bound_s) -> Run:
                return run(
                    sut, "Server", run_s, server_target_qps=rate, server_target_latency_ns=int(bound_s * 1e9),
                    server_target_latency_percentile=0.99,
                )  # fmt: skip

            best = ceiling(bound_s, cost, MOST_ROWS)
            found = largest_rate(at_rate, best * offline / peak(cost, MOST_ROWS), steps, seconds)
            what = f"Server at a p99 of {factor}x one row"
            results.add(group, what, "/s", {OURS: [found], "ceiling": [best]})
            shares = {OURS: [found / offline], "ceiling": [best / peak(cost, MOST_ROWS)]}
            over = {factor: Goal(limit, "ceiling", at_least=True) for factor, limit in OF_CEILING.items()}
            outright = {factor: Goal(limit, at_least=True) for factor, limit in OUTRIGHT.items()}
            results.add(group, f"{what}, over Offline", "", shares, {**over, **outright}[factor])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="runs of 3 s, a few steps")
    quick = parser.parse_args().quick
    try:
        import mlperf_loadgen  # noqa: F401
    except ImportError:
        raise SystemExit("This needs LoadGen: pip install mlcommons-loadgen") from None
    results = Results.begin("loadgen", 1, quick=quick)
    began = time.perf_counter()
    scenarios(results, 3.0 if quick else 60.0, 3 if quick else 8)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
