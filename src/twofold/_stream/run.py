"""The loop: what has arrived is the next batch; nothing is waited for while there is something to do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twofold._columns import Batch
from twofold._runner import Result
from twofold._stream.codec import JsonCodec
from twofold._stream.counts import Counts
from twofold._stream.delivery import Computed, Delivery

if TYPE_CHECKING:
    from twofold._options import StreamOptions
    from twofold._signature import Signature
    from twofold._stream.messages import Sink, Source, Taken

__all__ = ["Compute", "answer_messages"]

WAIT_S: Final = 0.2
Compute = Callable[[Batch], Result]
"""Rows -> what became of each: a Runner's `run`, or a Service's queue."""


def answer_messages(
    signature: Signature,
    compute: Compute,
    source: Source,
    sink: Sink,
    dead: Sink,
    options: StreamOptions,
    counts: Counts,
    stopping: Callable[[], bool],
) -> None:
    """Answer the messages of `source` until there are no more or `stopping()`; then finish what is in flight.

    Answers and dead letters are in the order of the messages. Raises InputError and OutputError when a broker fails for
    good: nothing is committed that was not acknowledged.
    """
    codec = JsonCodec(signature, options.keep, options.rename)
    nothing = Result(Batch.from_rows(signature.output_schema, []))

    def answered(taken: Taken) -> Computed:
        read = codec.read(taken.messages)
        letters = codec.write(read, compute(read.batch) if read.good else nothing)
        failures = read.failures
        dead = [codec.dead(m, failures[m.id]) for m in taken.messages if m.id in failures] if failures else []
        return Computed(letters, dead, taken.mark, [message.at for message in taken.messages])

    counts.lag = source.lag
    delivery = Delivery(source, sink, dead, counts)
    source.before_loss = delivery.settle
    try:
        while not stopping():
            taken = source.receive(options.batch_rows, WAIT_S)
            if taken is None:
                break
            if taken.messages:
                delivery.put(answered(taken), lambda: source.receive(0, 0))
    finally:
        delivery.close(options.drain_timeout_s)
