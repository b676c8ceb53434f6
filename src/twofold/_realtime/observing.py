"""What looks on while a server process answers: the access log, the prediction log, traces. Nothing of it is there
unless it was asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold._options import ServeOptions
from twofold._realtime.logs import traces_wanted
from twofold._realtime.service import Service

if TYPE_CHECKING:
    from twofold._realtime.http.tracing import Traces
    from twofold._realtime.prediction_log import PredictionLog

__all__ = ["Observers"]


class Observers:
    """Those of one process. `around`: ASGI apps around the server's, which every request passes, the last one first.
    `access_log`: whether calls that pass by no app are logged, too."""

    def __init__(self, options: ServeOptions, services: Sequence[Service]) -> None:
        """Raises OSError where the folder of the prediction log cannot be had."""
        self.around: list[Callable[[Any], Any]] = []
        self._logs: list[PredictionLog] = []
        if options.log_predictions:
            from twofold._realtime.prediction_log import PredictionLog

            for service in services:
                log = PredictionLog(
                    Path(options.log_folder), options.log_predictions, service.signature, service.name, service.version
                )
                service.keep_in(log)
                self._logs.append(log)
        self.access_log = options.access_log
        if options.access_log:
            from twofold._realtime.http.access_log import AccessLog

            self.around.append(AccessLog)

        self._traces: Traces | None = None
        if traces_wanted():
            from twofold._realtime.http.tracing import Traces

            self._traces = Traces()
            self.around.append(self._traces.around)
            for service in services:
                service.watch(self._traces.of_calls())

    def close(self) -> None:
        """The last request has been answered: what is in memory goes to the disk."""
        for log in self._logs:
            log.close()
        if self._traces is not None:
            self._traces.close()
