"""What a row costs, measured on the first rows of the input: a split should take a second or two."""

from __future__ import annotations

import time

from twofold._batch.sources import read_split
from twofold._batch.work import SplitTask, Work
from twofold._model import Model
from twofold._runner import Runner

__all__ = ["row_seconds"]

PROBE_ROWS = (1, 1, 16, 256, 2048)
PROBE_S = 0.05
PROBE_MOST_S = 1.0


def row_seconds(model: Model, work: Work, task: SplitTask) -> float | None:
    """Seconds of one row, from the first rows of a split that fit; None where none does."""
    pieces = read_split(task.file, work.input_schema, work.read_columns, min(sum(PROBE_ROWS), work.piece_rows))
    piece = next(pieces, None)
    if piece is None:
        return None
    rows = work.reading.read(piece).rows
    runner = Runner(model)
    together = max(model.concurrency or 1, model.threads or 1) if model.form == "rows" else 1
    row_s: float | None = None
    start = 0
    for n_rows in PROBE_ROWS:
        stop = min(start + n_rows, rows.n_rows)
        if stop == start or (row_s is not None and row_s * (stop - start) > PROBE_MOST_S):
            break
        began = time.perf_counter()
        runner.run(rows.slice(start, stop))
        took_s = time.perf_counter() - began
        if start:  # the very first call warms up
            row_s = took_s / max(stop - start, together)
            if took_s > PROBE_S:
                break
        start = stop
    return row_s
