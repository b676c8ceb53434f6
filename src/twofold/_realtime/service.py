"""The Service: admit, deadline, batch, answer. Every protocol calls it, and nothing else.

A protocol is a translator: it turns bytes into canonical rows with the Signature, submits them here, and turns what
comes back into bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._profile import Profile
from twofold._realtime.backends import Backend
from twofold._realtime.batcher import Answers, Batcher, Ticket
from twofold._realtime.counters import Counters
from twofold._realtime.limits import Limits
from twofold._realtime.model_errors import ModelErrors
from twofold._realtime.streams import OnePiece, Streaming, Streams, StreamTicket

if TYPE_CHECKING:
    from twofold._realtime.prediction_log import PredictionLog
    from twofold._realtime.tickets import Watcher
    from twofold._runner import Result
    from twofold._signature import Signature
    from twofold._usage import Piece

__all__ = ["Service"]

USUAL = Limits()


class Service:
    """One model, ready to be asked. Belongs to one event loop. `streams`: it yields its answers (see `stream`);
    `chat`: it answers chats.

    `ready` is switched by the server that knows its backend; `draining` once it has been told to stop.
    """

    def __init__(
        self,
        signature: Signature,
        version: str,
        name: str,
        backend: Backend,
        *,
        limits: Limits = USUAL,
        example: tuple[Any, ...] | None = None,
        profile: Profile | None = None,
        counters: Counters | None = None,
        streams: bool = False,
        chat: bool = False,
    ) -> None:
        self.signature = signature
        self.version = version
        self.name = name
        self.example = example
        self.limits = limits
        self.profile = Profile() if profile is None else profile
        self.streams = streams
        self.chat = chat
        self.ready = True
        self.draining = False
        self._log: PredictionLog | None = None
        self.counters = Counters() if counters is None else counters
        self._batcher = Batcher(
            backend,
            signature.input_schema,
            signature.output_schema,
            limits=limits,
            profile=self.profile,
            counters=self.counters,
        )
        self.queue = self._batcher.submit  # `submit`, for translators to whom a call more would be a cost
        errors = ModelErrors(name)
        self._batcher.on_failed = errors.of_call
        if streams:
            self._batcher.streams = Streams(
                cast("Streaming", backend),
                signature.input_schema,
                max_streams=limits.max_streams,
                longest_s=limits.deadline_s,
                wake=self._batcher.wake,
                counters=self.counters,
            )
            self._batcher.streams.on_failed = errors.of_stream

    def keep_in(self, log: PredictionLog) -> None:
        """Have answered rows kept in this log."""
        self._log = log
        self.watch(lambda _parts, _began, batch, result: log.take(batch, result))

    def watch(self, watcher: Watcher) -> None:
        """Show each model call that is over to `watcher`, once its answers are out."""
        self._batcher.watch(watcher)

    @property
    def on_slow(self) -> Callable[[float], None] | None:
        """Told the seconds of the last of three one-row calls in a row that have held the event loop for over 5 ms."""
        return self._batcher.pace.on_slow

    @on_slow.setter
    def on_slow(self, tell: Callable[[float], None] | None) -> None:
        self._batcher.pace.on_slow = tell

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
        return self.counters.calls_and_rows()

    def submit(
        self,
        rows: Sequence[tuple[Any, ...]],
        done: Callable[[Sequence[Any]], None],
        *,
        answers: Answers = Batch.rows,
        deadline_s: float | None = None,
        n_bytes: int = 0,
    ) -> Ticket:
        """Answer these canonical rows (at least one); `n_bytes` is the size of the body they came in.

        `done` is called once, later, in the loop's thread, with one item a row: its answer in the form that `answers`
        makes of the outputs (by default canonical tuples), or a `RowFailure`. It is not called after `Ticket.cancel`.

        Raises Refused, at once, when the work ahead leaves no time for it, or no memory is left for what waits.
        """
        return self._batcher.submit(rows, answers, done, deadline_s, n_bytes)

    def submit_batch(
        self, batch: Batch, done: Callable[[Result], None], *, deadline_s: float | None = None, n_bytes: int = 0
    ) -> Ticket:
        """Answer the rows of this batch (at least one); `done` is called once, later, with what became of them all,
        in order. As `submit` otherwise, but columns stay columns."""
        return self._batcher.submit_batch(batch, done, deadline_s=deadline_s, n_bytes=n_bytes)

    def stream(
        self,
        row: tuple[Any, ...],
        on_piece: Callable[[Piece], None],
        on_end: Callable[[RowFailure | None], None],
        *,
        deadline_s: float | None = None,
    ) -> StreamTicket | OnePiece:
        """Answer one canonical row piece by piece. A model that does not yield, but answers with a text, gives it as
        the only piece.

        `on_piece` is called later, in the loop's thread, with each piece as it is made (and with a Usage, where the
        model counts); then `on_end`, once, with what broke the answer off or None. Neither is called after
        `StreamTicket.cancel`, which closes the model's generator. The deadline is that of the first piece, and of each
        that follows from the one before it on.

        Raises Refused, at once, when too many answers stream already or this one would not begin in time.
        """
        most_s = self.limits.deadline_s
        limit_s = most_s if deadline_s is None else min(deadline_s, most_s)
        streams = self._batcher.streams
        if streams is None:

            def answered(results: Sequence[Any]) -> None:
                (result,) = results
                failed = isinstance(result, RowFailure)
                if not failed:
                    on_piece(result[0])
                on_end(result if failed else None)

            return OnePiece(self.submit([row], answered, deadline_s=limit_s))
        if self._log is not None:
            on_piece, on_end = self._log.of_stream(row, on_piece, on_end)
        return streams.submit(row, on_piece, on_end, deadline_s=limit_s)
