"""A request of the app that waits for the model, and its client, which may go away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.requests import ClientDisconnect, Request

from twofold._realtime.http.problems import CONNECTION, CONTENT_TYPE, PARTING_S, Answer, Client
from twofold._realtime.http.responses import request_id
from twofold._realtime.streams import AnyTicket

__all__ = ["answered"]


class _Waiting:
    """The client of a translator. It can be dropped when the real one has gone."""

    def __init__(self, request: Request, begin: Callable[[Client], AnyTicket | None]) -> None:
        self._request = request
        self.scope = request.scope
        self.answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()
        self.ticket: AnyTicket | None = begin(self)
        if self.ticket is not None:
            self.ticket.asker = self

    def succeed(self, body: bytes) -> None:
        self.respond(Answer(200, CONTENT_TYPE, (), body))

    def respond(self, answer: Answer) -> None:
        if not self.answer.done():
            self.answer.set_result(answer)

    def identify(self) -> str:
        return request_id(self._request)

    def drop_if_waiting(self) -> None:
        if self.ticket is not None and self.ticket.waiting:
            self.lose()

    def lose(self) -> None:
        if self.ticket is not None:
            self.ticket.cancel()
        if not self.answer.done():
            self.answer.set_result(None)


async def answered(request: Request, begin: Callable[[Client], AnyTicket | None]) -> Answer:
    """What `begin` answers the client that it is given; raises ClientDisconnect when nobody waits for it any more.

    The request's body must have been read.
    """
    waiting = _Waiting(request, begin)
    if CONNECTION in (extensions := request.scope.get("extensions", {})):
        connection = extensions[CONNECTION]["protocol"]
        connection.parting = waiting
        if connection.client_ended:
            asyncio.get_running_loop().call_later(PARTING_S, waiting.drop_if_waiting)
    gone = asyncio.ensure_future(_watch(request, waiting))
    try:
        answer = await waiting.answer
    finally:
        gone.cancel()
        if waiting.ticket is not None:
            waiting.ticket.cancel()
    if answer is None:
        raise ClientDisconnect
    return answer


async def _watch(request: Request, waiting: _Waiting) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    waiting.lose()
