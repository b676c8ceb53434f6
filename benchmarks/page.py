"""What the docs say of the benchmarks, from the JSON of the last runs; `scripts/references.py` puts it in place."""

from __future__ import annotations

from benchmarks.machine import Machine
from benchmarks.results import FOLDER, OURS, Measure, Results, goal_text, load, shown

__all__ = ["breakdown", "faults", "figures", "headlines", "scale"]

NAMES = ("realtime", "protocols", "peers", "heavy", "bulk", "batch", "overload", "slowloris", "isolation", "restarts",
         "jobs", "fuzz", "loadgen")  # fmt: skip
TEXTS = {
    "realtime": """## Real time
Each server answers the same requests of one row over HTTP on this machine. *By hand* is the least server that gives the
same answers (`benchmarks/ceiling.py`: asyncio.Protocol, uvloop, httptools, msgspec; no limits, no
deadlines, no errors); *FastAPI* is what one would write (`benchmarks/fastapi_app.py`, on uvicorn
with uvloop and httptools). The fraud model is the one of `examples/fraud`: 30 floats, 100
trees, ONNX.
""",
    "protocols": """## Protocols and model processes
Server CPU of a request, 64 in flight, one server process (`benchmarks/protocols.py`). *Echo and model* is a service
that answers each gRPC message with itself on the same HTTP/2 engine, and one row of the model beside it (load: h2load).
""",
    "peers": """## Peers
mosec with two processes that compute and its dynamic batching (`benchmarks/mosec_app.py`); both cores, load from wrk.
""",
    "heavy": """## A heavy model
Two model processes, a model that needs about 10 ms of a core for each row and no less in a batch: MiniLM, an embedding
of a text (`benchmarks/embedding.py`). *One row a call* is `--batch-rows 1`; *two bare loops* are two processes that
call the model row by row and nothing else (`benchmarks/heavy.py`).
""",
    "bulk": """## Bulk
A body of 1,000 rows, answered in its own form, by a server process that computes inline. *The model* is one call of
ONNX Runtime with the same rows (`benchmarks/bulk.py`).
""",
    "batch": """## Batch
Whole processes, Parquet to Parquet, from their start until the output is on the disk. *By hand* is the best loop that
we could write with the same libraries (`benchmarks/loops.py`): row groups read ahead, one computing thread
per core with an ONNX session of its own, one writer; for the article's function a process per core. It checks nothing
and leaves half a file when killed. *pandas* is a plain loop over pieces as DataFrames, with an ONNX session that uses
all cores. All write the same rows and columns.

What twofold does beyond the loop: it starts two processes{start},
checks every value{check}, and commits parts from which a killed run goes on, with a record and a
quarantine. The model's own time is the same on both sides.
""",
    "overload": """## Overload
Requests at random moments, each with a deadline of 100 ms, at 0.5, 1 and 3 times the capacity, which is measured before
and after in each round; the median of the rounds (`benchmarks/overload.py`). *The peak* is the most that was answered
in time.
""",
    "slowloris": """## Slow and half-open connections
1,000 of them, which send nothing, or a byte a second, beside 8 connections that ask; with them and without in turns
(`benchmarks/slowloris.py`).
""",
    "isolation": """## Row isolation
Every answer must be made of just its own row, among rows that are refused or break the model, lists, callers that hang
up and deadlines that pass (`benchmarks/isolation.py`).
""",
    "restarts": """## Restarts under load
The processes of a server are replaced again and again (SIGHUP) while busy connections and new ones ask
(`benchmarks/restarts.py`).
""",
    "jobs": """## Jobs
The scheduler of `twofold jobs up`: idle, when firings fall due, and killed at random moments beside another one
on the same state (`benchmarks/jobs.py`). A command begins in a process of its own, whose start is in the time.
""",
    "fuzz": """## Spoilt requests
An answer must be one that the OpenAPI document declares, in time, and no failure of the server's
(`benchmarks/fuzz.py`). A finding is one that is not.
""",
    "loadgen": """## MLPerf's scenarios, unofficial
MLPerf's LoadGen drives the Service in process (`benchmarks/loadgen.py`), with a dense network in one model process.
*Ceiling* is what a queue with this model's t(n) could do at best, by simulation (`benchmarks/queue_model.py`).
Runs of 60 s, where official ones take 600: these are no MLPerf results.
""",
}
ONE_PROCESS = "fraud model, one process"
HEADLINES = (
    ("realtime", ONE_PROCESS, "server CPU a request", "real time: server CPU a request, 64 connections"),
    ("realtime", ONE_PROCESS, "median latency, one connection", "real time: median latency, one connection"),
    ("batch", "fraud model, 5 M rows, 4 columns kept", "time, into a folder", "batch: 5 M rows, Parquet to a folder"),
    ("batch", "start", "1,000 payments, whole process", "batch: 1,000 rows, whole process"),
)


