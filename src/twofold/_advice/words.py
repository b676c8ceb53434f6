"""Times and numbers as people say them."""

from __future__ import annotations

__all__ = ["many", "span"]

_UNITS = ((1e-3, 1e6, "µs"), (1.0, 1e3, "ms"), (120.0, 1.0, "s"), (7200.0, 1 / 60, "min"), (172_800.0, 1 / 3600, "h"))


def span(seconds: float) -> str:
    """0.0123 -> "12.3 ms"."""
    for below, factor, unit in _UNITS:
        if seconds < below:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds / 86_400:,.3g} days"


def many(count: float) -> str:
    """1234567 -> "1.23 M"."""
    for least, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if count >= least:
            return f"{count / (1e3 if unit == 'k' else least):.3g} {unit}"
    return f"{count:,.0f}"
