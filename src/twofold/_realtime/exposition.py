"""The metrics of a server in Prometheus text: what all its processes have counted, read when somebody asks.

Names and units follow https://prometheus.io/docs/practices/naming/. No label has more values than the code has:
models, outcomes, reasons.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from twofold._realtime.counters import (
    BATCH_ROWS,
    FAILED_ROWS,
    IN_FLIGHT,
    MODEL_S,
    OUTCOMES,
    QUEUE_ROWS,
    QUEUE_S,
    REFUSALS,
    ROWS,
    TOTAL_S,
    Counters,
    Histogram,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["CONTENT_TYPE", "Counted", "OwnCounts", "exposition"]

CONTENT_TYPE: Final = b"text/plain; version=0.0.4; charset=utf-8"
HISTOGRAMS: Final = (
    ("twofold_batch_rows", "Rows of a model call.", BATCH_ROWS),
    ("twofold_queue_seconds", "From a request's arrival until its rows went to the model.", QUEUE_S),
    ("twofold_model_seconds", "Length of a model call.", MODEL_S),
    ("twofold_request_seconds", "From a request's arrival until its answer was there.", TOTAL_S),
)


class Counted(Protocol):
    """Where the counts of all processes are: `board.Board`."""

    def sums(self, model: int) -> list[float]: ...
    def pids(self) -> list[int]: ...


class OwnCounts:
    """The counts of a server that is one process."""

    def __init__(self, counters: Sequence[Counters]) -> None:
        self._counters = counters

    def sums(self, model: int) -> list[float]:
        return list(self._counters[model].cells)

    def pids(self) -> list[int]:
        return []


def exposition(counted: Counted, models: Sequence[tuple[str, str]]) -> bytes:
    """The text for a scrape. `models`: name and version of each, in the board's order."""
    from prometheus_client import CollectorRegistry
    from prometheus_client.exposition import generate_latest

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(counted, models))
    text: bytes = generate_latest(registry)
    return text


class _Collector:
    """What prometheus-client asks at a scrape."""

    def __init__(self, counted: Counted, models: Sequence[tuple[str, str]]) -> None:
        self._counted = counted
        self._models = models

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Metric]:
        numbers = [(name, self._counted.sums(at)) for at, (name, _) in enumerate(self._models)]
        yield from _counts(numbers)
        yield from _histograms(numbers)
        yield from self._information()

    def _information(self) -> Iterator[Metric]:
        from prometheus_client.core import GaugeMetricFamily

        versions = GaugeMetricFamily("twofold_model_info", "The models, as label values.", labels=("model", "version"))
        for name, version in self._models:
            versions.add_metric((name, version), 1)
        yield versions
        memory = GaugeMetricFamily("twofold_resident_memory_bytes", "Memory of all processes of the server.")
        memory.add_metric((), sum(map(_resident_bytes, {*self._counted.pids(), os.getpid()})))
        yield memory


def _counts(numbers: Sequence[tuple[str, list[float]]]) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    requests = CounterMetricFamily(
        "twofold_requests", "Requests answered, by how they ended.", labels=("model", "code")
    )
    refused = CounterMetricFamily(
        "twofold_refused", "Requests refused at arrival, by reason.", labels=("model", "reason")
    )
    rows = CounterMetricFamily("twofold_rows", "Rows that a model call has seen.", labels=("model",))
    failed = CounterMetricFamily("twofold_failed_rows", "Rows on which the model failed.", labels=("model",))
    in_flight = GaugeMetricFamily("twofold_requests_in_flight", "Requests that wait or compute.", labels=("model",))
    queue = GaugeMetricFamily("twofold_queue_rows", "Rows that no model call has taken yet.", labels=("model",))
    for name, cells in numbers:
        for at, outcome in enumerate(OUTCOMES):
            if cells[at] or outcome == "ok":
                requests.add_metric((name, outcome), cells[at])
        for at, reason in enumerate(REFUSALS, len(OUTCOMES)):
            refused.add_metric((name, reason), cells[at])
        rows.add_metric((name,), cells[ROWS])
        failed.add_metric((name,), cells[FAILED_ROWS])
        in_flight.add_metric((name,), cells[IN_FLIGHT])
        queue.add_metric((name,), cells[QUEUE_ROWS])
    yield from (requests, refused, rows, failed, in_flight, queue)


def _histograms(numbers: Sequence[tuple[str, list[float]]]) -> Iterator[Metric]:
    from prometheus_client.core import HistogramMetricFamily

    for metric, meaning, histogram in HISTOGRAMS:
        family = HistogramMetricFamily(metric, meaning, labels=("model",))
        for name, cells in numbers:
            family.add_metric((name,), list(_cumulative(histogram, cells)), cells[histogram.sum])
        yield family


def _cumulative(histogram: Histogram, cells: Sequence[float]) -> Iterable[tuple[str, float]]:
    names = [*(f"{bound:g}" for bound in histogram.bounds), "+Inf"]
    return zip(names, accumulate(cells[histogram.first : histogram.sum]), strict=True)


def _resident_bytes(pid: int) -> int:
    """0 for a process that is gone, and where /proc does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0
