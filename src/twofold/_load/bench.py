"""`twofold bench`: one load on one served model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from twofold._errors import UsageError
from twofold._load.latency import fewest_samples, percentile
from twofold._load.plan import LoadPlan, LoadResult, Progress
from twofold._load.report import PERCENTILES, BenchReport
from twofold._load.run import run_load
from twofold._load.target import Rows, Target, find_target, rows_for

__all__ = ["BenchOptions", "bench"]

# Connections of an open loop: as many as its requests need, up to this. Most systems let a process have 1,024 files.
MOST_CONNECTIONS = 900
CLOSED_CONNECTIONS = 64
LONGEST_WARMUP_S = 1.0

OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class BenchOptions:
    """`rate`: requests a second of an open loop; None: a closed loop of `connections` (64; of an open loop the most
    there may be, 900). `deadline_s` is told to the server with each request. `data`: a path of rows, `map` and
    `limit_rows` as for batch. `model`: its name, where the server has several. `ca`: a file of certificates."""

    rate: float | None = None
    connections: int | None = None
    duration_s: float = 10.0
    deadline_s: float | None = None
    data: str = ""
    map: dict[str, str] = field(default_factory=dict)
    limit_rows: int = 10_000
    model: str = ""
    ca: str = ""

    def __post_init__(self) -> None:
        for name in ("rate", "connections", "duration_s", "deadline_s", "limit_rows"):
            given = getattr(self, name)
            if given is not None and not given > 0:
                raise UsageError(f"{name} must be more than 0, and {given} was given.")

    @property
    def warmup_s(self) -> float:
        return min(LONGEST_WARMUP_S, self.duration_s / 10)


def bench(url: str, options: BenchOptions, on_progress: OnProgress) -> BenchReport:
    """Measure what is served at `url`. To be called in the main thread: Ctrl-C and SIGTERM end it early.

    Raises Unreachable and UsageError for a server that is not there, InputError for rows that cannot be read.
    """
    target = find_target(url, model=options.model, ca=options.ca)
    rows = rows_for(target.model, options.data, options.map, options.limit_rows)
    plan = _plan(target, options)
    result = run_load(plan, rows.bodies, on_progress=on_progress, keep_interrupted=True)
    return _report(target, rows, plan, options, result)


def _plan(target: Target, options: BenchOptions) -> LoadPlan:
    where = dict(target.where)
    if options.deadline_s is not None:
        told = ("X-Deadline-Ms", str(max(1, round(options.deadline_s * 1e3))))
        where["headers"] = (*where["headers"], told)
    return LoadPlan(
        **where,
        rate=options.rate or 0.0,
        connections=options.connections or (MOST_CONNECTIONS if options.rate else CLOSED_CONNECTIONS),
        min_seconds=options.duration_s,
        max_seconds=options.duration_s,
        warmup_seconds=options.warmup_s,
    )


def _report(target: Target, rows: Rows, plan: LoadPlan, options: BenchOptions, result: LoadResult) -> BenchReport:
    # who still waited when the run ended counts with the time it had waited: leaving it out would flatter
    latencies_s = sorted([*result.answered_s, *result.waited_s])
    late_s = sorted(result.late_s)
    deadline_s = options.deadline_s
    within = None if deadline_s is None else sum(latency <= deadline_s for latency in result.answered_s)
    return BenchReport(
        model=target.model.name,
        version=target.model.version,
        url=target.url,
        rows=rows.origin,
        rows_unfit=rows.unfit,
        rate=options.rate,
        connections=result.most_connections if options.rate else plan.connections,
        duration_s=options.duration_s,
        seconds=result.seconds,
        interrupted=result.interrupted,
        gone_s=result.gone_s,
        offered=result.offered,
        achieved=result.achieved,
        answered=len(result.answered_s),
        errors=dict(sorted(result.codes.items(), key=lambda item: -item[1])),
        waited=len(result.waited_s),
        deadline_s=deadline_s,
        within_deadline=within,
        percentiles_ms={q: _ms(percentile(latencies_s, q)) for q in PERCENTILES},
        fewest={q: fewest_samples(q) for q in PERCENTILES},
        latencies_ms=[latency * 1e3 for latency in latencies_s],
        late_ms={q: _ms(percentile(late_s, q)) for q in (0.5, 0.99)},
        generator_busy=result.generator_busy,
    )


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1e3
