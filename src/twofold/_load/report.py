"""What a load has measured: the numbers, their text with plots, and their JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twofold._load.drawing import bar, histogram, ms

__all__ = ["PERCENTILES", "BenchReport"]

PERCENTILES = (0.5, 0.9, 0.99, 0.999)
BUSY = 0.9
LATE_MS = 1.0
LATE_SHARE = 0.1
KEPT_UP = 0.95


@dataclass(frozen=True, slots=True)
class BenchReport:
    """One measurement.

    `seconds` of the `duration_s` that were wanted; `offered` requests fell due in it (a closed loop: were sent),
    `achieved` had their 200 within it, `answered` in the end. `errors` counts all others by status and word; `waited`
    of these still had none when the run ended. `gone_s`: for how long there had been no server then.

    `latencies_ms`: of the answered and of those that still waited, sorted, in milliseconds since they fell due (a
    closed loop: were sent); those that failed at once are not among them. `percentiles_ms` by quantile, None from too
    few of them. `late_ms`: how late the generator sent; `generator_busy` its share of a core.
    """

    model: str
    version: str
    url: str
    rows: str
    rows_unfit: int
    rate: float | None
    connections: int
    duration_s: float
    seconds: float
    interrupted: bool
    gone_s: float
    offered: int
    achieved: int
    answered: int
    errors: dict[str, int]
    waited: int
    deadline_s: float | None
    within_deadline: int | None
    percentiles_ms: dict[float, float | None]
    fewest: dict[float, int]
    latencies_ms: list[float]
    late_ms: dict[float, float | None]
    generator_busy: float

    @property
    def samples(self) -> int:
        return len(self.latencies_ms)

    @property
    def max_ms(self) -> float | None:
        return self.latencies_ms[-1] if self.latencies_ms else None

    @property
    def exit_code(self) -> int:
        return 130 if self.interrupted else 0 if self.answered and not self.gone_s else 1

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    @property
    def generator_was_the_limit(self) -> bool:
        """It had no time left, or was late by what is a good part of the latencies it measured."""
        late, whole = self.late_ms[0.99], self.percentiles_ms[0.99] or self.max_ms or 0.0
        return self.generator_busy > BUSY or (late is not None and late > max(LATE_MS, LATE_SHARE * whole))

    @property
    def within_share(self) -> float | None:
        if self.within_deadline is None:
            return None
        return self.within_deadline / max(1, self.answered + self.failed)

    def to_json(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "version": self.version,
            "url": self.url,
            "rows": self.rows,
            "rows_unfit": self.rows_unfit,
            "loop": "closed" if self.rate is None else "open",
            "rate": self.rate,
            "connections": self.connections,
            "duration_s": self.duration_s,
            "seconds": self.seconds,
            "interrupted": self.interrupted,
            "offered": self.offered,
            "offered_per_second": self.offered / self.seconds,
            "answered": self.answered,
            "answered_per_second": self.achieved / self.seconds,
            "errors": self.errors,
            "gone_s": self.gone_s,
            "waited_at_the_end": self.waited,
            "latency_ms": {
                "samples": self.samples,
                **{name(q): value for q, value in self.percentiles_ms.items()},
                "max": self.max_ms,
            },
            "deadline_ms": None if self.deadline_s is None else self.deadline_s * 1e3,
            "within_deadline": self.within_share,
            "generator": {
                "busy": self.generator_busy,
                **{f"late_{name(q)}_ms": value for q, value in self.late_ms.items()},
                "was_the_limit": self.generator_was_the_limit,
            },
        }

    def __str__(self) -> str:
        if self.interrupted and not self.offered:
            return "\n".join(_head(self))
        return "\n".join([*_head(self), "", *_facts(self), "", *_latency(self), *_notes(self)])


def name(quantile: float) -> str:
    """p50, p99.9"""
    return f"p{quantile * 100:g}"


def _head(found: BenchReport) -> list[str]:
    if found.rate is None:
        load = f"{found.connections} connections, each sends as soon as it has its answer"
    else:
        load = f"{found.rate:,.6g} requests/s at random moments"
    unfit = f" ({found.rows_unfit:,} more do not fit and were left out)" if found.rows_unfit else ""
    cut = ""
    if found.interrupted:
        cut = f", stopped after {found.seconds:.1f} s" if found.offered else ", stopped before anything was measured"
    return [
        f"{found.model}, version {found.version}, at {found.url}",
        f"{found.duration_s:g} s{cut}; {load}; {found.rows}{unfit}",
    ]


def _facts(found: BenchReport) -> list[str]:
    lines = [
        ("offered", _per_second(found.offered, found.seconds), f"{found.offered:,} requests"),
        ("answered", _per_second(found.achieved, found.seconds), f"{found.answered:,} with 200"),
    ]
    if found.errors:
        words = ", ".join(f"{count:,} × {code}" for code, count in found.errors.items())
        lines.append(("failed", _per_second(found.failed, found.seconds), words))
    if found.deadline_s is not None and found.within_share is not None:
        share = f"{100 * found.within_share:.2f} %"
        lines.append(("in time", share, f"answered within {ms(found.deadline_s * 1e3)}, of all that were asked"))
    busy = f"{100 * found.generator_busy:.0f} % of a core"
    late = [f"{ms(value)} ({name(q)})" for q, value in found.late_ms.items() if value is not None]
    opened = f"{found.connections:,} connections"
    lines.append(("generator", busy, f"sent {', '.join(late)} late; {opened}" if late else opened))
    width = max(len(figure) for _, figure, _ in lines)
    return [f"{word:<10} {figure:>{width}}   {what}" for word, figure, what in lines]


def _per_second(count: int, seconds: float) -> str:
    rate = count / seconds
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.3g}/s"


def _latency(found: BenchReport) -> list[str]:
    since = "it was sent" if found.rate is None else "it fell due"
    lines = [f"Latency of a request since {since}"]
    longest = found.max_ms
    if longest is None:
        return [*lines, "  none: no request was answered"]
    for quantile, value in found.percentiles_ms.items():
        if value is None:
            told = f"needs {found.fewest[quantile]:,} samples, and there are {found.samples:,}"
            lines.append(f"  {name(quantile):<6} {'—':>10}  {told}")
        else:
            lines.append(f"  {name(quantile):<6} {ms(value):>10}  {bar(value / longest)}")
    lines.append(f"  {'max':<6} {ms(longest):>10}  {bar(1.0)}")
    return [*lines, "", "Requests by latency", *histogram(found.latencies_ms)]


def _notes(found: BenchReport) -> list[str]:
    notes = []
    if found.gone_s:
        notes.append(
            f"The server went away: for the last {found.gone_s:.1f} s no connection could be made to {found.url}. What "
            "was measured before is above. Look at what the server said last, and start it again."
        )
    if found.waited and found.max_ms is not None:
        notes.append(
            f"{found.waited:,} requests still waited when the run ended. They count with the time they had waited "
            "until then: the true latencies are higher."
        )
    if found.generator_was_the_limit:
        notes.append(
            "The load generator was the limit, or this machine was: part of these latencies is its own. Ask for less, "
            "or send the load from another machine."
        )
    elif found.rate is not None and found.achieved < KEPT_UP * found.offered:
        notes.append("The server did not keep up with what was offered.")
    return ["", *notes] if notes else []