def figures() -> str:
    """The tables of docs/benchmarks.md."""
    found = [load(name) for name in NAMES if (FOLDER / f"{name}.json").exists()]
    parts = []
    for results in found:
        parts += [_text(results), *_tables(results), *(f"{note}\n" for note in results.notes)]
    return "\n".join([*parts, "## The machine", *(_machine(results) for results in found)])


def _text(results: Results) -> str:
    """What a section begins with. Its figures are those of the results, where there are some."""
    text = TEXTS[results.name]
    if results.name != "batch":
        return text
    start = _measure(results, "start", "1,000 payments, whole process")
    more_s = start.figure(OURS) - start.figure("by hand")
    found = {"start": f" (1,000 rows take {shown(more_s)} s more from start to end)", "check": ""}
    if (FOLDER / "breakdown.json").exists():
        check = _measure(load("breakdown"), "one row of a batch, fraud model", "coerce: each column checked")
        side = next(iter(check.sides))
        found["check"] = f" ({check.shown(side)} {check.unit} a row)"
    return text.format(**found)


def _measure(results: Results, group: str, what: str) -> Measure:
    return next(m for m in results.measures if m.group == group and m.what == what)


def breakdown() -> str:
    """Where time and memory go, for docs/architecture.md."""
    results = load("breakdown")
    return "\n".join([*_tables(results), _machine(results)])


def faults() -> str:
    """The track record, for docs/reliability.md."""
    if not (FOLDER / "faults.json").exists():
        return "No record has been kept yet."
    results = load("faults")
    return "\n".join([*_tables(results), *(f"{note}\n" for note in results.notes), _machine(results)])


def scale() -> str:
    """The plan for a large cluster, for docs/scale.md."""
    results = load("scale")
    return "\n".join([*_tables(results), _machine(results)])


def headlines() -> str:
    """The few figures that the README shows."""
    lines = ["| a 30-feature model of 100 trees, ONNX | twofold | by hand | FastAPI / pandas |", "|---|---:|---:|---:|"]
    for name, group, what, label in HEADLINES:
        measure = _measure(load(name), group, what)
        cells = []
        for sides in ((OURS,), ("by hand",), ("FastAPI", "pandas")):
            side = next((side for side in sides if side in measure.sides), None)
            cells.append(f"{shown(measure.figure(side))} {measure.unit}" if side else "")
        lines.append(f"| {' | '.join([label, *cells])} |")
    rows = _measure(load("batch"), *HEADLINES[2][1:3])
    ratio = f"{rows.ratio(OURS, 'by hand'):.2f}"
    assert rows.goal is not None
    lines += [
        "",
        f"Batch of 5 M rows takes {ratio}x the time of the code by hand here; its goal is {rows.goal.limit:g}x.",
    ]
    return "\n".join(lines)


def _tables(results: Results) -> list[str]:
    return [_table(group, measures, verdict=not results.quick) for group, measures in _groups(results)]


def _groups(results: Results) -> list[tuple[str, list[Measure]]]:
    groups: dict[str, list[Measure]] = {}
    for measure in results.measures:
        groups.setdefault(measure.group, []).append(measure)
    return list(groups.items())


def _table(group: str, measures: list[Measure], *, verdict: bool) -> str:
    sides = list(dict.fromkeys(side for measure in measures for side in measure.sides))
    others = [side for side in sides if side != OURS and any(OURS in m.sides for m in measures)]
    has_goals = any(measure.goal for measure in measures)
    heads = [group[:1].upper() + group[1:], *sides, *(f"ratio to {side}" for side in others)]
    heads += ["goal"] if has_goals else []
    lines = [f"| {' | '.join(heads)} |", "|---" + "|---:" * (len(heads) - 1) + "|"]
    for measure in measures:
        cells = [f"{measure.what}, {measure.unit}" if measure.unit else measure.what]
        cells += [measure.shown(side) if side in measure.sides else "" for side in sides]
        for side in others:
            both = side in measure.sides and OURS in measure.sides and measure.figure(side)
            cells.append(f"{measure.ratio(OURS, side):.2f}" if both else "")
        cells += [goal_text(measure, verdict=verdict)] if has_goals else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _machine(results: Results) -> str:
    machine: Machine = results.machine
    packages = ", ".join(f"{name} {number}" for name, number in machine.packages.items())
    short = " **A short run, to see whether it works: its figures say little.**" if results.quick else ""
    rounds = f"{results.rounds} round{'s' if results.rounds > 1 else ''}"
    return (
        f"- *{results.name}*:{short} {rounds}, {results.seconds / 60:.1f} minutes; {machine.cores} cores "
        f"({machine.processor}), {machine.memory_gb} GB, {machine.system}; {machine.load_before:g} processes busy "
        f"before it began. Python {machine.python}; {packages}.\n"
    )
