"""gRPC on a socket that is given: started, drained."""

from __future__ import annotations

import asyncio
import socket
import ssl
from typing import Final

from twofold._realtime.accepting import Acceptor
from twofold._realtime.board import GRPC, Board
from twofold._realtime.catalog import Catalog
from twofold._realtime.grpc.call_log import log_call
from twofold._realtime.grpc.connection import ON_THE_WIRE_S, GrpcConnection, GrpcServerState
from twofold._realtime.grpc.methods import methods_of
from twofold._realtime.http.access import ANYBODY, Access

__all__ = ["GrpcServer", "serve_grpc"]

LOOKED_EVERY_S: Final = 0.02
IDLE_S: Final = 600.0


class GrpcServer:
    """The gRPC port of one server process."""

    def __init__(
        self, catalog: Catalog, *, access: Access = ANYBODY, idle_s: float = IDLE_S, access_log: bool = False
    ) -> None:
        most_bytes = max(service.limits.max_body_bytes for service in catalog.values())
        allow = None if access.keys is None else access.keys.allow
        self._state = GrpcServerState(
            methods_of(catalog),
            max_message_bytes=most_bytes,
            idle_s=idle_s,
            allow=allow,
            log=log_call if access_log else None,
        )
        self._tls = _tls(access)
        self._server: asyncio.Server | Acceptor | None = None

    async def start(self, listening: socket.socket, share: tuple[Board, int] | None = None) -> None:
        """Accept connections on a socket that is bound and listening. `share`: the board of the processes that accept
        on it, and this one's place on it."""
        connections = self._state.connections
        if share is None:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_server(self._connection, sock=listening, ssl=self._tls)
        else:
            acceptor = Acceptor(listening, self._connection, lambda: len(connections), *share, port=GRPC, tls=self._tls)
            self._state.on_lost = acceptor.tell
            self._server = acceptor

    def _connection(self) -> GrpcConnection:
        return GrpcConnection(self._state)

    async def drain(self, drain_s: float) -> None:
        """Accept no more, answer what is in flight (for at most `drain_s`), and end all connections."""
        if self._server is None:
            return
        self._server.close()
        until = asyncio.get_running_loop().time() + drain_s
        for connection in list(self._state.connections):
            connection.announce_end()
        await asyncio.sleep(min(ON_THE_WIRE_S, drain_s))  # calls that were sent before their client could know
        for connection in list(self._state.connections):
            connection.end_when_idle()
        while self._state.connections and asyncio.get_running_loop().time() < until:
            await asyncio.sleep(LOOKED_EVERY_S)
        for connection in list(self._state.connections):
            connection.abort()


def _tls(access: Access) -> ssl.SSLContext | None:
    if access.certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(access.certificate, access.private_key)
    context.set_alpn_protocols(["h2"])
    return context


async def serve_grpc(
    catalog: Catalog,
    listening: socket.socket,
    *,
    stop: asyncio.Event,
    drain_s: float,
    access: Access = ANYBODY,
    share: tuple[Board, int] | None = None,
    access_log: bool = False,
) -> None:
    """Serve until `stop` is set; then answer what is in flight (for at most `drain_s`) and return."""
    server = GrpcServer(catalog, access=access, access_log=access_log)
    await server.start(listening, share)
    try:
        await stop.wait()
    finally:
        await server.drain(drain_s)
