"""Runs both modes over the same rows and measures them, each in processes of its own."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twofold._compare.costs import price_of
from twofold._compare.hosting import COMPARE_HOST, Host, hosting
from twofold._compare.parity import Outcome, compare_outcomes
from twofold._compare.report import Alone, BatchSide, Comparison, RealTimeSide
from twofold._compare.sustained import sustained
from twofold._compare.usage import PeakMemory, tree_cpu_s
from twofold._errors import InputError, RunStopped
from twofold._load.latency import MIN_P99_SAMPLES, summarise
from twofold._load.plan import Answer, LoadPlan, LoadResult
from twofold._load.rows import Position, Rows, read_rows
from twofold._load.run import run_load
from twofold._options import CompareOptions
from twofold._supervisor import Message, available_cores

if TYPE_CHECKING:
    from twofold._signature import Signature

__all__ = ["measure", "quarantined"]

# A server's processes tell their parent at every sign of life, twice a second, how many calls they made.
COUNTED_S = 0.8
WARMUP_S = 0.3
ONE_AT_A_TIME_S = 30.0
# What one row more or less costs is told from runs whose rows took at least this share of the run's start.
TELLING_SHARE = 0.5

OnStage = Callable[[str], None]


def _nobody(_: str) -> None:
    pass


def measure(model: Message, path: str, options: CompareOptions, on_stage: OnStage = _nobody) -> Comparison:
    """Compare the two modes of a model (a ModelRef as JSON) over the first rows of an input.

    `on_stage` is told what is going on. Raises ModelError, InputError, and RunStopped when a process is lost.
    """
    from twofold._signature import Signature

    on_stage("loading the model")
    with hosting(COMPARE_HOST, {"alone": {"model": model}}) as host:
        facts = host.wait("done")
    signature = Signature.from_json(facts["signature"])
    rows = read_rows(signature, path, columns=options.map, limit=options.limit_rows)
    if not rows.typed:
        raise InputError(
            f"{path!r} has no row that fits the model, among the {rows.seen} looked at. `twofold batch` says what is "
            "wrong with each of them.",
            path=path,
        )
    real_time, asked = _real_time(model, signature, rows, options, on_stage)
    batch, stored = _batch(model, signature, path, rows, options, on_stage)
    price = None
    if options.core_hour is not None:
        cores = options.workers or available_cores()
        price = price_of(real_time, batch, cores, options.core_hour, options.rows_per_day or float(rows.seen))
    return Comparison(
        price=price,
        model=facts["name"],
        version=facts["version"],
        input=path,
        rows=len(rows.typed),
        rows_unfit=rows.unfit,
        alone=Alone(
            None if facts["one_row_s"] is None else facts["one_row_s"] * 1e3,
            facts["loaded_mb"],
            {n_rows: seconds * 1e3 for n_rows, seconds in facts["calls_s"]},
        ),
        real_time=real_time,
        batch=batch,
        parity=compare_outcomes(signature, asked, stored, [row for _, row in rows.positions]),
    )


# ---- real time ----------------------------------------------------------------------------------------------------


def _real_time(
    model: Message, signature: Signature, rows: Rows, options: CompareOptions, on_stage: OnStage
) -> tuple[RealTimeSide, list[list[Outcome]]]:
    """Measured numbers, and the outcomes of each row: asked alone (where there was time) and among others."""
    bodies = rows.bodies(signature)
    began = time.perf_counter()
    served = {"port": 0, "workers": options.workers, "deadline_s": options.deadline_s}
    with (
        hosting(COMPARE_HOST, {"serve": {"model": model, "options": served}}) as host,
        PeakMemory(host.worker.pid) as peak,
    ):
        url = urlsplit(host.wait("serving").split()[-1])
        start_s = time.perf_counter() - began
        where: dict[str, Any] = {"host": url.hostname, "port": url.port, "stall_s": options.deadline_s + 10.0}

        on_stage(f"real time: {len(bodies):,} rows one at a time")
        needed = max(len(bodies), MIN_P99_SAMPLES)
        one_by_one = LoadPlan(**where, connections=1, min_seconds=0.0, min_requests=needed, max_seconds=ONE_AT_A_TIME_S)
        alone = run_load(one_by_one, bodies)

        on_stage(f"real time: throughput at {options.connections} connections")
        cpu_before = tree_cpu_s(host.worker.pid)
        together = LoadPlan(
            **where,
            connections=options.connections,
            min_seconds=options.min_seconds,
            min_requests=len(bodies),
            max_seconds=float("inf"),
            warmup_seconds=WARMUP_S,
        )
        loaded = run_load(together, bodies)
        cpu_after = tree_cpu_s(host.worker.pid)
        calls, called_rows = _since(host, alone)
        held = None
        if options.p99_s is not None and loaded.requests:
            most = loaded.requests / loaded.seconds
            held = sustained(where, bodies, options.p99_s, most, partial(_tell_rate, on_stage))
        host.worker.send({"stop": True})
        host.wait("done")
    if not (alone.requests and loaded.requests):
        raise RunStopped("the server answered no request. Try the model by itself: twofold predict MODEL JSON")
    asked = [
        [_answered(signature, answer) for answer in answers if answer is not None]
        for answers in zip(alone.answers, loaded.answers, strict=True)
    ]
    side = RealTimeSide(
        latency=summarise(alone.latencies_s),
        latency_loaded=summarise(loaded.latencies_s),
        connections=options.connections,
        rows_per_second=loaded.statuses.get(200, 0) / loaded.seconds,
        rows_per_call=called_rows / calls if calls > 0 else None,
        cpu_s_per_million_rows=_per_million(cpu_before, cpu_after, loaded),
        peak_mb=peak.mb,
        start_s=start_s,
        generator_busy=loaded.generator_busy,
        rows_failed=sum(any(outcome.row is None for outcome in outcomes) for outcomes in asked),
        sustained=held,
    )
    return side, asked


def _tell_rate(on_stage: OnStage, rate: float) -> None:
    on_stage(f"real time: a Poisson stream of {rate:,.0f} rows/s")


def _since(host: Host, alone: LoadResult) -> tuple[int, int]:
    """The server's model calls, and the rows they saw, since rows were asked one at a time: one call each."""
    time.sleep(COUNTED_S)
    host.worker.send({"count": True})
    counted = host.wait("counted")
    before = alone.requests_with_warmup
    return counted["calls"] - before, counted["rows"] - before


