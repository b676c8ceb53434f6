"""The access log: a line for each request, when it has been answered."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from twofold._realtime.http.responses import ANSWERED, request_id_of
from twofold._realtime.logs import ACCESS

__all__ = ["AccessLog", "Seen", "client_of", "write_line"]

LOG = logging.getLogger(ACCESS)
NO_ANSWER: Final = 499  # as nginx says: the client went away before it had an answer


class Seen:
    """What passed by of an answer, on its way to the client."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = NO_ANSWER
        self.n_bytes = 0
        self.complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        elif message["type"] == "http.response.body":
            self.n_bytes += len(message.get("body", b""))
            self.complete = not message.get("more_body", False)
        await self._send(message)


class AccessLog:
    """An app, with its log. Every request has an id then, and every answer says it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        request_id = request_id_of(scope)
        seen = Seen(send)
        try:
            await self._app(scope, receive, seen)
        finally:
            _tell(scope, seen, request_id, (time.perf_counter() - began) * 1000)


def _tell(scope: Scope, seen: Seen, request_id: str, milliseconds: float) -> None:
    path = scope["raw_path"].decode("latin-1")
    model, code = scope.get(ANSWERED, ("", "ok" if seen.status < 400 else "other"))
    said = {
        "method": scope["method"],
        "path": path,
        "status": seen.status,
        "code": code if seen.complete else "client_gone",
        "model": model if scope["method"] == "POST" else "",
        "milliseconds": round(milliseconds, 3),
        "bytes": seen.n_bytes,
        "request_id": request_id,
        "client": client_of(scope.get("client")),
    }
    write_line(said)


def client_of(address: Any) -> str:
    """Who asks, by the address of a socket: None or a path where it has none with a port."""
    return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else ""


def write_line(said: Mapping[str, object]) -> None:
    """`said`: method, path, status, code, model, milliseconds, bytes, request_id, client."""
    LOG.info(
        '%(client)s "%(method)s %(path)s" %(status)d %(code)s %(milliseconds).1f ms %(bytes)d bytes %(request_id)s',
        said,
        extra=said,
    )
