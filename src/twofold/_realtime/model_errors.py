"""The tracebacks of a model, in the server's log: of each kind the first at once, then at most one a second."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from twofold._errors import RowFailure
from twofold._realtime.logs import Repeats
from twofold._realtime.tickets import Asker, Part

__all__ = ["ModelErrors"]

LOG = logging.getLogger("twofold")


class ModelErrors:
    """Tells the log of the rows on which one model fails. A row that the model refuses (`BadRow`) is its caller's
    affair, and a process that is lost is told by the parent."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._repeats = Repeats()

    def of_call(self, parts: Iterable[Part], failures: Mapping[int, RowFailure]) -> None:
        """`failures` by the place of the row in a call with these parts."""
        for position, failure in failures.items():
            if failure.code == "model_failed" and (left_out := self._repeats.left_out(failure.kind)) is not None:
                self._tell(failure, _asker(parts, position), left_out)

    def of_stream(self, asker: Asker | None, failure: RowFailure) -> None:
        if failure.code == "model_failed" and (left_out := self._repeats.left_out(failure.kind)) is not None:
            self._tell(failure, asker, left_out)

    def _tell(self, failure: RowFailure, asker: Asker | None, left_out: int) -> None:
        said = {
            "model": self._model,
            "code": failure.code,
            "request_id": "" if asker is None else asker.identify(),
            "left_out": left_out or "",
        }
        record = LOG.makeRecord(
            LOG.name, logging.ERROR, __file__, 0, "%s failed: %s", (self._model, failure.message), None, extra=said
        )
        record.exc_text = failure.traceback or None
        LOG.handle(record)


def _asker(parts: Iterable[Part], position: int) -> Asker | None:
    """Whose row has this place in the call."""
    for ticket, _, n_rows in parts:
        if position < n_rows:
            return ticket.asker
        position -= n_rows
    return None
