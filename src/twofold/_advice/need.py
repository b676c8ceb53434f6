"""What an advice rests on: the need, the prices, and what the model costs. All numbers are the user's or measured."""

from __future__ import annotations

from dataclasses import dataclass, field

from twofold._advice.queueing import CallCost
from twofold._errors import UsageError

__all__ = ["DAY_S", "Case", "Costs", "Need", "Prices"]

DAY_S = 86_400.0


@dataclass(frozen=True)
class Need:
    """What is to be answered, and how.

    `rows_per_day`: predictions that are used a day. `peak_rate`: the most that are asked for, a second. `p99_s`: 99 %
    of those who ask must have their answer within; None: nobody waits for an answer. `max_age_s`: what an answer rests
    on may be so old when it is used; None: a day or more does no harm. `entities`: how many things are asked about,
    where they and their fields are known before somebody asks (None: they are not). `skew`: the exponent of the Zipf
    law that the uses of these follow (None: all are used alike, as far as is known). `changes_per_day`: how often the
    fields of one of them change. `window_s`: a batch run may take so long at most.
    """

    rows_per_day: float
    peak_rate: float
    p99_s: float | None = None
    max_age_s: float | None = None
    entities: float | None = None
    skew: float | None = None
    changes_per_day: float | None = None
    window_s: float = DAY_S

    def __post_init__(self) -> None:
        if self.peak_rate < self.rows_per_day / DAY_S:
            raise UsageError(
                f"a peak of {self.peak_rate:,.3g} rows/s is less than the mean of {self.rows_per_day:,.0f} rows a day "
                f"({self.rows_per_day / DAY_S:,.3g}/s). Is --peak-rate per second?"
            )


@dataclass(frozen=True)
class Prices:
    """In any one currency. `worker_hour`: a worker (a core) for an hour. `write_million` and `read_million`: storing
    and looking up a million answers that were precomputed."""

    worker_hour: float = 1.0
    write_million: float = 0.0
    read_million: float = 0.0


@dataclass(frozen=True)
class Costs:
    """What the model costs. `service`: a worker's time for n rows that were asked for, the requests included;
    `fixed_s`: what an answer takes beside that. `batch_row_s`: a worker's time for a row of a batch run, reading and
    writing included; `batch_start_s`: of a run before its first row. `read_s`: looking one answer up."""

    service: CallCost
    batch_row_s: float
    fixed_s: float = 0.0005
    batch_start_s: float = 1.0
    read_s: float = 0.001


@dataclass(frozen=True)
class Case:
    """Everything an advice is computed from. `spare`: workers that are held ready beside those the peak needs."""

    need: Need
    costs: Costs
    prices: Prices = field(default_factory=Prices)
    spare: int = 0
