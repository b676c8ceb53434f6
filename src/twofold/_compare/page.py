"""A report for people who decide: one HTML file with everything in it, made from what was measured and advised."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html import escape
from itertools import pairwise

from twofold._advice.flips import Flip
from twofold._advice.report import as_text
from twofold._advice.rules import Advice, advise
from twofold._advice.words import many
from twofold._compare.plots import Chart, svg
from twofold._compare.report import Comparison, factors, parity_words
from twofold._version import __version__

__all__ = ["report_page"]

VOLUMES = 25
FARTHEST = 100.0  # times fewer, and more, rows a day than are needed

STYLE = """
:root { --paper: #f7f8fa; --card: #fff; --ink: #1b2330; --quiet: #5b6678; --line: #d8dde6; --accent: #2459c9;
  --second: #9a5b00; --good: #17703b; --bad: #b3261e; }
@media (prefers-color-scheme: dark) { :root { --paper: #12161d; --card: #1a202a; --ink: #e6eaf1; --quiet: #9aa6b8;
  --line: #303a49; --accent: #7aa5ff; --second: #f0b45a; --good: #6fd398; --bad: #ff8a80; } }
body { margin: 0 auto; max-width: 66rem; padding: 1.5rem 1.25rem 3rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 0 0 .75rem; }
section { background: var(--card); border: 1px solid var(--line); border-radius: .75rem; padding: 1.25rem;
  margin-top: 1.25rem; }
.quiet { color: var(--quiet); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .4rem .6rem; border-bottom: 1px solid var(--line); }
pre { white-space: pre-wrap; margin: 0; font: .9rem/1.45 ui-monospace, monospace; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 28rem), 1fr)); gap: 1.25rem; }
figure { margin: 0; } figcaption { font-weight: 600; margin-bottom: .25rem; }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif; } svg text { fill: var(--quiet); }
.grid { stroke: var(--line); } .mark { stroke: var(--bad); stroke-dasharray: 4 3; }
.legend { display: flex; gap: 1rem; flex-wrap: wrap; margin: .25rem 0 0; font-size: .85rem; }
.legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .35rem; }
"""


def report_page(found: Comparison | None, advice: Advice, changes: list[Flip], assumed: list[str]) -> str:
    """The page. `found` None: an advice on paper, with nothing measured."""
    title = "Real time or batch?" if found is None else f"{found.model}: real time or batch?"
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    sections = [
        _section("Advice", f"<pre>{escape(as_text(advice, changes, assumed))}</pre>"),
        *([] if found is None else _measured(found)),
        _section("Charts", f"<div class='charts'>{''.join(svg(chart) for chart in _charts(found, advice))}</div>"),
    ]
    return (
        "<!doctype html>\n<html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body><h1>{escape(title)}</h1>"
        f"<p class='quiet'>twofold {__version__}, {when}</p>{''.join(sections)}</body></html>\n"
    )


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _measured(found: Comparison) -> Iterator[str]:
    (head, *rows) = factors(found)
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
    about = f"{found.rows:,} rows of {found.input}" if found.input else f"{found.rows:,} rows"
    table = f"<table><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table>"
    yield _section("Both modes, measured", f"<p class='quiet'>{escape(about)}, version {found.version}</p>{table}")
    yield _section("Do the answers agree?", f"<pre>{escape(chr(10).join(parity_words(found.parity)))}</pre>")


def _charts(found: Comparison | None, advice: Advice) -> Iterator[Chart]:
    if found is not None:
        yield _latency(found)
        yield _throughput(found)
    yield _price(advice)


def _latency(found: Comparison) -> Chart:
    held = found.real_time.sustained
    tried = sorted(held.tried) if held is not None else []
    return Chart(
        "Latency against load, real time (--p99)",
        "requests a second, at random moments",
        "ms",
        {
            "p50": [(point.rate, point.p50_ms) for point in tried if point.p50_ms is not None],
            "p99": [(point.rate, point.p99_ms) for point in tried if point.p99_ms is not None],
        },
        log="y",
    )


def _throughput(found: Comparison) -> Chart:
    calls = found.alone.call_ms
    return Chart(
        "Throughput against rows in a call, the model alone",
        "rows in a call",
        "rows/s",
        {"one worker": [(n_rows, n_rows / ms * 1e3) for n_rows, ms in sorted(calls.items()) if ms > 0]},
        log="xy",
    )


def _price(advice: Advice) -> Chart:
    """What each mode costs a day, with fewer and more rows; the marks are where the cheapest changes."""
    need = advice.case.need
    factors_ = [FARTHEST ** (2 * step / (VOLUMES - 1) - 1) for step in range(VOLUMES)]
    each = []
    for factor in factors_:
        moved = replace(need, rows_per_day=need.rows_per_day * factor, peak_rate=need.peak_rate * factor)
        each.append((moved.rows_per_day, advise(replace(advice.case, need=moved))))
    lines = {
        mode: [(rows, _priced(found, mode)) for rows, found in each if not found.against(mode)] for mode in advice.plans
    }
    marks = [(need.rows_per_day, f"now: {many(need.rows_per_day)}"), *_changes(each)]
    return Chart("Price a day against rows a day", "rows a day", "price a day", lines, log="xy", marks=marks)


def _priced(advice: Advice, mode: str) -> float:
    plan = advice.plans.get(mode)
    return math.inf if plan is None else plan.price_per_day


def _changes(each: Sequence[tuple[float, Advice]]) -> Iterator[tuple[float, str]]:
    for (before, first), (after, second) in pairwise(each):
        if first.mode != second.mode:
            yield math.sqrt(before * after), f"from {many(math.sqrt(before * after))}: {second.mode or 'none'}"
