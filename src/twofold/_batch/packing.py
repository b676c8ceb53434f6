"""Packing a model in a process of its own: who starts a run on a cluster never loads the model itself.

`python -m twofold._batch.packing`: loads the model, writes the archive it was named, says what is in it, and ends.
"""

from __future__ import annotations

import queue
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold._errors import ModelError
from twofold._supervisor import Message, Worker, end_workers, error_from_message, error_to_message, worker_channel

if TYPE_CHECKING:
    from twofold._batch.shipping import Parcel
    from twofold._reference import ModelRef

__all__ = ["Packed", "packed"]

MODULE = "twofold._batch.packing"


@dataclass(frozen=True)
class Packed:
    """A model's parcel, its archive in a file of this machine, and what others must know of it (`facts_of`)."""

    parcel: Parcel
    archive: Path
    facts: dict[str, Any]


@contextmanager
def packed(ref: ModelRef) -> Iterator[Packed]:
    """The parcel of a model, for as long as the `with` lasts. ModelError, MissingExtra and the like where it cannot be
    loaded here."""
    from twofold._batch.shipping import Parcel

    with tempfile.TemporaryDirectory(prefix="twofold-parcel-") as folder:
        archive = Path(folder) / "model.zip"
        events: queue.SimpleQueue[tuple[Worker, Message | None]] = queue.SimpleQueue()
        worker = Worker.start(MODULE, {"model": ref.to_json(), "archive": str(archive)}, events=events)
        try:
            _, message = events.get()
        finally:
            end_workers([worker])
        if message is None:
            raise ModelError(
                f"the process that loads the model to pack it {worker.how_it_ended()}. `twofold describe` loads it in "
                "the same way."
            )
        if "error" in message:
            raise error_from_message(message["error"])
        yield Packed(Parcel.from_json(message["parcel"]), archive, message["facts"])


def main() -> None:
    channel = worker_channel()
    try:
        from twofold._batch.executors.base import facts_of
        from twofold._batch.shipping import pack
        from twofold._light import import_pyarrow
        from twofold._model import ModelRef, load

        import_pyarrow()
        model = load(ModelRef.from_json(channel.args["model"]))
        parcel = pack(model, Path(channel.args["archive"]))
        channel.send({"parcel": parcel.to_json(), "facts": facts_of(model)})
    except BaseException as error:
        channel.send({"error": error_to_message(error)})
    while True:  # the parent reads the message and ends this process
        channel.receive()


if __name__ == "__main__":
    main()
