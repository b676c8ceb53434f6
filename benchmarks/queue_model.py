"""What a queue can do at best: greedy batches on some workers, Poisson arrivals, by simulation.

Whoever is free takes all that waits (at most `most_rows`); a call of n rows takes S(n), known from measurements. The
ceiling is the largest rate at which the 99th percentile of the time from arrival to answer keeps a bound.
"""

from __future__ import annotations

import heapq
import random
from bisect import bisect_left
from collections.abc import Callable, Mapping

__all__ = ["ceiling", "line_through", "p99_s", "peak"]

ARRIVALS = 120_000
STEPS = 12  # of the bisection: the ceiling to 1/4,096

Cost = Callable[[int], float]


def line_through(measured: Mapping[int, float]) -> Cost:
    """Seconds of n rows: straight between the measured sizes, and beyond the last as between the last two."""
    sizes = sorted(measured)

    def seconds(n: int) -> float:
        at = min(max(bisect_left(sizes, n), 1), len(sizes) - 1)
        left, right = sizes[at - 1], sizes[at]
        slope = (measured[right] - measured[left]) / (right - left)
        return measured[left] + slope * (n - left)

    return seconds


def peak(cost: Cost, most_rows: int, workers: int = 1) -> float:
    """Rows a second when there is always more to do."""
    return workers * max(n / cost(n) for n in range(1, most_rows + 1))


def p99_s(
    rate: float, cost: Cost, most_rows: int, workers: int = 1, *, seed: int = 1, n_arrivals: int = ARRIVALS
) -> float:
    """The 99th percentile of the time in the system at this rate."""
    draw = random.Random(seed)
    arrivals, now = [], 0.0
    for _ in range(n_arrivals):
        now += draw.expovariate(rate)
        arrivals.append(now)
    free = [0.0] * workers  # when each worker is free again
    times: list[float] = []
    first = 0
    while first < n_arrivals:
        start = max(heapq.heappop(free), arrivals[first])
        last = first
        while last < n_arrivals and last - first < most_rows and arrivals[last] <= start:
            last += 1
        end = start + cost(last - first)
        heapq.heappush(free, end)
        times.extend(end - at for at in arrivals[first:last])
        first = last
    times.sort()
    return times[int(0.99 * len(times))]


def ceiling(bound_s: float, cost: Cost, most_rows: int, workers: int = 1) -> float:
    """The largest rate whose 99th percentile is at most `bound_s`."""
    low, high = 0.0, peak(cost, most_rows, workers)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if p99_s(middle, cost, most_rows, workers) <= bound_s:
            low = middle
        else:
            high = middle
    return low
