"""uvicorn on a socket that is given: started, told to stop, drained. Signals are the caller's."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator

import uvicorn

from twofold._realtime.http.app import make_app
from twofold._realtime.http.lane import LaneProtocol
from twofold._realtime.http.plain import PlainJson
from twofold._realtime.service import Service

__all__ = ["serve_http"]


async def serve_http(
    service: Service,
    sock: socket.socket,
    *,
    stop: asyncio.Event,
    on_ready: Callable[[], None] | None = None,
    keep_alive_s: float = 75.0,
    drain_s: float = 30.0,
    fast_lane: bool = True,
) -> None:
    """Serve until `stop` is set; then answer what is in flight (for at most `drain_s`) and return.

    `sock` is bound and listening, and is closed at the end. `on_ready` is called once connections are accepted.
    """
    plain = PlainJson(service)
    config = uvicorn.Config(
        make_app(plain),
        http=LaneProtocol.bound_to(plain, fast_lane=fast_lane),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        headers=[("Model-Version", service.version)],
        timeout_keep_alive=keep_alive_s,  # type: ignore[arg-type]
        timeout_graceful_shutdown=drain_s,  # type: ignore[arg-type]
        backlog=2048,
    )
    await _Server(config, service, stop, on_ready).serve(sockets=[sock])


class _Server(uvicorn.Server):
    def __init__(
        self, config: uvicorn.Config, service: Service, stop: asyncio.Event, on_ready: Callable[[], None] | None
    ) -> None:
        super().__init__(config)
        self._service = service
        self._stop = stop
        self._on_ready = on_ready

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield

    async def main_loop(self) -> None:
        """Wait for the stop, not for the next tenth of a second; the date header is renewed every second."""
        await self.on_tick(0)
        if self._on_ready is not None:
            self._on_ready()
        while not self._stop.is_set():
            await self.on_tick(0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), 1.0)
        self._service.draining = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        for connection in list(self.server_state.connections):  # what the drain's limit has cut off
            connection.transport.abort()
