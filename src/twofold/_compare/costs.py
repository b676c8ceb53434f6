"""What a comparison has measured, as prices, and as the costs that an advice is computed from."""

from __future__ import annotations

from twofold._advice.need import DAY_S, Costs
from twofold._advice.queueing import CallCost
from twofold._advice.words import span
from twofold._compare.price import Price
from twofold._compare.report import BatchSide, Comparison, RealTimeSide
from twofold._errors import RunStopped

__all__ = ["costs_of", "price_of"]

READ_AND_WRITE_US = 1.0  # of a row of a batch run: three times what benchmarks/breakdown.py finds


def costs_of(found: Comparison, read_s: float, said: list[str]) -> Costs:
    """Costs of a row in both modes.

    A call's fixed part is what one row alone takes beyond a row of a batch; a request's own part is what is left of
    the server's CPU time for a request under load. `said` gets a line that tells what was measured.
    """
    batch, live = found.batch, found.real_time
    each = batch.cpu_s_per_million_rows_after_start
    if each is None and found.alone.call_ms:  # too few rows to tell: what is left is the model, and reading and writing
        n_rows, call_ms = max(found.alone.call_ms.items())
        each = call_ms / n_rows * 1e3 + READ_AND_WRITE_US
    one_s = None if found.alone.one_row_ms is None else found.alone.one_row_ms / 1e3
    if each is None or one_s is None or live.cpu_s_per_million_rows is None:
        raise RunStopped("the costs of this model cannot be measured here. State them: --row-time, --batch-row-time.")
    batch_row_s = each / 1e6
    call_s = max(0.0, one_s - batch_row_s)
    asked_s = live.cpu_s_per_million_rows / 1e6 - call_s / (live.rows_per_call or 1.0)
    service = CallCost(call_s, max(asked_s, min(one_s, batch_row_s)))
    p50_s = (live.latency.p50_ms or 0.0) / 1e3
    said.append(
        f"Measured here: one row alone {span(one_s)}; CPU of a request under load {span(service.row_s)}, and "
        f"{span(call_s)} for each call; CPU of a row in batch {span(batch_row_s)}; a run starts in "
        f"{span(batch.start_s)}."
    )
    return Costs(service, batch_row_s, max(0.0, p50_s - service.seconds(1)), batch.start_s, read_s)


def price_of(live: RealTimeSide, stored: BatchSide, cores: int, core_hour: float, rows_per_day: float) -> Price:
    """From what was measured; `cores` of a service that is always on."""
    each_s = core_hour / 3600
    asked = live.cpu_s_per_million_rows
    whole, after = stored.cpu_s_per_million_rows, stored.cpu_s_per_million_rows_after_start
    rate = stored.rows_per_second_after_start
    run_cpu_s = None
    if whole is not None and after is not None:
        start_cpu_s = max(0.0, (whole - after) * stored.rows_in / 1e6)
        run_cpu_s = start_cpu_s + after * rows_per_day / 1e6
    return Price(
        core_hour=core_hour,
        rows_per_day=rows_per_day,
        real_time_per_million=None if asked is None else asked * each_s,
        batch_per_million=None if after is None else after * each_s,
        service_cores=cores,
        service_per_day=cores * 24 * core_hour,
        service_idle=None if asked is None else max(0.0, 1 - rows_per_day * asked / 1e6 / (cores * DAY_S)),
        batch_per_day=None if run_cpu_s is None else run_cpu_s * each_s,
        batch_seconds=None if rate is None else stored.start_s + rows_per_day / rate,
    )
