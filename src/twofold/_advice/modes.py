"""The four ways to answer, each with its workers, its price, and how old and how late its answers are."""

from __future__ import annotations

import math
from dataclasses import dataclass

from twofold._advice.need import DAY_S, Case
from twofold._advice.queueing import capacity

__all__ = ["MODES", "Plan", "Runs", "plans", "uses_that_pay"]

PATIENT_S = 1.0  # for whom nobody waits: a queue of a second does no harm
AT_LEAST_ONE_ROW = 20.0  # or of so many one-row calls
MODES = ("real time", "batch", "precompute and look up", "both")


@dataclass(frozen=True)
class Runs:
    """Batch runs: one each `interval_s`, over `rows`, by `workers` that are paid for its `seconds`.

    `workers` is 0 where no number of them is enough.
    """

    rows: float
    interval_s: float
    limit_s: float
    workers: int
    seconds: float

    @property
    def age_s(self) -> float:
        """The age of the oldest answer in use: made from what its run found, used until the next one ends."""
        return self.interval_s + self.seconds

    def price_per_day(self, case: Case, *, stored: bool) -> float:
        """`stored`: the answers are written to where they are looked up."""
        each = self.workers * self.seconds / 3600 * case.prices.worker_hour
        writes = self.rows * case.prices.write_million / 1e6 if stored else 0.0
        return (each + writes) * DAY_S / self.interval_s


@dataclass(frozen=True)
class Plan:
    """One way to answer. `always_on`: workers of a service, their use `busy` (0 to 1) on average. `head`: the share of
    entities whose answers are precomputed, `looked_up` the share of uses that these are."""

    mode: str
    price_per_day: float
    always_on: int = 0
    busy: float | None = None
    runs: Runs | None = None
    stale: float | None = None
    head: float | None = None
    looked_up: float | None = None


def plans(case: Case) -> dict[str, Plan]:
    """All that can be thought of for this case; whether they do is said by the rules."""
    found = [real_time(case), batch(case)]
    if case.need.entities is not None:
        found.append(look_up(case))
        if case.need.skew is not None:
            found.append(both(case))
    return {plan.mode: plan for plan in found}


def service_bound_s(case: Case) -> float:
    """How long the queue and the model may take for 99 % of requests."""
    if case.need.p99_s is not None:
        return case.need.p99_s - case.costs.fixed_s
    return max(PATIENT_S, AT_LEAST_ONE_ROW * case.costs.service.seconds(1))


def real_time(case: Case, share: float = 1.0) -> Plan:
    """A service that is always on, large enough for the peak of this share of the uses."""
    need = case.need
    each = capacity(service_bound_s(case), case.costs.service)
    workers = math.ceil(share * need.peak_rate / each - 1e-9) + case.spare if each else 0
    workers = max(workers, 1) if each else 0
    at_once = share * need.rows_per_day / DAY_S
    busy = at_once * case.costs.service.seconds(1) / workers if workers else None
    return Plan(MODES[0], workers * 24 * case.prices.worker_hour, workers, None if busy is None else min(busy, 1.0))


def runs_over(case: Case, rows_of: float, rows_per_s: float) -> Runs:
    """The cheapest runs that keep answers young enough: as rare as may be, with as few workers as fit.

    A run has `rows_of` rows, and `rows_per_s` for each second since the last one.
    """
    costs, age_s = case.costs, case.need.max_age_s
    interval_s = DAY_S if age_s is None or age_s >= 2 * DAY_S else age_s / 2
    limit_s = min(case.need.window_s, interval_s, math.inf if age_s is None else age_s - interval_s)
    rows = rows_of + rows_per_s * interval_s
    work_s, left_s = rows * costs.batch_row_s, limit_s - costs.batch_start_s
    workers = max(1, math.ceil(work_s / left_s - 1e-9)) if left_s > 0 else 0
    return Runs(rows, interval_s, limit_s, workers, costs.batch_start_s + work_s / workers if workers else math.inf)


def batch(case: Case) -> Plan:
    runs = runs_over(case, 0.0, case.need.rows_per_day / DAY_S)
    return Plan(MODES[1], runs.price_per_day(case, stored=False) if runs.workers else math.inf, runs=runs)


def look_up(case: Case, head: float = 1.0, looked_up: float = 1.0) -> Plan:
    """Runs over the entities (a share of them), whose answers are stored and looked up."""
    need = case.need
    assert need.entities is not None
    runs = runs_over(case, head * need.entities, 0.0)
    reads = looked_up * need.rows_per_day * case.prices.read_million / 1e6
    stale = None
    if need.changes_per_day:
        changes = need.changes_per_day * runs.interval_s / DAY_S
        stale = 1 - (1 - math.exp(-changes)) / changes
    price = runs.price_per_day(case, stored=True) + reads if runs.workers else math.inf
    return Plan(MODES[2], price, runs=runs, stale=stale, head=head, looked_up=looked_up)


def both(case: Case) -> Plan:
    """Those entities precomputed whose uses pay for it, the others answered in real time."""
    need = case.need
    assert need.entities is not None
    assert need.skew is not None
    count, whole = need.entities, _zipf_sum(need.entities, need.skew)
    runs_a_day = DAY_S / runs_over(case, 1.0, 0.0).interval_s
    least = uses_that_pay(case) * runs_a_day  # uses a day of the last one that is precomputed
    if least <= 0:
        rank = count
    elif need.skew == 0 or math.isinf(least):
        rank = count if least <= need.rows_per_day / count else 0.0
    else:
        rank = min(count, (need.rows_per_day / whole / least) ** (1 / need.skew))
    rank = max(1.0, rank)
    looked_up = min(1.0, _zipf_sum(rank, need.skew) / whole)
    stored, live = look_up(case, rank / count, looked_up), real_time(case, 1 - looked_up)
    price = stored.price_per_day + (live.price_per_day if live.always_on else math.inf)
    return Plan(MODES[3], price, live.always_on, live.busy, stored.runs, stored.stale, stored.head, stored.looked_up)


def uses_that_pay(case: Case) -> float:
    """Uses of a precomputed answer, from one run to the next, from which on it is cheaper than real time.

    (cost in batch + write) / (cost in real time - read); infinite where a look-up costs no less than real time.
    """
    prices, live = case.prices, real_time(case)
    stored = case.costs.batch_row_s / 3600 * prices.worker_hour + prices.write_million / 1e6
    saved = live.price_per_day / case.need.rows_per_day - prices.read_million / 1e6
    return stored / saved if saved > 0 and live.always_on else math.inf


def _zipf_sum(count: float, skew: float) -> float:
    """1 + 2^-skew + … + count^-skew, by Euler and Maclaurin."""
    exact = min(int(count), 20)
    total = float(sum(rank**-skew for rank in range(1, exact + 1)))
    if count <= exact:
        return total
    area = math.log(count / exact) if skew == 1 else (count ** (1 - skew) - exact ** (1 - skew)) / (1 - skew)
    return float(total + area + (count**-skew - exact**-skew) / 2)
