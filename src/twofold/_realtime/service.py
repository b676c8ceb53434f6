"""The Service: admit, deadline, batch, answer. Every protocol calls it, and nothing else.

A protocol is a translator: it turns bytes into canonical rows with the Signature, submits them here, and turns what
comes back into bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twofold._columns import Batch
from twofold._realtime.backends import Backend
from twofold._realtime.batcher import Answers, Batcher, Ticket

if TYPE_CHECKING:
    from twofold._signature import Signature

__all__ = ["Service"]

DEADLINE_S = 30.0
MAX_BODY_BYTES = 32 << 20
BATCH_ROWS = 1024


class Service:
    """One model, ready to be asked. Belongs to one event loop.

    `ready` is switched by the server that knows its backend; `draining` once it has been told to stop.
    """

    def __init__(
        self,
        signature: Signature,
        version: str,
        name: str,
        backend: Backend,
        *,
        deadline_s: float = DEADLINE_S,
        max_body_bytes: int = MAX_BODY_BYTES,
        batch_rows: int = BATCH_ROWS,
        example: tuple[Any, ...] | None = None,
    ) -> None:
        self.signature = signature
        self.version = version
        self.name = name
        self.example = example
        self.deadline_s = deadline_s
        self.max_body_bytes = max_body_bytes
        self.ready = True
        self.draining = False
        self._batcher = Batcher(backend, signature.input_schema, batch_rows=batch_rows)

    @property
    def accepting(self) -> bool:
        """What a load balancer asks: may new requests come here?"""
        return self.ready and not self.draining

    @property
    def rows_waiting(self) -> int:
        return self._batcher.rows_waiting

    @property
    def counted(self) -> dict[str, int]:
        """Model calls so far, and the rows that they saw."""
        return {"calls": self._batcher.calls_started, "rows": self._batcher.rows_started}

    def submit(
        self,
        rows: Sequence[tuple[Any, ...]],
        done: Callable[[Sequence[Any]], None],
        *,
        answers: Answers = Batch.rows,
        deadline_s: float | None = None,
    ) -> Ticket:
        """Answer these canonical rows (at least one).

        `done` is called once, later, in the loop's thread, with one item a row: its answer in the form that `answers`
        makes of the outputs (by default canonical tuples), or a `RowFailure`. It is not called after `Ticket.cancel`.
        """
        limit_s = self.deadline_s if deadline_s is None else min(deadline_s, self.deadline_s)
        return self._batcher.submit(rows, answers, done, deadline_s=limit_s)
