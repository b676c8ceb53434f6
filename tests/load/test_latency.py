"""Percentiles, and how many samples they take."""

from __future__ import annotations

import pytest

from twofold._load.latency import MIN_P99_SAMPLES, allowed_over, fewest_samples, percentile, summarise


@pytest.mark.parametrize(
    ("samples", "allowed"),
    [(1, -1), (458, -1), (459, 0), (661, 0), (662, 1), (1307, 5), (2010, 10), (6898, 50)],
)
def test_counts_of_the_early_stopping_rule(samples: int, allowed: int) -> None:
    """The smallest sample counts for 0, 1, 5, 10 and 50 answers over a p99, as MLPerf's rules have them."""
    assert allowed_over(samples) == allowed


def test_other_quantiles() -> None:
    assert allowed_over(44, 0.9) == 0
    assert allowed_over(43, 0.9) == -1
    assert allowed_over(4603, 0.999) == 0


def test_no_p99_from_too_few_samples() -> None:
    few = summarise([0.001] * (MIN_P99_SAMPLES - 1))
    assert few.p99_ms is None
    assert few.p50_ms == pytest.approx(1.0)


def test_p99_is_on_the_safe_side() -> None:
    latencies = [n / 1e6 for n in range(1, 10_001)]
    found = summarise(reversed(latencies))
    assert found.samples == 10_000
    assert found.p50_ms == pytest.approx(5.0005)
    assert found.max_ms == pytest.approx(10.0)
    # 77 of 10,000 may be larger, not 100: then it is 99 % certain
    assert found.p99_ms == pytest.approx(9.923)
    assert found.to_json()["p99_ms"] == found.p99_ms


def test_p99_of_just_enough_samples_is_the_largest() -> None:
    found = summarise([n / 1000 for n in range(MIN_P99_SAMPLES)])
    assert found.p99_ms == found.max_ms


@pytest.mark.parametrize(("quantile", "samples"), [(0.5, 1), (0.9, 44), (0.99, 459), (0.999, 4603)])
def test_a_percentile_is_there_from_its_fewest_samples_on(quantile: float, samples: int) -> None:
    assert fewest_samples(quantile) == samples
    assert percentile([1.0] * samples, quantile) == 1.0
    assert percentile([1.0] * (samples - 1), quantile) is None