def _per_million(before: float | None, after: float | None, load: LoadResult) -> float | None:
    if before is None or after is None:
        return None
    return (after - before) / load.requests_with_warmup * 1e6


def _answered(signature: Signature, answer: Answer) -> Outcome:
    from twofold._signature import Signature

    if answer.status == 200:
        return Outcome(Signature(signature.outputs, ()).decode_row(answer.body), answer.body)
    try:
        code = str(json.loads(answer.body)["code"])
    except (ValueError, KeyError, TypeError):
        code = f"status_{answer.status}" if answer.status else "connection_lost"
    return Outcome(None, error=code)


# ---- batch --------------------------------------------------------------------------------------------------------


@dataclass
class _Run:
    report: Message
    seconds: float
    cpu_s: float | None
    peak_mb: float | None


def _batch(
    model: Message, signature: Signature, path: str, rows: Rows, options: CompareOptions, on_stage: OnStage
) -> tuple[BatchSide, list[Outcome]]:
    """Measured numbers, and the outcome of each row."""
    with tempfile.TemporaryDirectory(prefix="twofold-compare-") as folder:
        on_stage("batch: one row, to see what any run costs")
        first = _run_batch(model, path, str(Path(folder, "first.arrow")), 1, options)
        on_stage(f"batch: {rows.seen:,} rows")
        whole = _run_batch(model, path, str(Path(folder, "answers.arrow")), rows.seen, options)
        stored = _stored(signature, whole.report, rows.positions)
    report = whole.report
    start_s = min(first.seconds, whole.seconds)
    more_rows, more_s = rows.seen - 1, whole.seconds - start_s
    telling = more_rows > 0 and more_s > TELLING_SHARE * start_s
    more_cpu_s = None if whole.cpu_s is None or first.cpu_s is None else whole.cpu_s - first.cpu_s
    side = BatchSide(
        seconds=whole.seconds,
        start_s=start_s,
        rows_in=report["rows_in"],
        rows_out=report["rows_out"],
        rows_quarantined=report["rows_quarantined"],
        rows_per_second=rows.seen / whole.seconds,
        rows_per_second_after_start=more_rows / more_s if telling else None,
        rows_per_call=report["rows_in"] / report["model_calls"] if report["model_calls"] else None,
        cpu_s_per_million_rows=None if whole.cpu_s is None else whole.cpu_s / rows.seen * 1e6,
        cpu_s_per_million_rows_after_start=(
            more_cpu_s / more_rows * 1e6 if telling and more_cpu_s is not None and more_cpu_s > 0 else None
        ),
        peak_mb=whole.peak_mb,
    )
    return side, stored


def _run_batch(model: Message, path: str, output: str, limit_rows: int, options: CompareOptions) -> _Run:
    """A run in a process of its own, from its start until it says that the last row is in its place."""
    task = {
        "model": model,
        "input": path,
        "output": output,
        "options": {"limit_rows": limit_rows, "workers": options.workers, "map": options.map, "keep": []},
    }
    began = time.perf_counter()
    with hosting(COMPARE_HOST, {"batch": task}) as host, PeakMemory(host.worker.pid) as peak:
        done = host.wait("done")
        seconds = time.perf_counter() - began
    return _Run(done["report"], seconds, done["cpu_s"], peak.mb)


def _stored(signature: Signature, report: Message, positions: Sequence[Position]) -> list[Outcome]:
    """The outcome of each of these rows: its answer, or why it is in quarantine."""
    import pyarrow as pa

    from twofold._columns import Batch

    with pa.OSFile(report["output"]) as file:
        table = pa.ipc.open_file(file).read_all().select(signature.output_schema.names)
    merged = table.cast(signature.output_schema).combine_chunks().to_batches()
    batch = Batch.from_arrow(merged[0]) if merged else Batch.from_rows(signature.output_schema, [])
    answers = zip(batch.rows(), signature.encode_rows(batch), strict=True)
    bad = quarantined(report["quarantine"])
    return [
        Outcome(None, error=bad[position]) if position in bad else Outcome(*next(answers)) for position in positions
    ]


def quarantined(path: str | None) -> dict[Position, str]:
    """The error code of each row in quarantine."""
    if path is None or not Path(path).exists():
        return {}
    found = {}
    with Path(path).open(encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            place = record["_position"]
            found[place["file"], place["row"]] = record["_error"]["code"]
    return found
