"""The highest rate that real time sustains: a Poisson stream of which 99 % are answered within a bound.

Rates are halved between the highest that held and the lowest that did not, and the bound is judged by the rule of
`_load.latency`: 99 % certain, from as many requests as that takes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from twofold._load.latency import fewest_samples, percentile
from twofold._load.plan import LoadPlan, LoadResult
from twofold._load.run import run_load

__all__ = ["Sustained", "Tried", "sustained"]

STEPS = 7
RUN_S = 1.0
CONNECTIONS = 900
QUANTILE = 0.99
SAFE = 1.5  # times the fewest requests that say anything


class Tried(NamedTuple):
    """What a rate of requests a second gave; no percentile where there were too few answers."""

    rate: float
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Sustained:
    """`p99_ms` is that of the rate found; `rows_per_second` 0: no rate that was tried kept the bound."""

    p99_bound_ms: float
    rows_per_second: float
    p99_ms: float | None
    tried: tuple[Tried, ...] = ()


def sustained(
    where: dict[str, Any], bodies: Sequence[bytes], bound_s: float, most: float, on_rate: Callable[[float], None]
) -> Sustained:
    """Find it for the server at `where`, up to `most` requests a second (what busy connections get)."""
    low, high, kept_ms = 0.0, most, None
    tried: list[Tried] = []
    for _ in range(STEPS):
        rate = (low + high) / 2
        on_rate(rate)
        seconds = max(RUN_S, SAFE * fewest_samples(QUANTILE) / rate)
        plan = LoadPlan(**where, rate=rate, connections=CONNECTIONS, min_seconds=seconds, settle_s=2 * bound_s)
        result = run_load(plan, bodies)
        p99_s = _p99_s(result)
        tried.append(Tried(rate, _ms(percentile(sorted(result.answered_s), 0.5)), _ms(p99_s)))
        if p99_s is not None and p99_s <= bound_s:
            low, kept_ms = rate, _ms(p99_s)
        else:
            high = rate
    return Sustained(bound_s * 1e3, low, kept_ms, tuple(tried))


def _p99_s(result: LoadResult) -> float | None:
    """Of all that fell due; what was refused or had no answer counts as late beyond any bound."""
    unanswered = max(0, result.offered - len(result.answered_s))
    return percentile(sorted(result.answered_s) + [float("inf")] * unanswered, QUANTILE)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None or math.isinf(seconds) else seconds * 1e3
