"""Where time and memory go: in one request, stage by stage, and in one row of a batch.

    python -m benchmarks.breakdown [--quick]

Each stage runs alone over the same data, in this process and thread, many times; the figure is the least of the
rounds' means, as whatever else runs can only add. A request is taken through the real protocol class with everything
but a socket; what the kernel, the event loop and the idle waits add is in `benchmarks.realtime`.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from benchmarks.batch import KEPT, MAKE
from benchmarks.processes import EVEN, FRAUD, TWOFOLD, run, workplace
from benchmarks.realtime import bodies_of
from benchmarks.results import Results
from benchmarks.servers import OURS, running
from twofold._batch.answer import Answered, Answerer
from twofold._batch.executors.base import ModelFacts, facts_of
from twofold._batch.part import PartWriter
from twofold._batch.plan import identities, make_work, plan_splits
from twofold._batch.sources import Piece, expand_inputs, read_split, scan_inputs
from twofold._batch.stores import open_store
from twofold._batch.work import SplitTask, Work
from twofold._columns import Batch
from twofold._compare.usage import tree
from twofold._model import load
from twofold._options import BatchOptions
from twofold._profile import Profile
from twofold._realtime.backends import InlineBackend
from twofold._realtime.batcher import Batcher
from twofold._realtime.catalog import Catalog
from twofold._realtime.counters import Counters
from twofold._realtime.http.app import lane_paths, make_app
from twofold._realtime.http.lane import LaneProtocol
from twofold._realtime.limits import Limits
from twofold._realtime.service import Service
from twofold._runner import Result, Runner

GATHERED = (1, 32)  # rows in a call: one client alone; about what 64 busy connections give
MODELS = (("fraud model", FRAUD, "fraud"), ("even or odd", EVEN, "even"))


def least(rounds: int, n: int, work: Callable[[], object]) -> float:
    """Seconds of one of the `n` items that `work` handles: the best round."""
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        best = min(best, (time.perf_counter() - began) / n)
    return best


class _Sink:
    """A transport without a socket."""

    def write(self, data: bytes) -> None: ...
    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...
    def get_extra_info(self, name: str) -> Any:
        return ("127.0.0.1", 1) if name in ("peername", "sockname") else None


class _Echo:
    """A backend that has its answers already: what is left is the gathering."""

    inline, call_rows, free, places = True, None, 1, 1

    def __init__(self, outputs: Batch) -> None:
        self._result = Result(outputs)
        self.outputs = outputs.schema
        self.on_free: Callable[[], None] = lambda: None
        self.on_held: Callable[[int, float], None] = lambda _rows, _seconds: None
        self.longest_s = 0.0

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:  # noqa: ARG002
        done(self._result)


async def _through_the_lane(service: Service, requests: list[bytes], together: int, rounds: int) -> float:
    """Seconds of a request from its bytes to the bytes of its answer, `together` in a tick of the loop."""
    catalog = Catalog([service])
    config = uvicorn.Config(make_app(catalog), ws="none", lifespan="off", log_config=None, server_header=False)
    config.load()
    state = ServerState()
    state.default_headers = [(b"date", b"Thu, 01 Jan 2026 00:00:00 GMT")]
    make: Any = LaneProtocol.bound_to(lane_paths(catalog), service.version)
    connections = [make(config=config, server_state=state, app_state={}) for _ in range(together)]
    for connection in connections:
        connection.connection_made(_Sink())
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for first in range(0, len(requests), together):
            for connection, data in zip(connections, requests[first : first + together], strict=False):
                connection.data_received(data)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        best = min(best, (time.perf_counter() - began) / len(requests))
    for connection in connections:
        connection.connection_lost(None)
    return best


async def _gathering(backend: Any, schema: Any, rows: list[tuple[Any, ...]], rounds: int) -> float:
    """Seconds of a row from `submit` to its answer, where the call itself costs nothing; all rows in one tick."""
    batcher = Batcher(backend, schema, backend.outputs, limits=Limits(), profile=Profile(), counters=Counters())

    def done(answers: object) -> None: ...

    texts = [b""] * len(rows)
    best = float("inf")
    for _ in range(rounds):
        began = time.perf_counter()
        for row in rows:
            batcher.submit([row], lambda _: texts, done, 30.0)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        best = min(best, (time.perf_counter() - began) / len(rows))
    return best


def request(results: Results, title: str, model_path: Path, kind: str, rounds: int) -> None:
    import uvloop

    model = load(str(model_path))
    runner, signature = Runner(model), model.signature
    bodies = bodies_of(kind)[:960]
    head = b"POST /predict HTTP/1.1\r\nHost: localhost:8000\r\nContent-Type: application/json\r\n"
    requests = [b"%bContent-Length: %d\r\n\r\n%b" % (head, len(body), body) for body in bodies]
    names = [field.name for field in signature.inputs]
    rows = [signature.decode_row(body) for body in bodies]
    each = partial(least, rounds, len(bodies))

    def columns(piece: list[tuple[Any, ...]]) -> Batch:
        batch = Batch.from_rows(signature.input_schema, piece)
        if model.form == "columns":
            for name in names:
                batch.numpy(name)
        return batch

    for together in GATHERED:
        service = Service(signature, model.version, model.name, InlineBackend(runner))
        pieces = [rows[first : first + together] for first in range(0, len(rows), together)]
        ready = [columns(piece) for piece in pieces]
        outputs = [runner.run(batch).outputs for batch in ready]
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
            whole = loop.run(_through_the_lane(service, requests, together, rounds))
            echo = _Echo(outputs[0])
            gather = loop.run(_gathering(echo, signature.input_schema, pieces[0], 20 * rounds))
        # Each call has other rows: the same again and again would teach the processor which branches they take.
        stages = {
            "decode: JSON to a typed row": each(lambda: [signature.decode_row(body) for body in bodies]),
            "gather: queue, a tick of the loop, hand out": gather,
            "columns for the model": each(partial(_each, columns, pieces)),
            "model": each(partial(_each, runner.run, ready)),
            "encode: answer to JSON": each(partial(_each, signature.encode_rows, outputs)),
        }
        stages["HTTP: parse, write, keep-alive"] = max(0.0, whole - sum(stages.values()))
        stages["all, without sockets"] = whole
        group = f"one request, {title}"
        _note(results, group, "µs", f"{together} row{'s' if together > 1 else ''} a call", stages, 1e6)


def _each(work: Callable[[Any], object], items: list[Any]) -> None:
    for item in items:
        work(item)


def _note(results: Results, group: str, unit: str, side: str, stages: dict[str, float], scale: float) -> None:
    for what, seconds in stages.items():
        found = next((m for m in results.measures if m.group == group and m.what == what), None)
        if found is None:
            results.add(group, what, unit, {side: [seconds * scale]})
        else:
            found.sides[side] = [float(f"{seconds * scale:.4g}")]
            print(f"{group}: {what} ({unit}), {side}: {seconds * scale:.3g}")


class _Silent:
    def calling(self, *_: object) -> None: ...
    def called(self, *_: object) -> None: ...


def batch(results: Results, rows: int, folder: Path) -> None:
    source = folder / "payments.parquet"
    run([sys.executable, str(MAKE), str(source), str(rows)])
    model = load(str(FRAUD))
    for keep, side in ((tuple(KEPT.split(",")), "4 columns kept"), (None, "34 columns kept")):
        store = open_store(f"{folder}/parts/", BatchOptions())
        scan = scan_inputs(expand_inputs(str(source)))
        options = BatchOptions(map={"features": "f0..f29"}, keep=keep)
        assert model.ref is not None
        work = make_work(scan, "payments", ModelFacts.of(facts_of(model), model.ref), options, store)
        inputs = identities(expand_inputs(str(source)))
        tasks = plan_splits(scan, 131_072, options, "", inputs, store.format)
        best: dict[str, float] = {}
        for _ in range(results.rounds):
            store.sweep([], work.output_schema)
            for what, seconds in _one_pass(work, tasks, Runner(model), rows).items():
                best[what] = min(best.get(what, seconds), seconds)
        best["all"] = sum(best.values())
        _note(results, "one row of a batch, fraud model", "ns", side, best, 1e9)


def _one_pass(work: Work, tasks: list[SplitTask], runner: Runner, rows: int) -> dict[str, float]:
    """Seconds a row of each stage, one after the other."""
    spent: dict[str, float] = {}
    answerer, writer = Answerer(runner, work.shape, _Silent()), PartWriter(work, lambda _: None)

    def timed(what: str, call: Callable[..., Any], *args: Any) -> Any:
        began = time.perf_counter()
        found = call(*args)
        spent[what] = spent.get(what, 0.0) + time.perf_counter() - began
        return found

    for task in tasks:
        pieces = iter(read_split(task.file, work.input_schema, work.read_columns, work.shape.piece_rows))
        piece: Piece | None
        while (piece := timed("read: Parquet to columns", next, pieces, None)) is not None:
            read = timed("coerce: each column checked", work.reading.read, piece)
            found: Answered = timed("model, and its input as one array", answerer.answer, task, piece, read)
            timed("encode, write: Parquet, fsync", writer.take, found)
        timed("encode, write: Parquet, fsync", writer.take, task)
    return {what: seconds / rows for what, seconds in spent.items()}


def memory(results: Results, rows: int, folder: Path) -> None:
    """What each process holds: its private part, and its share of what it has in common with others."""
    for title, kind, body in (
        ("fraud model", "fraud", bodies_of("fraud")[0]),
        ("even or odd", "even", bodies_of("even")[0]),
    ):
        with running(OURS, kind, body, workers=2) as server:
            time.sleep(1.5)
            parent = _own_mb(server.pid)
            workers = [_own_mb(pid) for pid in tree(server.pid)[1:]]
        results.add("memory", f"serve, {title}: parent", "MB", {OURS: [parent]})
        results.add("memory", f"serve, {title}: each of two workers", "MB", {OURS: workers})
    source, output = folder / "payments.parquet", folder / "memory"
    command = [*TWOFOLD, "batch", str(FRAUD), str(source), f"{output}/", "--map", "features=f0..f29", "--keep", KEPT]
    peaks: dict[str, float] = {}
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(OSError):
                found = tree(process.pid)
                named = {"parent": found[:1], "worker, 2 threads that compute": found[1:]}
                for name, pids in named.items():
                    peaks[name] = max(peaks.get(name, 0.0), sum(map(_own_mb, pids)))
            time.sleep(0.05)
    for name, peak in peaks.items():
        results.add("memory", f"batch, fraud model, {rows / 1e6:g} M rows: {name}, peak", "MB", {OURS: [peak]})


def _own_mb(pid: int) -> float:
    """Of one process alone."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1]) * 1024 / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, fewer rows")
    given = parser.parse_args()
    began = time.perf_counter()
    rounds, rows = (2, 262_144) if given.quick else (5, 1_048_576)
    results = Results.begin("breakdown", rounds, quick=given.quick)
    for title, model_path, kind in MODELS:
        request(results, title, model_path, kind, 5 * rounds)
    with workplace() as folder:
        batch(results, rows, folder)
        memory(results, rows, folder)
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
