"""uvicorn on a socket that is given: started, told to stop, drained. Signals are the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp

from twofold._realtime.accepting import Acceptor
from twofold._realtime.board import Board
from twofold._realtime.catalog import Catalog
from twofold._realtime.http.access import ANYBODY, Access
from twofold._realtime.http.app import METRICS_ROUTES, ROUTES, lane_paths, make_app
from twofold._realtime.http.lane import LaneProtocol
from twofold._realtime.http.lane_request import LanePath

__all__ = ["serve_http"]

ON_THE_WIRE_S: Final = 0.1
OPEN_FILES: Final = 1 << 16
# How long a connection on which nothing is asked is kept for one more request, when the server ends.
PARTING_S: Final = 1.0
LOOKED_EVERY_S: Final = 0.01
# The drain is over, and so much longer may it take to say so.
LAST_WORDS_S: Final = 0.1


async def serve_http(
    catalog: Catalog,
    sockets: Mapping[str, socket.socket],
    *,
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None = None,
    keep_alive_s: float = 75.0,
    drain_s: float = 30.0,
    fast_lane: bool = True,
    access: Access = ANYBODY,
    share: tuple[Board, int] | None = None,
    around: Sequence[Callable[[ASGIApp], ASGIApp]] = (),
) -> None:
    """Serve until `stop` is set; then answer what is in flight (for at most `drain_s`) and return.

    `sockets` are bound and listening, by what they are for ("http"; "metrics", where those have a port of their own),
    and are closed at the end. `on_ready` is called
    once connections are accepted. `access`: who may ask, and how. `share`: the board of the processes that accept on
    "http", and this one's place on it. `around`: what must see every request (a log); then all go the app's way.
    """
    _allow_open_files()

    def server_on(app: ASGIApp, lane: Mapping[bytes, LanePath], **of_http: Any) -> _Server:
        config = uvicorn.Config(
            app,
            http=LaneProtocol.bound_to(lane, catalog.default.version, access),
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level="error",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=keep_alive_s,  # type: ignore[arg-type]
            backlog=2048,
            ssl_certfile=access.certificate,
            ssl_keyfile=access.private_key,
        )
        return _Server(config, catalog, stop, drain_s, **of_http)

    metrics = sockets.get("metrics")
    routes = ROUTES if metrics is not None else (*ROUTES, *METRICS_ROUTES)
    lane = lane_paths(catalog) if fast_lane and not around else {}
    app = make_app(catalog, access, routes)
    for layer in around:
        app = layer(app)
    servers = [(server_on(app, lane, on_ready=on_ready, share=share), sockets["http"])]
    if metrics is not None:
        servers.append((server_on(make_app(catalog, access, METRICS_ROUTES), {}), metrics))
    await asyncio.gather(*(_serve(server, sock) for server, sock in servers))


async def _serve(server: _Server, sock: socket.socket) -> None:
    try:
        await server.serve(sockets=[sock])
    finally:
        for connection in list(server.server_state.connections):  # what the drain's limit, or our caller, cuts off
            connection.transport.abort()


def _allow_open_files() -> None:
    """A connection is an open file, of which systems allow few where nobody asks for more."""
    try:
        import resource
    except ImportError:  # Windows, which has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        catalog: Catalog,
        stop: asyncio.Event,
        drain_s: float,
        on_ready: Callable[[], None] | None = None,
        share: tuple[Board, int] | None = None,
    ) -> None:
        super().__init__(config)
        self._share = share
        self._catalog = catalog
        self._stop = stop
        self._drain_s = drain_s
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        if self._share is None or not sockets:
            await super().startup(sockets)
            return
        await super().startup([])
        board, slot = self._share
        connections = self.server_state.connections
        acceptors: Any = [
            Acceptor(sock, self._connection, lambda: len(connections), board, slot, tls=self.config.ssl)
            for sock in sockets
        ]
        self.servers = acceptors

    def _connection(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return protocol

    async def main_loop(self) -> None:
        """Wait for the stop, not for the next tenth of a second; the date header is renewed every second."""
        await self.on_tick(0)
        if self._on_ready is not None:
            self._on_ready()
        while not self._stop.is_set():
            await self.on_tick(0)
            if self._catalog.draining:  # still accepting for a while: let clients know with each answer
                self._end_answers()
            for server in self.servers:
                if isinstance(server, Acceptor):
                    server.tell()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)
        self._catalog.draining = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for sock in sockets or ():
            sock.close()
        self._end_answers()
        loop = asyncio.get_running_loop()
        until = loop.time() + self._drain_s
        # requests that were sent before their client could know
        await asyncio.sleep(min(ON_THE_WIRE_S, self._drain_s))
        parting = min(loop.time() + PARTING_S, until)
        while self._waiting_clients() and loop.time() < parting:
            await asyncio.sleep(LOOKED_EVERY_S)
        connections = self.server_state.connections
        for connection in list(connections):
            connection.shutdown()
        await self._all_ended(until)
        for connection in list(connections):
            connection.give_up()  # type: ignore[union-attr]
        await self._all_ended(loop.time() + LAST_WORDS_S)
        for connection in list(connections):
            connection.transport.abort()

    async def _all_ended(self, until: float) -> None:
        """Every connection, and every task of a request; or that time has come."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(until):
                while self.server_state.connections or self.server_state.tasks:
                    await asyncio.sleep(LOOKED_EVERY_S)
                for server in self.servers:
                    await server.wait_closed()

    def _end_answers(self) -> None:
        """The next answer on each connection is its last, and says so."""
        make: Any = self.config.http_protocol_class
        make.end()
        for connection in self.server_state.connections:
            cycle: Any = getattr(connection, "cycle", None)
            if cycle is not None and not cycle.response_complete:
                cycle.keep_alive = False

    def _waiting_clients(self) -> bool:
        """Somebody may still ask on a connection that is open, and has not been told that it ends."""
        cycles: list[Any] = [getattr(connection, "cycle", None) for connection in self.server_state.connections]
        return any(cycle is None or cycle.response_complete for cycle in cycles)
