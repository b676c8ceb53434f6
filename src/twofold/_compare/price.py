"""What both modes cost, at the user's price for an hour of a core."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Price"]


@dataclass(frozen=True, slots=True)
class Price:
    """In the user's currency; None where CPU time cannot be measured, or a run was too short to tell.

    `…_per_million`: predictions, by the CPU time they took, cores being full. `service_per_day`: `service_cores`,
    always on; `service_idle`: the share of them that `rows_per_day` leave idle. `batch_per_day`: one run over these a
    day, with its start, which takes `batch_seconds`.
    """

    core_hour: float
    rows_per_day: float
    real_time_per_million: float | None
    batch_per_million: float | None
    service_cores: int
    service_per_day: float
    service_idle: float | None
    batch_per_day: float | None
    batch_seconds: float | None
