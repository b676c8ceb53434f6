"""A request of the app that waits for the model, and its client, which may go away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive, Scope

from twofold._realtime.http.problems import CONNECTION, CONTENT_TYPE, PARTING_S, Answer, Client, stopping
from twofold._realtime.http.responses import ScopeAsker
from twofold._realtime.streams import AnyTicket

__all__ = ["Waiter", "answered", "attended"]


class Waiter(Protocol):
    """Who waits for the model."""

    def drop_if_waiting(self) -> None:
        """The client has ended its half of the connection."""
        ...

    def lose(self) -> None:
        """The client is gone."""
        ...

    def give_up(self) -> None:
        """The server ends now."""
        ...


@contextmanager
def attended(scope: Scope, receive: Receive, waiter: Waiter) -> Iterator[asyncio.Future[None]]:
    """Tells the waiter when its client goes away; what this gives is done then. The request's body must have been
    read."""
    if CONNECTION in (extensions := scope.get("extensions", {})):
        connection = extensions[CONNECTION]["protocol"]
        connection.parting = waiter
        if connection.client_ended:
            asyncio.get_running_loop().call_later(PARTING_S, waiter.drop_if_waiting)
    gone = asyncio.ensure_future(_watch(receive, waiter))
    try:
        yield gone
    finally:
        gone.cancel()


async def _watch(receive: Receive, waiter: Waiter) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    waiter.lose()


class _Waiting(ScopeAsker):
    """The client of a translator. It can be dropped when the real one has gone."""

    def __init__(self, scope: Scope, begin: Callable[[Client], AnyTicket | None]) -> None:
        super().__init__(scope)
        self.answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.ticket: AnyTicket | None = begin(self)
        if self.ticket is not None:
            self.ticket.asker = self

    def succeed(self, body: bytes) -> None:
        self.respond(Answer(200, CONTENT_TYPE, (), body))

    def respond(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def drop_if_waiting(self) -> None:
        if self.ticket is not None and self.ticket.waiting:
            self.lose()

    def lose(self) -> None:
        if self.ticket is not None:
            self.ticket.cancel()
        if not self.answer.done():
            self.answer.set_result(None)

    def give_up(self) -> None:
        if self.ticket is not None:
            self.ticket.cancel()
        if not self.answer.done():
            self.answer.set_exception(stopping())


async def answered(request: Request, begin: Callable[[Client], AnyTicket | None]) -> Answer:
    """What `begin` answers the client that it is given; raises ClientDisconnect when nobody waits for it any more.

    The request's body must have been read.
    """
    waiting = _Waiting(request.scope, begin)
    try:
        with attended(request.scope, request.receive, waiting):
            answer = await waiting.answer
    finally:
        if waiting.ticket is not None:
            waiting.ticket.cancel()
    if answer is None:
        raise ClientDisconnect
    return answer
