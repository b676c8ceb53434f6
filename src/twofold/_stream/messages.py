"""What travels through a stream, and what a broker must be able to do: receive, commit, lag, send, close.

A Source gives messages in order and remembers, when told to commit, where to go on after a restart. A Sink sends
letters and returns once the broker has acknowledged each. That is all that the rest knows of a broker.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import msgspec

__all__ = ["Headers", "Letter", "Mark", "Message", "Sink", "Source", "Taken"]

Headers = tuple[tuple[str, bytes], ...]
Mark = Any
"""Where a source stands after some messages, in its own form."""


class Message(msgspec.Struct, gc=False, frozen=True):
    """One message of a source. `id`: where it stands there, the same however often it is read; `at`: when it was
    written, in seconds since 1970 (where the source knows; else when it was read)."""

    value: bytes
    id: str
    at: float
    key: bytes | None = None
    headers: Headers = ()


class Taken(msgspec.Struct, frozen=True):
    """What a source gave at once, and the mark to commit when all of it has been dealt with."""

    messages: Sequence[Message]
    mark: Mark = None


class Letter(msgspec.Struct, gc=False, frozen=True):
    """One message for a sink. `id` is that of the message it answers."""

    value: bytes
    id: str
    key: bytes | None = None
    headers: Headers = ()


class Source(Protocol):
    """Where messages come from. `before_loss` is set by whoever reads: a source calls it, inside `receive`, before it
    gives up its right to commit (another process takes over), and goes on when it returns."""

    before_loss: Callable[[], object]

    def receive(self, most: int, wait_s: float) -> Taken | None:
        """What is there now, at most so many messages; the first is waited for, `wait_s` at most, and never a second
        one. None: there will be no more. `most` 0: take nothing, but show the broker that this process lives.

        Raises InputError.
        """
        ...

    def commit(self, mark: Mark) -> None:
        """A restart goes on after this mark. May be called from another thread than `receive`. Raises InputError."""
        ...

    def lag(self) -> int | None:
        """How many messages wait there that were not received yet; None where that cannot be known."""
        ...

    def close(self) -> None: ...


class Sink(Protocol):
    """Where answers go."""

    def send(self, letters: Sequence[Letter], source: Source | None = None, mark: Mark = None) -> bool:
        """Send these in order; returns when each is acknowledged. With a `source`: a sink that can, commits its mark
        in the same transaction, and then returns True. Raises OutputError."""
        ...

    def close(self) -> None: ...
