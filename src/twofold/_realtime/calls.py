"""A call of the model: the requests in it, and their rows as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twofold._columns import Batch
from twofold._realtime.tickets import BatchTicket, Part
from twofold._runner import Result

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Call", "joined"]


class Call:
    """A call that runs; it is called itself when there is a result."""

    __slots__ = ("batch", "began", "ended", "ends", "n_rows", "parts")

    batch: Batch

    def __init__(self, ended: Callable[[Call, Result], None], parts: list[Part], n_rows: int, began: float) -> None:
        self.ended = ended
        self.parts = parts
        self.n_rows = n_rows
        self.began = began
        self.ends = began  # when it will be over, as far as is known

    def __call__(self, result: Result) -> None:
        self.ended(self, result)


def joined(parts: Sequence[Part], inputs: pa.Schema) -> Batch:
    """The batch of a call in which some rows are columns."""
    pieces: list[Batch] = []
    for ticket, first, n_rows in parts:
        last = first + n_rows
        if isinstance(ticket, BatchTicket):
            pieces.append(ticket.batch if n_rows == ticket.n_rows else ticket.batch.slice(first, last))
        else:
            assert ticket.rows is not None
            pieces.append(Batch.from_rows(inputs, list(ticket.rows[first:last])))
    return Batch.concat(pieces)
