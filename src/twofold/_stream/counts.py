"""What a stream counts, and how it shows: in /metrics, and when it ends."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from twofold._errors import UsageError
from twofold._realtime.counters import SECOND_BOUNDS

if TYPE_CHECKING:
    from prometheus_client.core import Metric

__all__ = ["Counts", "serve_metrics"]


class Counts:
    """Written by one thread; whoever reads may see a message in one number and not yet in another."""

    def __init__(self) -> None:
        self.answered = self.dead = 0
        self.began = time.monotonic()
        self.lag: Callable[[], int | None] = lambda: None
        self._seconds = [0] * (len(SECOND_BOUNDS) + 1)
        self._sum_s = 0.0

    def delivered(self, answered: int, dead: int, came: Sequence[float]) -> None:
        """These are acknowledged now. `came`: when each message was written."""
        self.answered += answered
        self.dead += dead
        now, seconds = time.time(), self._seconds
        for at in came:
            took = now - at
            seconds[bisect_left(SECOND_BOUNDS, took)] += 1
            self._sum_s += took

    def to_json(self) -> dict[str, Any]:
        seconds = time.monotonic() - self.began
        messages = self.answered + self.dead
        return {
            "messages": messages,
            "answered": self.answered,
            "dead_letters": self.dead,
            "seconds": round(seconds, 3),
            "messages_per_second": round(messages / seconds, 1) if seconds else 0.0,
        }

    # ---- what prometheus-client asks at a scrape

    def describe(self) -> list[Any]:
        return []

    def collect(self) -> Iterator[Metric]:
        from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

        messages = CounterMetricFamily("twofold_stream_messages", "Messages dealt with.", labels=("outcome",))
        messages.add_metric(("answered",), self.answered)
        messages.add_metric(("dead_letter",), self.dead)
        yield messages
        lag = self.lag()
        if lag is not None:
            yield GaugeMetricFamily("twofold_stream_lag", "Messages that wait in the source.", value=lag)
        names = [*(f"{bound:g}" for bound in SECOND_BOUNDS), "+Inf"]
        buckets = list(zip(names, accumulate(self._seconds), strict=True))
        yield HistogramMetricFamily(
            "twofold_stream_seconds",
            "From a message's being written until its answer was acknowledged.",
            buckets=buckets,
            sum_value=self._sum_s,
        )


def serve_metrics(counts: Counts, port: int) -> tuple[int, Callable[[], None]]:
    """Show the counts at http://127.0.0.1:PORT/metrics; gives the port, and what ends it. Raises UsageError."""
    from prometheus_client import CollectorRegistry, start_http_server

    registry = CollectorRegistry(auto_describe=False)
    registry.register(counts)
    try:
        server, thread = start_http_server(port, "127.0.0.1", registry)
    except OSError as error:
        raise UsageError(f"--metrics-port {port}: {error.strerror}. Give another port, or 0 for a free one.") from error

    def close() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return server.server_port, close
