"""A server in threads of this process: for models that only this process has, typed in a notebook, say.

The event loop has a thread, and the model's calls another (as many as it declares), so that a slow model holds up
nobody but its callers. It shares this process with everything else in it: for load there is `server`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from twofold._options import ServeOptions
from twofold._realtime.backends import WaitingBackend
from twofold._realtime.catalog import Catalog
from twofold._realtime.http.access import access_of
from twofold._realtime.http.server import serve_http
from twofold._realtime.limits import limits_of
from twofold._realtime.listening import address_of, bind, check_tls, refusal, url_of
from twofold._realtime.logs import check_folder
from twofold._realtime.observing import Observers
from twofold._realtime.service import Service
from twofold._realtime.serving import beside_grpc
from twofold._runner import Runner

if TYPE_CHECKING:
    from twofold._model import Model

__all__ = ["ThreadedServer"]

BACKLOG = 128


class ThreadedServer:
    """Serves a loaded model. `run` it in one thread; `stop` may be called from any."""

    def __init__(self, model: Model, options: ServeOptions, announce: Callable[[str], None]) -> None:
        self._model = model
        self._options = options
        self._announce = announce
        check_tls(options)
        check_folder(options)
        self._listening = bind(options.host, options.port)
        self.url = url_of(self._listening, options)
        self.grpc_address: str | None = None
        self._sockets = {"http": self._listening}
        if options.grpc_port is not None:
            self._sockets["grpc"] = bind(options.host, options.grpc_port, "--grpc-port")
            self.grpc_address = address_of(self._sockets["grpc"], options.host)
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._cut = asyncio.Event()

    def run(self) -> int:
        """Serve. Returns 0 after a drain, 130 when that was cut short."""
        try:
            try:
                for listening in self._sockets.values():
                    listening.listen(BACKLOG)
            except OSError as error:
                raise refusal(error, self._options.host, self._options.port) from error
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                return runner.run(self._serve_until_stopped())
        finally:
            for listening in self._sockets.values():
                listening.close()
            self._loop.close()

    def stop(self) -> None:
        """Drain: requests in flight are answered, then `run` returns. The second time: end at once."""
        with suppress(RuntimeError):  # the loop has been closed: it is over
            self._loop.call_soon_threadsafe(self._end)

    def _end(self) -> None:
        (self._cut if self._stop.is_set() else self._stop).set()

    async def _serve_until_stopped(self) -> int:
        serving, cut = asyncio.create_task(self._serve()), asyncio.create_task(self._cut.wait())
        await asyncio.wait((serving, cut), return_when=asyncio.FIRST_COMPLETED)
        while not serving.done():  # one cancellation may get lost in a wait that ends at the same time
            serving.cancel()
            await asyncio.wait((serving,), timeout=0.05)
        cut.cancel()
        if serving.cancelled():
            return 130
        serving.result()
        return 0

    async def _serve(self) -> None:
        model, options = self._model, self._options
        service = Service(
            model.signature,
            model.version,
            model.name,
            WaitingBackend(Runner(model)),
            limits=limits_of(options),
            example=model.example,
            streams=model.streams,
            chat=model.chat,
        )
        where = f"twofold serving {model.name} (version {model.version}) at {self.url}"
        catalog = Catalog([service])
        access, drain_s = access_of(options), options.drain_timeout_s
        observers = Observers(options, [service])
        protocols = serve_http(
            catalog,
            self._sockets,
            stop=self._stop,
            on_ready=lambda: self._announce(where),
            drain_s=drain_s,
            access=access,
            around=observers.around,
        )
        try:
            await beside_grpc(
                protocols,
                catalog,
                self._sockets,
                stop=self._stop,
                drain_s=drain_s,
                access=access,
                access_log=observers.access_log,
            )
        finally:
            observers.close()
