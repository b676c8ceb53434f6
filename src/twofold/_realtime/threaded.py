"""A server in threads of this process: for models that only this process has, typed in a notebook, say.

The event loop has a thread, and the model's calls another (as many as it declares), so that a slow model holds up
nobody but its callers. It shares this process with everything else in it: for load there is `server`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from twofold._options import ServeOptions
from twofold._realtime.backends import WaitingBackend
from twofold._realtime.catalog import Catalog
from twofold._realtime.limits import limits_of
from twofold._realtime.listening import Sockets
from twofold._realtime.logs import check_folder
from twofold._realtime.names import check_names
from twofold._realtime.observing import Observers
from twofold._realtime.service import Service
from twofold._realtime.serving import serve_protocols
from twofold._runner import Runner

if TYPE_CHECKING:
    from twofold._model import Model

__all__ = ["ThreadedServer"]


class ThreadedServer:
    """Serves loaded models, each under its name ("": its own). `run` it in one thread; `stop` may be called from
    any."""

    def __init__(
        self, models: Sequence[tuple[str, Model]], options: ServeOptions, announce: Callable[[str], None]
    ) -> None:
        self._models = [(name or model.name, model) for name, model in models]
        check_names((name, name) for name, _ in self._models)
        self._options = options
        self._announce = announce
        check_folder(options)
        self._sockets = Sockets(options)
        self.url = self._sockets.url
        self.grpc_address = self._sockets.grpc_address
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._cut = asyncio.Event()

    def run(self) -> int:
        """Serve. Returns 0 after a drain, 130 when that was cut short."""
        try:
            self._sockets.listen()
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                return runner.run(self._serve_until_stopped())
        finally:
            self._sockets.close()
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
        options = self._options
        services = [self._service(name, model) for name, model in self._models]
        versions = " and ".join(f"{each.name} (version {each.version})" for each in services)
        observers = Observers(options, services)
        try:
            await serve_protocols(
                Catalog(services),
                self._sockets,
                options,
                observers,
                stop=self._stop,
                on_ready=lambda: self._announce(f"twofold serving {versions} at {self.url}"),
            )
        finally:
            observers.close()

    def _service(self, name: str, model: Model) -> Service:
        return Service(
            model.signature,
            model.version,
            name,
            WaitingBackend(Runner(model)),
            limits=limits_of(self._options),
            example=model.example,
            streams=model.streams,
            chat=model.chat,
        )
