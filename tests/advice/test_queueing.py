"""The formulas of waiting, against a simulation of the same queue."""

from __future__ import annotations

import pytest

from benchmarks.queue_model import p99_s
from twofold._advice.queueing import CallCost, capacity, sojourn

COSTS = [
    CallCost(0.001, 0.0001),  # gathering pays
    CallCost(0.001, 0.0005),
    CallCost(0.0, 0.001),  # it does not: one row after the other
    CallCost(0.0005, 0.001, most_rows=4),
]


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("use", [0.2, 0.6, 0.85])
def test_the_99th_percentile_is_that_of_the_simulation(cost: CallCost, use: float):
    rate = use * cost.peak
    found = sojourn(rate, cost)
    assert found is not None
    simulated = p99_s(rate, cost.seconds, cost.most_rows, n_arrivals=30_000)
    assert found.percentile(0.99) == pytest.approx(simulated, rel=0.12)
    assert found.percentile(0.5) <= found.percentile(0.99)


def test_many_rows_in_a_call_follow_from_one_equation():
    cost = CallCost(0.001, 0.00001)
    rate = 0.8 * cost.peak
    found = sojourn(rate, cost)
    assert found is not None
    assert found.rows_per_call > 200
    assert found.percentile(0.99) == pytest.approx(
        p99_s(rate, cost.seconds, cost.most_rows, n_arrivals=30_000), rel=0.12
    )


def test_more_than_can_be_answered_has_no_answer():
    cost = CallCost(0.001, 0.001)
    assert sojourn(cost.peak, cost) is None
    assert sojourn(0.99 * cost.peak, cost) is not None


def test_an_idle_worker_takes_the_time_of_one_row():
    found = sojourn(0.1, CallCost(0.002, 0.001))
    assert found is not None
    assert found.percentile(0.5) == pytest.approx(0.003)
    assert found.busy == pytest.approx(0.0003, rel=0.01)


def test_capacity_keeps_the_bound_and_would_not_keep_it_much_higher():
    cost = CallCost(0.001, 0.0005)
    most = capacity(0.015, cost)
    assert p99_s(0.97 * most, cost.seconds, cost.most_rows, n_arrivals=30_000) < 0.015
    assert p99_s(1.04 * most, cost.seconds, cost.most_rows, n_arrivals=30_000) > 0.015


def test_no_capacity_where_one_row_takes_longer_than_an_answer_may():
    assert capacity(0.002, CallCost(0.002, 0.001)) == 0.0
