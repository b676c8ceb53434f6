"""The simulated queue, against what is known of queues."""

from __future__ import annotations

import pytest

from benchmarks.queue_model import ceiling, line_through, p99_s, peak


def test_one_row_at_a_time_is_the_queue_of_the_books() -> None:
    """M/D/1 at half its capacity: the 99th percentile of the wait is about 3.0 service times, by Erlang's formula."""
    assert p99_s(0.5, lambda n: float(n), 1) == pytest.approx(4.1, abs=0.3)


def test_an_idle_queue_takes_the_time_of_a_row() -> None:
    assert p99_s(1e-4, lambda n: 1.0, 64) == pytest.approx(1.0)


def test_more_workers_do_more() -> None:
    assert p99_s(1.6, lambda n: float(n), 1, workers=2) < p99_s(0.8, lambda n: float(n), 1)


def test_shares_of_the_peak_that_a_bound_leaves() -> None:
    """S(n) = 1 + 0.1 n, 99 % within 10: between 0.7 and 0.75 of the most it can do."""
    assert 0.70 < ceiling(10.0, lambda n: 1 + 0.1 * n, 10_000) * 0.1 < 0.75


def test_a_cost_between_and_beyond_what_was_measured() -> None:
    cost = line_through({1: 1.0, 2: 1.5, 4: 2.0})
    assert [cost(n) for n in (1, 2, 3, 4, 8)] == [1.0, 1.5, 1.75, 2.0, 3.0]
    assert peak(cost, 4) == 2.0
    assert peak(cost, 4, 3) == 6.0
