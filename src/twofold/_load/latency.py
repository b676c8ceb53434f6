"""Percentiles that the number of samples supports.

The 99th percentile follows the early-stopping rule of MLPerf's LoadGen: it is the smallest observed latency of which
it is 99 % certain that at most 1 % of all answers take longer. From n independent samples that is the one with t
larger ones, t being the largest number for which seeing at most t of n over a true 99th percentile has a probability
of 1 % at most. No t exists below 459 samples, and then there is no p99.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

__all__ = ["MIN_P99_SAMPLES", "Latency", "allowed_over", "fewest_samples", "percentile", "summarise"]

_DOUBT = 0.01


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of `samples` answers; `p99_ms` is None from fewer than 459 samples."""

    samples: int
    p50_ms: float
    p99_ms: float | None
    max_ms: float

    def to_json(self) -> dict[str, object]:
        return {"samples": self.samples, "p50_ms": self.p50_ms, "p99_ms": self.p99_ms, "max_ms": self.max_ms}


def allowed_over(samples: int, quantile: float = 0.99) -> int:
    """How many of `samples` may lie over a bound that is still, with 99 % certainty, at or over the quantile.

    -1 when there are too few samples to say anything.
    """
    over = 1.0 - quantile
    total, allowed = 0.0, -1
    for count in range(samples + 1):
        total += math.exp(
            math.lgamma(samples + 1)
            - math.lgamma(count + 1)
            - math.lgamma(samples - count + 1)
            + count * math.log(over)
            + (samples - count) * math.log(quantile)
        )
        if total > _DOUBT:
            break
        allowed = count
    return allowed


def percentile(ordered: Sequence[float], quantile: float) -> float | None:
    """The bound of the early-stopping rule, from sorted samples; None where there are too few. The median is plain."""
    n = len(ordered)
    if quantile == 0.5:
        return (ordered[(n - 1) // 2] + ordered[n // 2]) / 2 if n else None
    allowed = allowed_over(n, quantile)
    return ordered[n - 1 - allowed] if allowed >= 0 else None


def fewest_samples(quantile: float) -> int:
    """From how many samples on there is such a percentile."""
    return 1 if quantile == 0.5 else math.ceil(math.log(_DOUBT) / math.log(quantile))


MIN_P99_SAMPLES = fewest_samples(0.99)


def summarise(latencies_s: Iterable[float]) -> Latency:
    """Of at least one latency in seconds."""
    ordered = sorted(latencies_s)
    p50, p99 = percentile(ordered, 0.5), percentile(ordered, 0.99)
    assert p50 is not None
    return Latency(len(ordered), p50 * 1e3, None if p99 is None else p99 * 1e3, ordered[-1] * 1e3)
