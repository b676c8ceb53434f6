"""How long a request takes when one worker gathers all that waits: greedy batches, Poisson arrivals, t(n) = a + b n.

The sizes of successive calls are a Markov chain (whoever arrives during a call is in the next one), solved here as it
stands; where calls are large enough that chance averages out, a call's length follows from one equation. Both are held
against a simulation in the tests and by `benchmarks/advice.py`. Background: Inoue, "Queueing analysis of GPU-based
inference servers with dynamic batching" (arXiv 1912.06322).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

__all__ = ["CallCost", "Sojourn", "capacity", "sojourn"]

MOST_STATES = 300  # beyond so many rows in a call, chance hardly changes its length
MOMENTS = 16  # of a call, at which arrivals are looked at
SPREAD, LEVELS = 4.0, 17  # how far a number of arrivals is followed from its mean, in standard deviations and steps
LEAST_SHARE = 1e-7  # of all calls: rarer states are left out
STEPS = 10  # of a bisection: to 1/1,024 of the peak


@dataclass(frozen=True)
class CallCost:
    """t(n) = `call_s` + `row_s` * n seconds for a call with n rows, at most `most_rows` of them."""

    call_s: float
    row_s: float
    most_rows: int = 1024

    def seconds(self, n_rows: float) -> float:
        return self.call_s + self.row_s * n_rows

    @property
    def peak(self) -> float:
        """Rows a second, when there are always enough."""
        return self.most_rows / self.seconds(self.most_rows)


@dataclass(frozen=True)
class Sojourn:
    """Seconds from arrival to answer, as a weighted sample, and how busy the worker is (0 to 1)."""

    seconds: Numbers
    weights: Numbers
    busy: float
    rows_per_call: float

    def percentile(self, share: float) -> float:
        """What this share of all requests stays within."""
        import numpy as np

        order = np.argsort(self.seconds)
        at = int(np.searchsorted(self.weights[order].cumsum(), share * self.weights.sum()))
        return float(self.seconds[order[min(at, len(order) - 1)]])

    def within(self, seconds: float) -> float:
        """The share of all requests that stays within this time."""
        return float(self.weights[self.seconds <= seconds].sum() / self.weights.sum())


def sojourn(rate: float, cost: CallCost, states: int = MOST_STATES) -> Sojourn | None:
    """At `rate` requests a second for one worker; None where they are more than it can answer.

    `states`: so many waiting rows are told apart.
    """
    if rate >= cost.peak:
        return None
    together = rate * cost.call_s / (1 - rate * cost.row_s) if rate * cost.row_s < 1 else math.inf
    if together > MOST_STATES / 2:
        return _fluid(rate, cost, min(together, cost.most_rows))
    return _chain(rate, cost, states)


def _fluid(rate: float, cost: CallCost, together: float) -> Sojourn:
    """Each call takes what came during the one before: a request waits for the rest of a call, then is in the next."""
    import numpy as np

    call_s = cost.seconds(together)
    seconds = call_s + call_s * (np.arange(MOMENTS) + 0.5) / MOMENTS
    return Sojourn(seconds, np.ones(MOMENTS), 1.0 if rate else 0.0, together)


def _chain(rate: float, cost: CallCost, states: int) -> Sojourn:
    """State: how many rows wait when a call begins (at least one)."""
    import numpy as np

    waiting = np.arange(1, states + 1)
    in_call = np.minimum(waiting, cost.most_rows)
    left = waiting - in_call
    call_s = cost.call_s + cost.row_s * in_call
    came = _poisson(rate * call_s[:, None], np.arange(states + 1.0)[None, :])  # (states, how many come in the call)
    after = came.copy()
    for state in np.flatnonzero(left):
        after[state] = np.concatenate([np.zeros(left[state]), came[state]])[: states + 1]
    moves = after[:, 1:]  # chance of each next state
    moves[:, 0] += after[:, 0]  # none waits: the next call is that of the next arrival
    moves[:, -1] += np.maximum(0.0, 1 - moves.sum(axis=1))
    equations = moves.T - np.eye(states)
    equations[-1] = 1.0  # the shares of all states are one
    shares = np.maximum(np.linalg.solve(equations, np.append(np.zeros(states - 1), 1.0)), 0.0)
    idle = float((shares * came[:, 0])[left == 0].sum())
    busy_s = float(shares @ call_s)
    kept = shares > LEAST_SHARE
    seconds, weights = _arrivals(rate, cost, (shares[kept], left[kept], call_s[kept]))
    busy = busy_s / (busy_s + idle / rate)
    return Sojourn(np.append(seconds, cost.seconds(1)), np.append(weights, idle), busy, float(shares @ in_call))


def _arrivals(rate: float, cost: CallCost, states: tuple[Any, Any, Any]) -> tuple[Numbers, Numbers]:
    """Those that come during a call: the rest of it, full calls while more wait before them, and their own."""
    import numpy as np

    shares, left, call_s = (values[:, None, None] for values in states)
    mean = rate * call_s
    at = (np.arange(MOMENTS)[None, :, None] + 0.5) / MOMENTS
    step = np.maximum(1.0, np.round(np.sqrt(mean) * 2 * SPREAD / LEVELS))
    others = np.round(mean) + step * (np.arange(LEVELS) - LEVELS // 2)
    chance = np.where(others < 0, 0.0, _poisson(mean, np.maximum(others, 0.0)))
    before = left + others * at
    calls_before = np.floor(before / cost.most_rows)
    last = np.minimum(left + others + 1 - calls_before * cost.most_rows, cost.most_rows)
    took = call_s * (1 - at) + calls_before * cost.seconds(cost.most_rows) + cost.call_s + cost.row_s * last
    weights = shares * mean * chance / chance.sum(axis=2, keepdims=True) / MOMENTS
    return took.ravel(), np.broadcast_to(weights, took.shape).ravel()


def _poisson(means: Numbers, counts: Numbers) -> Numbers:
    """The chance of each count, where so many come on average; the two arrays fit each other."""
    import numpy as np

    log_factorials = np.append(0.0, np.log(np.arange(1.0, counts.max() + 1)).cumsum())
    found: Numbers = np.exp(counts * np.log(means) - means - log_factorials[counts.astype(np.int64)])
    return found


@lru_cache(maxsize=1024)
def capacity(within_s: float, cost: CallCost, share: float = 0.99) -> float:
    """The most requests a second for one worker of which `share` are answered `within_s`; 0.0 where none can be."""
    if cost.seconds(1) > within_s:
        return 0.0
    low, high = 0.0, cost.peak
    for _ in range(STEPS):
        middle = (low + high) / 2
        found = sojourn(middle, cost, min(MOST_STATES, int(3 * middle * within_s) + 30))  # more would be late
        if found is not None and found.within(within_s) >= share:
            low = middle
        else:
            high = middle
    return low
