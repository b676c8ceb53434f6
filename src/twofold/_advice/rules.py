"""Why a way to answer does or does not do. The rules are this tuple; what they leave is chosen by price."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from twofold._advice.modes import MODES, Plan, plans, service_bound_s, uses_that_pay
from twofold._advice.need import DAY_S, Case
from twofold._advice.words import many, span
from twofold._errors import UsageError

__all__ = ["RULES", "Advice", "Reason", "advise"]

REAL_TIME, BATCH, LOOK_UP, BOTH = MODES


@dataclass(frozen=True)
class Reason:
    """What a rule says of a mode; `against`: it does not do."""

    rule: str
    mode: str
    against: bool
    text: str


Said = Iterator[tuple[str, bool, str]]
"""Mode, whether this rules it out, why."""
Rule = Callable[[Case, Mapping[str, Plan]], Said]


def somebody_waits(case: Case, _: Mapping[str, Plan]) -> Said:
    """Who waits for an answer cannot be told to come back after the next run."""
    p99_s = case.need.p99_s
    if p99_s is None:
        yield BATCH, False, "nobody waits for an answer, so that they can be computed together"
    else:
        yield BATCH, True, f"somebody waits: 99 % of answers are due within {span(p99_s)}, and a run answers later"


def known_before(case: Case, _: Mapping[str, Plan]) -> Said:
    """Only what is known before it is asked for can be precomputed."""
    if case.need.entities is None:
        yield LOOK_UP, True, "what is asked for is known only when it is asked (no --entities)"
        yield BOTH, True, "what is asked for is known only when it is asked (no --entities)"
    else:
        yield LOOK_UP, False, f"the {many(case.need.entities)} that are asked about are known before"
        if case.need.skew is None:
            yield BOTH, True, "how unevenly they are used is not known (no --skew)"


def fast_enough(case: Case, found: Mapping[str, Plan]) -> Said:
    """A call with one row must fit into the time that an answer may take."""
    one_s, bound_s = case.costs.service.seconds(1), service_bound_s(case)
    for mode in (REAL_TIME, BOTH):
        if mode in found and not found[mode].always_on:
            yield mode, True, f"one row takes {span(one_s)}, and {span(max(bound_s, 0.0))} are left for queue and model"
    if case.need.p99_s is not None and one_s <= bound_s:
        yield REAL_TIME, False, f"one row takes {span(one_s)} of the {span(case.need.p99_s)} that an answer may take"


def look_up_fast_enough(case: Case, found: Mapping[str, Plan]) -> Said:
    """Looking an answer up takes time too."""
    p99_s = case.need.p99_s
    for mode in (LOOK_UP, BOTH):
        if mode in found and p99_s is not None and case.costs.read_s > p99_s:
            yield mode, True, f"a look-up takes {span(case.costs.read_s)}, and an answer is due within {span(p99_s)}"


def fresh_enough(case: Case, found: Mapping[str, Plan]) -> Said:
    """Runs must be so frequent, and so short, that no answer gets too old."""
    age_s = case.need.max_age_s
    for mode in (BATCH, LOOK_UP, BOTH):
        if mode not in found or age_s is None:
            continue
        runs = found[mode].runs
        assert runs is not None
        if not runs.workers:
            yield mode, True, f"no run is over so soon that answers are at most {span(age_s)} old"
        else:
            yield mode, False, f"runs each {span(runs.interval_s)} keep answers younger than {span(age_s)}"
    if age_s is not None and age_s < DAY_S:
        yield REAL_TIME, False, "an answer in real time rests on what is known now"


def fits_the_window(case: Case, found: Mapping[str, Plan]) -> Said:
    """A run must be over when its window closes."""
    for mode in (BATCH, LOOK_UP, BOTH):
        runs = found[mode].runs if mode in found else None
        if runs is None:
            continue
        if not runs.workers:
            yield (
                mode,
                True,
                f"starting a run takes {span(case.costs.batch_start_s)} of the {span(runs.limit_s)} it has",
            )
        else:
            workers = f"{runs.workers:,} worker{'s' if runs.workers > 1 else ''}"
            yield (
                mode,
                False,
                (
                    f"a run over {many(runs.rows)} rows takes {span(runs.seconds)} of the {span(runs.limit_s)} it has, "
                    f"with {workers}"
                ),
            )


def uses_pay(case: Case, found: Mapping[str, Plan]) -> Said:
    """An answer that is used often pays for being computed before."""
    entities = case.need.entities
    if entities is None or LOOK_UP not in found:
        return
    runs = found[LOOK_UP].runs
    assert runs is not None
    uses = case.need.rows_per_day * runs.interval_s / DAY_S / entities
    least = uses_that_pay(case)
    if math.isinf(least):
        yield LOOK_UP, False, "a look-up costs no less than an answer in real time"
    else:
        more = "more" if uses >= least else "fewer"
        yield (
            LOOK_UP,
            False,
            (
                f"an answer is used {uses:,.3g} times before it is computed again; {more} than the {least:,.3g} that "
                "pay for it"
            ),
        )


RULES: tuple[Rule, ...] = (
    somebody_waits, known_before, fast_enough, look_up_fast_enough, fresh_enough, fits_the_window, uses_pay
)  # fmt: skip


@dataclass(frozen=True)
class Advice:
    """`mode` is the cheapest of those that no rule is against; None where all are ruled out."""

    case: Case
    mode: str | None
    plans: Mapping[str, Plan]
    reasons: tuple[Reason, ...]

    def against(self, mode: str) -> list[Reason]:
        return [reason for reason in self.reasons if reason.mode == mode and reason.against]


def advise(case: Case) -> Advice:
    """The advice for a case."""
    if case.need.rows_per_day <= 0:
        raise UsageError("rows_per_day must be more than 0.")
    found = plans(case)
    reasons = tuple(
        Reason(rule.__name__, mode, against, text) for rule in RULES for mode, against, text in rule(case, found)
    )
    out = {reason.mode for reason in reasons if reason.against}
    left = [plan for mode, plan in found.items() if mode not in out and math.isfinite(plan.price_per_day)]
    best = min(left, key=lambda plan: plan.price_per_day, default=None)
    return Advice(case, None if best is None else best.mode, found, reasons)
