"""Which single input would change the advice, and by how much."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from twofold._advice.need import Case
from twofold._advice.rules import advise
from twofold._errors import UsageError

__all__ = ["INPUTS", "Flip", "flips"]

FARTHEST = 128.0  # times more, or less
STEPS = 7  # of a bisection between two factors of two: to a percent


@dataclass(frozen=True)
class Flip:
    """With `factor` times this input (now `value`, then `at`), and all else as it is, the advice is `mode`."""

    input: str
    value: float
    factor: float
    mode: str | None

    @property
    def at(self) -> float:
        return self.value * self.factor


Get = Callable[[Case], float | None]
Scale = Callable[[Case, float], Case]


def _of_need(name: str) -> tuple[Get, Scale]:
    return (
        lambda case: getattr(case.need, name),
        lambda case, factor: replace(case, need=replace(case.need, **{name: getattr(case.need, name) * factor})),
    )


def _of_prices(name: str) -> tuple[Get, Scale]:
    return (
        lambda case: getattr(case.prices, name) or None,
        lambda case, factor: replace(case, prices=replace(case.prices, **{name: getattr(case.prices, name) * factor})),
    )


def _volume(case: Case, factor: float) -> Case:
    need = case.need
    return replace(case, need=replace(need, rows_per_day=need.rows_per_day * factor, peak_rate=need.peak_rate * factor))


def _row_time(case: Case, factor: float) -> Case:
    costs, service = case.costs, case.costs.service
    slower = replace(service, call_s=service.call_s * factor, row_s=service.row_s * factor)
    return replace(case, costs=replace(costs, service=slower, batch_row_s=costs.batch_row_s * factor))


INPUTS: dict[str, tuple[Get, Scale]] = {
    "rows per day (and the peak with them)": (lambda case: case.need.rows_per_day, _volume),
    "peak rate": _of_need("peak_rate"),
    "p99": _of_need("p99_s"),
    "freshness": _of_need("max_age_s"),
    "entities": _of_need("entities"),
    "skew": _of_need("skew"),
    "window": _of_need("window_s"),
    "time of a row": (lambda case: case.costs.service.seconds(1), _row_time),
    "price of a write": _of_prices("write_million"),
    "price of a read": _of_prices("read_million"),
}


def flips(case: Case) -> list[Flip]:
    """The nearest change of each input that changes the advice, the smallest first."""
    now = advise(case).mode
    found = []
    for name, (get, scale) in INPUTS.items():
        value = get(case)
        if value is None:
            continue
        each = [flip for up in (True, False) if (flip := _nearest(case, scale, up, now)) is not None]
        if each:
            factor, mode = min(each, key=lambda flip: max(flip[0], 1 / flip[0]))
            found.append(Flip(name, value, factor, mode))
    return sorted(found, key=lambda flip: max(flip.factor, 1 / flip.factor))


def _nearest(case: Case, scale: Scale, up: bool, now: str | None) -> tuple[float, str | None] | None:
    """The smallest factor above (or largest below) one that changes the advice, and to what."""

    def mode_at(factor: float) -> str | None:
        try:
            return advise(scale(case, factor)).mode
        except UsageError:  # a peak below the mean is no case
            return now

    near, far = 1.0, 2.0
    while far <= FARTHEST and mode_at(far if up else 1 / far) == now:
        near, far = far, 2 * far
    if far > FARTHEST:
        return None
    for _ in range(STEPS):
        middle = (near * far) ** 0.5
        if mode_at(middle if up else 1 / middle) == now:
            near = middle
        else:
            far = middle
    factor = far if up else 1 / far
    return factor, mode_at(factor)
