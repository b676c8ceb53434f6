"""Opens what SOURCE and SINK name, each kind with the module of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twofold._errors import UsageError
from twofold._stream.place import KINDS, Place

if TYPE_CHECKING:
    from twofold._stream.messages import Sink, Source

__all__ = ["dead_letter_place", "open_sink", "open_source"]


def open_source(text: str) -> Source:
    """Raises UsageError for what cannot be read, MissingExtra, and InputError when the broker does not answer."""
    if text == "-":
        from twofold._stream.lines import LinesSource

        return LinesSource()
    place = Place(text, "SOURCE")
    if place.scheme == "kafka":
        from twofold._stream.kafka import KafkaSource

        return KafkaSource(place)
    if place.scheme == "nats":
        from twofold._stream.nats import NatsSource

        return NatsSource(place)
    raise UsageError(f"SOURCE {text!r}: there is no {place.scheme}://. {KINDS}")


def open_sink(text: str, option: str = "SINK", lines_to: int = 1) -> Sink:
    """Raises as `open_source`, OutputError when the broker does not answer. `lines_to`: the descriptor that - is."""
    if text == "-":
        from twofold._stream.lines import LinesSink

        return LinesSink(lines_to)
    place = Place(text, option)
    if place.scheme == "kafka":
        from twofold._stream.kafka import KafkaSink

        return KafkaSink(place)
    if place.scheme == "nats":
        from twofold._stream.nats import NatsSink

        return NatsSink(place)
    raise UsageError(f"{option} {text!r}: there is no {place.scheme}://. {KINDS}")


def dead_letter_place(sink: str) -> str:
    """Where messages without an answer go: the topic SINK-dead, standard error for -."""
    if sink == "-":
        return sink
    before, mark, settings = sink.partition("?")
    kept = "&".join(part for part in settings.split("&") if not part.startswith("transactions="))
    return f"{before.rstrip('/')}-dead{mark if kept else ''}{kept}"
