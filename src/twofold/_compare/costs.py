"""What a comparison has measured, as the costs that an advice is computed from."""

from __future__ import annotations

from twofold._advice.need import Costs
from twofold._advice.queueing import CallCost
from twofold._advice.words import span
from twofold._compare.report import Comparison
from twofold._errors import RunStopped

__all__ = ["costs_of"]


def costs_of(found: Comparison, read_s: float, said: list[str]) -> Costs:
    """Costs of a row in both modes.

    A call's fixed part is what one row alone takes beyond a row of a batch; a request's own part is what is left of
    the server's CPU time for a request under load. `said` gets a line that tells what was measured.
    """
    batch, live = found.batch, found.real_time
    each = batch.cpu_s_per_million_rows_after_start or batch.cpu_s_per_million_rows
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
