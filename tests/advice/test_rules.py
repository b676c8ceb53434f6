"""What is advised, why, and what would change it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._advice.flips import flips
from twofold._advice.modes import plans, uses_that_pay
from twofold._advice.need import DAY_S, Case, Costs, Need, Prices
from twofold._advice.queueing import CallCost
from twofold._advice.rules import RULES, advise
from twofold._errors import UsageError

COSTS = Costs(CallCost(0.001, 0.001), batch_row_s=0.001, read_s=0.001)
PRICES = Prices(worker_hour=0.1, write_million=1.0, read_million=0.2)
NEED = Need(rows_per_day=1e6, peak_rate=35.0)


def case(**need: float | None) -> Case:
    return Case(replace(NEED, **need), COSTS, PRICES)  # type: ignore[arg-type]


def against(found: Case, mode: str) -> set[str]:
    return {reason.rule for reason in advise(found).against(mode)}


def test_nobody_waits_so_batch_is_cheapest():
    advice = advise(case())
    assert advice.mode == "batch"
    assert advice.plans["batch"].price_per_day == pytest.approx((1 + 1000) / 3600 * 0.1, rel=0.01)
    assert advice.plans["real time"].price_per_day == pytest.approx(2.4)


def test_somebody_waits_so_batch_is_ruled_out():
    assert advise(case(p99_s=0.05)).mode == "real time"
    assert against(case(p99_s=0.05), "batch") == {"somebody_waits"}


def test_what_is_known_before_can_be_looked_up():
    assert advise(case(p99_s=0.05, entities=1e5)).mode == "precompute and look up"
    assert against(case(p99_s=0.05), "precompute and look up") == {"known_before"}


def test_a_model_too_slow_for_who_waits():
    slow = replace(COSTS, service=CallCost(0.0, 3.0), batch_row_s=3.0)
    found = replace(case(p99_s=0.5, entities=1e4), costs=slow)
    assert advise(found).mode == "precompute and look up"
    assert against(found, "real time") == {"fast_enough"}
    nothing = advise(replace(case(p99_s=0.5), costs=slow))
    assert nothing.mode is None


def test_answers_must_be_fresh_enough():
    """A run starts in 1 s and takes a second for 1,000 rows: answers of 2 s are out of its reach."""
    assert "fresh_enough" in against(case(max_age_s=1.5), "batch")
    assert not against(case(max_age_s=3600.0), "batch")
    runs = advise(case(max_age_s=3600.0)).plans["batch"].runs
    assert runs is not None
    assert runs.age_s <= 3600.0


def test_a_run_has_as_many_workers_as_its_window_needs():
    runs = advise(case(window_s=101.0)).plans["batch"].runs
    assert runs is not None
    assert runs.workers == 10
    assert runs.seconds == pytest.approx(101.0)


def test_stale_share():
    """1 - (1 - exp(-c D)) / (c D), with one change a day and a run a day."""
    plan = plans(case(p99_s=0.05, entities=1e5, changes_per_day=1.0))["precompute and look up"]
    assert plan.stale == pytest.approx(math.exp(-1))


def test_both_where_few_are_asked_for_often():
    """The head is stored; its last one pays for itself, and the first of the tail would not."""
    dear = Prices(worker_hour=10.0, write_million=500.0, read_million=0.2)
    found = Case(Need(1e8, 1e4, p99_s=0.05, entities=1e6, skew=1.1), COSTS, dear)
    advice = advise(found)
    plan = advice.plans["both"]
    assert advice.mode == "both"
    assert plan.head is not None
    assert plan.looked_up is not None
    assert plan.head < 0.5 < plan.looked_up
    uses = 1e8 / sum(rank**-1.1 for rank in range(1, 1_000_001)) * (plan.head * 1e6) ** -1.1
    assert uses == pytest.approx(uses_that_pay(found), rel=0.02)


def test_uses_that_pay_is_where_the_prices_meet():
    found = case(p99_s=0.05, entities=1e5)
    least = uses_that_pay(found)
    entities = found.need.rows_per_day / least
    each = plans(replace(found, need=replace(found.need, entities=entities)))
    started = COSTS.batch_start_s / 3600 * PRICES.worker_hour
    assert each["precompute and look up"].price_per_day - started == pytest.approx(each["real time"].price_per_day)


def test_a_flip_flips_and_just_before_it_nothing_does():
    found = case(p99_s=0.05, entities=1e6)
    changes = flips(found)
    assert changes
    by_entities = next(flip for flip in changes if flip.input == "entities")
    for nearer, same in ((0.97, True), (1.0, False)):
        factor = 1 + (by_entities.factor - 1) * nearer
        moved = replace(found, need=replace(found.need, entities=found.need.entities * factor))  # type: ignore[operator]
        assert (advise(moved).mode == advise(found).mode) is same
    assert changes == sorted(changes, key=lambda flip: max(flip.factor, 1 / flip.factor))


def test_every_rule_says_why():
    said = {reason.rule for reason in advise(case(p99_s=0.05, entities=1e5, max_age_s=DAY_S)).reasons}
    assert said >= {rule.__name__ for rule in RULES} - {"look_up_fast_enough"}
    assert against(case(p99_s=0.0005, entities=1e5), "precompute and look up") == {"look_up_fast_enough"}


def test_a_peak_below_the_mean_is_refused():
    with pytest.raises(UsageError, match="--peak-rate"):
        Need(rows_per_day=1e9, peak_rate=10.0)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.floats(1e2, 1e9),
    row_s=st.floats(1e-5, 10.0),
    age_s=st.none() | st.floats(1.0, 1e6),
    window_s=st.floats(10.0, DAY_S),
    entities=st.none() | st.floats(1.0, 1e8),
)
def test_what_is_advised_is_possible_and_the_cheapest(
    rows: float, row_s: float, age_s: float | None, window_s: float, entities: float | None
):
    costs = Costs(CallCost(row_s / 2, row_s / 2), row_s / 2)
    need = Need(rows, 3 * rows / DAY_S, None, age_s, entities, None, None, window_s)
    advice = advise(Case(need, costs, PRICES))
    if advice.mode is None:
        return
    plan = advice.plans[advice.mode]
    assert not advice.against(advice.mode)
    possible = [other for mode, other in advice.plans.items() if not advice.against(mode)]
    assert plan.price_per_day == min(other.price_per_day for other in possible)
    if plan.runs is not None:
        assert plan.runs.seconds <= plan.runs.limit_s * 1.0001
        assert age_s is None or plan.runs.age_s <= age_s * 1.0001
