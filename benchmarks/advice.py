"""Is the advised mode the cheapest that does? Random jobs, each mode simulated, and the advice beside it.

    python -m benchmarks.advice [--quick]

What a service needs is found by simulating its queue (`queue_model`), what a run needs by handing splits of uneven
length to workers: not by the formulas that the advice is made from. A job counts as well advised where the advised mode
is the cheapest that does in simulation, or costs no more than a percent more than it.
"""

from __future__ import annotations

import argparse
import math
import random
import time

from benchmarks.queue_model import p99_s
from benchmarks.results import Goal, Results
from twofold._advice.modes import Runs, service_bound_s
from twofold._advice.need import DAY_S, Case, Costs, Need, Prices
from twofold._advice.queueing import CallCost
from twofold._advice.rules import Advice, advise

ARRIVALS = 20_000
SPLITS = 64  # of a run, for each worker
UNEVEN = 0.2  # standard deviation of a split's time, of its mean
CLOSE = 1.01


def drawn(draw: random.Random) -> Case:
    """A job as somebody could have it."""

    def between(low: float, high: float) -> float:
        return math.exp(draw.uniform(math.log(low), math.log(high)))

    one_s = between(5e-5, 2.0)
    alone = draw.random()  # the share of a row's time that a call has once
    costs = Costs(CallCost(one_s * alone, one_s * (1 - alone) + 15e-6), one_s * (1 - alone) + 1e-6)
    rows = between(1e3, 3e8)
    known = draw.random() < 0.6
    need = Need(
        rows_per_day=rows,
        peak_rate=between(1.5, 10) * rows / DAY_S,
        p99_s=between(0.01, 5.0) if draw.random() < 0.6 else None,
        max_age_s=between(60.0, 3 * DAY_S) if draw.random() < 0.6 else None,
        entities=between(1e2, 1e7) if known else None,
        skew=draw.uniform(0.3, 1.3) if known and draw.random() < 0.5 else None,
        window_s=DAY_S * draw.choice([1 / 12, 1 / 6, 1 / 3, 1.0]),
    )
    return Case(need, costs, Prices(between(0.02, 1.0), between(0.01, 5.0), between(0.001, 0.5)))


def service_workers(case: Case, peak: float, guess: int) -> int:
    """The fewest workers, each with its share of the requests, that answer 99 % in time; 0 where none do."""
    cost, bound_s = case.costs.service, service_bound_s(case)
    if cost.seconds(1) > bound_s:
        return 0

    def enough(workers: int) -> bool:
        rate = peak / workers
        return rate < cost.peak and p99_s(rate, cost.seconds, cost.most_rows, n_arrivals=ARRIVALS) <= bound_s

    low, high = 0, max(guess, 1)
    while not enough(high):
        low, high = high, max(high + 1, int(high * 1.1))
    if low == 0:
        step = max(1, high // 20)
        while high > step and enough(high - step):
            high -= step
        low = max(0, high - step)
    while high - low > max(1, high // 200):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def run_price(case: Case, runs: Runs, draw: random.Random, *, stored: bool) -> float:
    """A day's runs with the fewest workers that end in time, of uneven splits; infinite where none do."""
    if runs.limit_s <= case.costs.batch_start_s:
        return math.inf
    work_s = runs.rows * case.costs.batch_row_s
    workers = max(1, math.floor(0.9 * work_s / (runs.limit_s - case.costs.batch_start_s)))
    while True:
        each = work_s / (workers * SPLITS)
        loads = [sum(each * max(0.1, draw.gauss(1, UNEVEN)) for _ in range(SPLITS)) for _ in range(min(workers, 64))]
        mean = sum(loads) / len(loads)
        seconds = case.costs.batch_start_s + mean + each  # the last split is over a split later at most
        if seconds <= runs.limit_s:
            break
        workers = max(workers + 1, int(workers * 1.005))
        if workers > 10 * work_s / (runs.limit_s - case.costs.batch_start_s) + 10:
            return math.inf
    paid = workers * seconds / 3600 * case.prices.worker_hour
    writes = runs.rows * case.prices.write_million / 1e6 if stored else 0.0
    return (paid + writes) * DAY_S / runs.interval_s


def simulated(advice: Advice, draw: random.Random) -> dict[str, float]:
    """The price a day of each mode that does."""
    case, found = advice.case, {}
    for mode, plan in advice.plans.items():
        looks_up = mode not in ("real time", "batch")
        if mode == "batch" and case.need.p99_s is not None:
            continue
        if looks_up and case.need.p99_s is not None and case.costs.read_s > case.need.p99_s:
            continue
        price = 0.0
        if mode in ("real time", "both"):
            share = 1 - (plan.looked_up or 0.0)
            workers = service_workers(case, max(share * case.need.peak_rate, 1e-9), plan.always_on)
            price += workers * 24 * case.prices.worker_hour if workers else math.inf
        if plan.runs is not None:
            price += run_price(case, plan.runs, draw, stored=looks_up)
        if looks_up:
            price += (plan.looked_up or 0.0) * case.need.rows_per_day * case.prices.read_million / 1e6
        if math.isfinite(price):
            found[mode] = price
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer jobs")
    quick = parser.parse_args().quick
    began = time.perf_counter()
    jobs = 60 if quick else 1000
    results = Results.begin("advice", 1, quick=quick)
    draw = random.Random(7)
    well, by_mode = 0, dict.fromkeys(("real time", "batch", "precompute and look up", "both", "none"), 0)
    for _ in range(jobs):
        advice = advise(drawn(draw))
        prices = simulated(advice, draw)
        by_mode[advice.mode or "none"] += 1
        if advice.mode is None:
            well += not prices
        elif advice.mode in prices:
            well += prices[advice.mode] <= CLOSE * min(prices.values())
    group = f"{jobs:,} random jobs"
    results.add(
        group, "the advised mode is the cheapest that does, in simulation", "share", {"twofold": [well / jobs]},
        Goal(0.95, at_least=True),
    )  # fmt: skip
    for mode, count in by_mode.items():
        results.add(group, f"advised: {mode}", "", {"twofold": [count]})
    results.save(time.perf_counter() - began)


if __name__ == "__main__":
    main()
