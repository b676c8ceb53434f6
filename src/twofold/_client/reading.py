"""The answer of a model that yields, from the events of the server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from twofold._client.replies import refuse
from twofold._errors import WorkerLost
from twofold._wire.events import EventReader
from twofold._wire.exchange import Exchange, Reply

__all__ = ["Reading"]

EVENTS = "text/event-stream"


class Reading:
    """Takes an exchange as it goes on, and gives the pieces.

    data: {"prediction": "Hel"}     a piece
    event: end                      the answer is complete
    event: error                    it breaks off: problem details
    """

    def __init__(self, name: str, url: str, answer: Callable[[bytes], Any]) -> None:
        self._name = name
        self._url = url
        self._answer = answer
        self._events = EventReader()
        self._ended = False

    def of(self, exchange: Exchange) -> Iterator[Any]:
        """The pieces that have come. Raises what broke the answer off."""
        if not exchange.headers.get("content-type", "").startswith(EVENTS):
            if exchange.complete:  # a model that does not yield
                self._ended = True
                yield self._answer(exchange.taken())
            return
        for kind, data in self._events.feed(exchange.taken()):
            if kind == "error":
                refuse(Reply(500, "", {}, data), self._name, self._url)
            elif kind == "end":
                self._ended = True
            elif not kind:
                yield self._answer(data)

    def finish(self) -> None:
        """The connection says that this is all. Raises WorkerLost where the server did not."""
        if not self._ended:
            raise WorkerLost(f"the answer of {self._name} at {self._url} broke off. Ask again.", url=self._url)
