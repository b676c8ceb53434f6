"""Bars made of characters."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["bar", "histogram", "ms"]

WIDTH = 48
EIGHTHS = " ▏▎▍▌▋▊▉"
# The upper ends of the buckets within a decade; the coarser ones where there would be too many lines.
STEPS = ((1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0), (1.0, 2.0, 5.0), (1.0,))
MOST_LINES = 20


def ms(value: float) -> str:
    """Milliseconds with three digits: 0.123 ms, 12.3 ms, 1,230 ms."""
    if value >= 100:
        return f"{value:,.0f} ms"
    if value <= 0:
        return "0 ms"
    return f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f} ms"


def bar(share: float) -> str:
    """A bar of this share of the width."""
    eighths = max(1, round(share * WIDTH * 8)) if share > 0 else 0
    return "█" * (eighths // 8) + EIGHTHS[eighths % 8].strip()


def histogram(ordered_ms: Sequence[float]) -> list[str]:
    """How many of these (sorted, more than 0) lie up to each of some round numbers."""
    low, high = max(ordered_ms[0], 1e-3), max(ordered_ms[-1], 1e-3)
    bounds = next(found for steps in STEPS if len(found := _bounds(low, high, steps)) <= MOST_LINES or steps == (1.0,))
    counts, below = [], 0
    for bound in bounds:
        upto = bisect_left(ordered_ms, bound)
        counts.append(upto - below)
        below = upto
    most = max(counts)
    label = max(len(f"{bound:,g}") for bound in bounds)
    figure = len(f"{most:,}")
    return [
        f"  under {bound:>{label},g} ms {count:>{figure},}  {bar(count / most)}".rstrip()
        for bound, count in zip(bounds, counts, strict=True)
    ]


def _bounds(low: float, high: float, steps: tuple[float, ...]) -> list[float]:
    """The round numbers from the first over `low` to the first over `high`."""
    decades = range(math.floor(math.log10(low)) - 1, math.floor(math.log10(high)) + 2)
    every = [float(f"{step * 10.0**decade:.6g}") for decade in decades for step in steps]
    first = next(n for n, bound in enumerate(every) if bound > low)
    last = next(n for n, bound in enumerate(every) if bound > high)
    return every[first : last + 1]
