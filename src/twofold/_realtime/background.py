"""A server in the background: the handle that `twofold.serve(model, background=True)` gives."""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from typing import Protocol, Self

__all__ = ["BackgroundServer", "Served"]


class BackgroundServer(Protocol):
    """What can be served in the background: `server.Server`, or `threaded.ThreadedServer`."""

    @property
    def url(self) -> str: ...

    @property
    def grpc_address(self) -> str | None: ...

    def run(self) -> int:
        """Serve until `stop` is called, in the thread that calls this."""
        ...

    def stop(self) -> None:
        """Drain; the second time end at once. From any thread."""
        ...


class Served:
    """A model that is being served in the background, until `stop` or the end of this process.

        with twofold.serve(model, background=True) as served:
            twofold.connect(served.url)(number=7)

    url           where: http://127.0.0.1:41234, say
    grpc_address  host:port of the gRPC port; None where `grpc_port` was not given
    """

    def __init__(self, make: Callable[[Callable[[str], None]], BackgroundServer]) -> None:
        """Make a server (its argument: whom to tell that it serves), run it in a thread, wait until it serves.

        Raises what `make` and the server's start raise.
        """
        self.url = ""
        self.grpc_address: str | None = None
        self._settled = threading.Event()
        self._errors: list[BaseException] = []
        self._stopped = False
        self._server = make(self._serving)
        self._thread = threading.Thread(target=self._run, name="twofold-serve", daemon=True)
        self._thread.start()
        # daemon threads still run when this is called, worker processes are still there to be drained
        atexit.register(self.stop)
        try:
            self._settled.wait()
        except BaseException:
            self.stop()
            raise
        if self._errors:
            self.stop()
            raise self._errors[0]

    def __repr__(self) -> str:
        return f"<{'Stopped: ' if self._stopped else ''}Served at {self.url}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Answer what is in flight, and end. Ctrl-C meanwhile ends at once. May be called again."""
        atexit.unregister(self.stop)
        if not self._stopped:
            self._stopped = True
            self._server.stop()
        try:
            self._thread.join()
        except KeyboardInterrupt:
            self._server.stop()
            self._thread.join()

    def _serving(self, _: str) -> None:
        self.url = self._server.url
        self.grpc_address = self._server.grpc_address
        self._settled.set()

    def _run(self) -> None:
        try:
            self._server.run()
        except BaseException as error:
            self._errors.append(error)
            if self._settled.is_set():  # nobody waits for it
                print(f"twofold: the server at {self.url} has ended: {error}", file=sys.stderr, flush=True)
        finally:
            self._settled.set()
