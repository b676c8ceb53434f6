"""An advice for people, and for programs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from twofold._advice.flips import Flip
from twofold._advice.modes import Plan
from twofold._advice.rules import Advice
from twofold._advice.words import many, span

__all__ = ["as_json", "as_text"]

SHOWN_FLIPS = 6
WIDTH = 100
TIMES = ("p99", "freshness", "window", "time of a row")


def as_json(advice: Advice, changes: list[Flip], assumed: list[str]) -> dict[str, Any]:
    """All numbers, units in their names; infinite prices are null."""
    plans = {}
    for mode, plan in advice.plans.items():
        values = asdict(plan)
        values["possible"] = not advice.against(mode)
        values["price_per_day"] = plan.price_per_day if math.isfinite(plan.price_per_day) else None
        if plan.runs is not None and not plan.runs.workers:
            values["runs"] = None
        plans[mode] = values
    return {
        "mode": advice.mode,
        "plans": plans,
        "reasons": [asdict(reason) for reason in advice.reasons],
        "flips": [{**asdict(flip), "at": flip.at} for flip in changes],
        "assumed": assumed,
        "case": asdict(advice.case),
    }


def as_text(advice: Advice, changes: list[Flip], assumed: list[str]) -> str:
    return "\n".join(_lines(advice, changes, assumed))


def _lines(advice: Advice, changes: list[Flip], assumed: list[str]) -> Iterator[str]:
    yield f"Advice: {advice.mode}." if advice.mode else "Advice: none of the modes does. What is in the way:"
    yield ""
    wide = max(map(len, advice.plans))
    for mode, plan in sorted(advice.plans.items(), key=lambda item: item[1].price_per_day):
        out = advice.against(mode)
        price = "" if out or not math.isfinite(plan.price_per_day) else f"{plan.price_per_day:,.4g} a day"
        said = f"no: {out[0].text}" if out else _described(plan)
        start = f"  {mode:<{wide}}  {price:>14}  "
        yield from textwrap.wrap(said, WIDTH, initial_indent=start, subsequent_indent=" " * len(start))
    if advice.mode is not None:
        yield "\nWhy:"
        for reason in advice.reasons:
            if reason.mode == advice.mode:
                yield from textwrap.wrap(reason.text, WIDTH, initial_indent="  - ", subsequent_indent="    ")
        left = [plan for mode, plan in advice.plans.items() if mode != advice.mode and not advice.against(mode)]
        if left:
            yield "  - it is the cheapest of those that do"
    yield "\nWhat would change it, alone:" if changes else "\nNo input alone changes it, within 128 times more or less."
    for flip in changes[:SHOWN_FLIPS]:
        times = f"{flip.factor:,.3g} times as much" if flip.factor > 1 else f"{1 / flip.factor:,.3g} times less"
        values = f"{_value(flip, flip.value)} -> {_value(flip, flip.at)}"
        yield f"  - {flip.input}: {values} ({times}): {flip.mode or 'none'}"
    for line in assumed:
        yield from textwrap.wrap(line, WIDTH, initial_indent="\n" if line is assumed[0] else "")


def _value(flip: Flip, value: float) -> str:
    if flip.input in TIMES:
        return span(value)
    return f"{value:,.3g}" if value < 1000 else many(value)


def _described(plan: Plan) -> str:
    parts = []
    if plan.always_on:
        workers = f"{plan.always_on:,} worker{'s' if plan.always_on > 1 else ''} always on"
        parts.append(workers if plan.busy is None else f"{workers}, idle {100 * (1 - plan.busy):.3g} % of the time")
    if plan.runs is not None and plan.runs.workers:
        runs = plan.runs
        workers = f"{runs.workers:,} worker{'s' if runs.workers > 1 else ''}"
        parts.append(
            f"each {span(runs.interval_s)} a run over {many(runs.rows)} rows by {workers} in {span(runs.seconds)}; "
            f"answers up to {span(runs.age_s)} old"
        )
    if plan.looked_up is not None and plan.looked_up < 1:
        parts.append(f"{100 * plan.looked_up:.3g} % of uses are looked up")
    if plan.stale is not None:
        parts.append(f"{100 * plan.stale:.2g} % stale on average")
    return "; ".join(parts)
