"""Line charts as SVG, without a library: a report is one file that nothing is fetched for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

__all__ = ["Chart", "svg"]

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 16, 16, 46
COLORS = ("var(--accent)", "var(--second)", "var(--good)", "var(--bad)")
TICKS = 5

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Chart:
    """`lines`: name -> points (x, y), in order of x; y that is not finite is left out. `log`: axes whose steps are
    factors, of "x", "y", "xy" or "". `marks`: x positions with what is said there."""

    title: str
    x: str
    y: str
    lines: Mapping[str, Points]
    log: str = ""
    marks: Sequence[tuple[float, str]] = ()


class _Axis:
    """Where values of one axis lie between two pixels."""

    def __init__(self, values: Sequence[float], log: bool, first: float, last: float) -> None:
        self._log = log
        low, high = min(values), max(values)
        if not log:
            low = min(0.0, low)
        if low == high:
            high = low * 10 if log else low + 1
        self._low, self._high = low, high
        self._first, self._last = first, last

    def at(self, value: float) -> float:
        low, high = self._low, self._high
        share = math.log(value / low) / math.log(high / low) if self._log else (value - low) / (high - low)
        return self._first + share * (self._last - self._first)

    def ticks(self) -> list[float]:
        if self._log:
            first, last = math.floor(math.log10(self._low)), math.ceil(math.log10(self._high))
            every = max(1, (last - first) // TICKS)
            steps = (1, 2, 5) if last - first <= 2 else (1,)
            found = [times * 10.0**n for n in range(first, last + 1, every) for times in steps]
            return [value for value in found if self._low * 0.999 <= value <= self._high * 1.001]
        raw = (self._high - self._low) / TICKS
        unit = 10.0 ** math.floor(math.log10(raw))
        step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= raw)
        return [step * n for n in range(math.ceil(self._low / step), math.floor(self._high / step) + 1)]


def svg(chart: Chart) -> str:
    """The chart, or a word where there is nothing to draw."""
    lines = {
        name: [(x, y) for x, y in points if math.isfinite(y) and (y > 0 or "y" not in chart.log)]
        for name, points in chart.lines.items()
    }
    lines = {name: points for name, points in lines.items() if points}
    if not lines:
        return f"<p class='quiet'>{escape(chart.title)}: nothing was measured for it.</p>"
    every = [point for points in lines.values() for point in points]
    x = _Axis([point[0] for point in every], "x" in chart.log, LEFT, WIDTH - RIGHT)
    y = _Axis([point[1] for point in every], "y" in chart.log, HEIGHT - BOTTOM, TOP)
    body = [*_grid(chart, x, y), *_lines(lines, x, y), *_marks(chart, x)]
    return (
        f'<figure><figcaption>{escape(chart.title)}</figcaption><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(chart.title)}">{"".join(body)}</svg>{_legend(lines)}</figure>'
    )


def _grid(chart: Chart, x: _Axis, y: _Axis) -> Iterator[str]:
    for value in y.ticks():
        at = y.at(value)
        yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_number(value)}</text>'
    for value in x.ticks():
        at = x.at(value)
        yield f'<line class="grid" y1="{TOP}" y2="{HEIGHT - BOTTOM}" x1="{at:.1f}" x2="{at:.1f}"/>'
        yield f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{_number(value)}</text>'
    middle = (LEFT + WIDTH - RIGHT) / 2
    yield f'<text x="{middle}" y="{HEIGHT - 8}" text-anchor="middle">{escape(chart.x)}</text>'
    half = (TOP + HEIGHT - BOTTOM) / 2
    yield f'<text transform="translate(14 {half}) rotate(-90)" text-anchor="middle">{escape(chart.y)}</text>'


def _lines(lines: Mapping[str, Points], x: _Axis, y: _Axis) -> Iterator[str]:
    for (name, points), color in zip(lines.items(), COLORS, strict=False):
        path = " ".join(f"{x.at(px):.1f},{y.at(py):.1f}" for px, py in points)
        yield f'<polyline fill="none" stroke="{color}" stroke-width="2" points="{path}"/>'
        for px, py in points:
            said = escape(f"{name}: {_number(py)} at {_number(px)}")
            yield f'<circle cx="{x.at(px):.1f}" cy="{y.at(py):.1f}" r="3" fill="{color}"><title>{said}</title></circle>'


def _marks(chart: Chart, x: _Axis) -> Iterator[str]:
    for value, said in chart.marks:
        at = x.at(value)
        if LEFT <= at <= WIDTH - RIGHT:
            yield f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
            side, shift = ("end", -5) if at > WIDTH / 2 else ("start", 5)
            yield f'<text x="{at + shift:.1f}" y="{TOP + 12}" text-anchor="{side}">{escape(said)}</text>'


def _legend(lines: Mapping[str, Points]) -> str:
    if len(lines) < 2:
        return ""
    items = [
        f'<span><i style="background:{color}"></i>{escape(name)}</span>'
        for name, color in zip(lines, COLORS, strict=False)
    ]
    return f'<p class="legend">{"".join(items)}</p>'


def _number(value: float) -> str:
    for least, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= least:
            return f"{value / least:.3g} {unit}"
    return f"{value:.3g}"
