"""What one process counts of one model: plain numbers in its cells of the board, written without locks.

Each process has cells of its own and is the only one to write them, so that adding costs a few tenths of a
microsecond; whoever is asked for the metrics sums them over all processes. Histograms are kept as one count a bucket,
and made cumulative when shown. Names and units are in `exposition`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import Final, Union

__all__ = ["CELLS", "GAUGES", "OUTCOMES", "REFUSALS", "ROW_BOUNDS", "SECOND_BOUNDS", "Counters", "Histogram"]

Cells = Union["memoryview[float]", "array[float]"]

# How a request ended: "ok", or the code of the problem it was answered with (`http.problems`).
OUTCOMES: Final = (
    "ok",
    "bad_request",
    "bad_body",
    "not_json",
    "unauthorized",
    "not_found",
    "method_not_allowed",
    "not_acceptable",
    "request_timeout",
    "body_too_large",
    "unsupported_media_type",
    "row_does_not_fit",
    "bad_row",
    "unanswerable",
    "headers_too_large",
    "overloaded",
    "model_failed",
    "internal_error",
    "worker_lost",
    "not_ready",
    "deadline_exceeded",
    "client_gone",
    "other",
)
REFUSALS: Final = ("deadline", "queue", "streams")
ROW_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
# Six a decade: a percentile read from them is right to about a fifth.
SECOND_BOUNDS: Final = tuple(
    round(step * 10.0**power, 9) for power in range(-5, 2) for step in (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)
)[3:-2]


class Histogram:
    """Where a histogram stands among the cells: a count a bucket, the last one for what is above all bounds; a sum."""

    def __init__(self, first: int, bounds: tuple[float, ...]) -> None:
        self.first = first
        self.bounds = bounds
        self.sum = first + len(bounds) + 1
        self.end = self.sum + 1


_OUTCOME: Final = {outcome: at for at, outcome in enumerate(OUTCOMES)}
_REFUSAL: Final = {reason: len(OUTCOMES) + at for at, reason in enumerate(REFUSALS)}
IN_FLIGHT: Final = len(OUTCOMES) + len(REFUSALS)
QUEUE_ROWS: Final = IN_FLIGHT + 1
ROWS: Final = QUEUE_ROWS + 1
FAILED_ROWS: Final = ROWS + 1
BATCH_ROWS: Final = Histogram(FAILED_ROWS + 1, ROW_BOUNDS)
QUEUE_S: Final = Histogram(BATCH_ROWS.end, SECOND_BOUNDS)
MODEL_S: Final = Histogram(QUEUE_S.end, SECOND_BOUNDS)
TOTAL_S: Final = Histogram(MODEL_S.end, SECOND_BOUNDS)
# Numbers that fall again: what a process that is gone had there is over.
GAUGES: Final = (IN_FLIGHT, QUEUE_ROWS)
# Numbers of one model in one process.
CELLS: Final = TOTAL_S.end


class Counters:
    """Counts of one model in one process. `cells`: CELLS numbers, shared or not."""

    def __init__(self, cells: Cells | None = None) -> None:
        self.cells: Cells = array("d", bytes(8 * CELLS)) if cells is None else cells
        # Requests that ended with "ok" while the answers of a call were handed out: `left`, which comes after, adds
        # them to the cells.
        self.delivered = 0

    def arrived(self, requests: int = 1) -> None:
        """The rows of so many requests were admitted."""
        self.cells[IN_FLIGHT] += requests

    def waiting(self, rows: int) -> None:
        """So many rows are in the queue now."""
        self.cells[QUEUE_ROWS] = rows

    def refused(self, reason: str) -> None:
        """A request was refused at arrival; it ends with `ended("overloaded")`."""
        self.cells[_REFUSAL[reason]] += 1

    def called(self, rows: int, failed_rows: int, model_s: float, began: float, came: Sequence[float]) -> None:
        """A model call is over. `came`: when each request came whose first rows were in it, by the clock that says
        when it `began`."""
        cells = self.cells
        cells[ROWS] += rows
        if failed_rows:
            cells[FAILED_ROWS] += failed_rows
        cells[BATCH_ROWS.first + bisect_left(ROW_BOUNDS, rows)] += 1
        cells[BATCH_ROWS.sum] += rows
        _add(cells, MODEL_S, model_s)
        _add_since(cells, QUEUE_S, began, came)

    def left(self, now: float, came: Sequence[float]) -> None:
        """Requests that had arrived are out of the Service now. `came`: when each of them came."""
        cells = self.cells
        _add_since(cells, TOTAL_S, now, came)
        cells[IN_FLIGHT] -= len(came)
        if self.delivered:
            cells[0] += self.delivered
            self.delivered = 0

    def calls_and_rows(self) -> dict[str, int]:
        """Model calls that are over, and the rows that they saw."""
        calls = sum(self.cells[BATCH_ROWS.first : BATCH_ROWS.sum])
        return {"calls": int(calls), "rows": int(self.cells[ROWS])}

    def ended(self, outcome: str) -> None:
        """A request got its answer: "ok", or the code of a problem."""
        self.cells[_OUTCOME.get(outcome, len(OUTCOMES) - 1)] += 1

    def succeeded(self) -> None:
        """`ended("ok")`."""
        self.cells[0] += 1


def _add(cells: Cells, histogram: Histogram, value: float, times: int = 1) -> None:
    cells[histogram.first + bisect_left(histogram.bounds, value)] += times
    cells[histogram.sum] += value * times


def _add_since(cells: Cells, histogram: Histogram, now: float, times: Sequence[float]) -> None:
    """The seconds from each of the times until now. Nearly always they are one: that of a tick of the event loop."""
    if not times:
        return
    first, count = times[0], len(times)
    if times.count(first) == count:
        _add(cells, histogram, now - first, count)
    else:
        for time in times:
            _add(cells, histogram, now - time)
