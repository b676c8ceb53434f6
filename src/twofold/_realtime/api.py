"""`twofold.serve`: what blocks until the server is stopped, or gives a handle to one in the background."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack, overload

from twofold._errors import ModelError
from twofold._options import ServeOptions, options_of
from twofold._realtime.background import Served
from twofold._realtime.server import Server
from twofold._reference import ModelRef, reference_of, refuse_at_import
from twofold._supervisor import refuse_in_worker

if TYPE_CHECKING:
    from twofold._model import Model

__all__ = ["serve", "serve_model"]


class ServeSettings(TypedDict, total=False):
    """The fields of ServeOptions."""

    host: str
    port: int
    workers: int | None
    layout: Literal["auto", "inline", "isolate"]
    deadline_s: float
    max_body_bytes: int
    batch_rows: int
    reload: bool
    drain_delay_s: float
    drain_timeout_s: float
    grpc_port: int | None
    metrics_port: int | None
    loop: Literal["auto", "uvloop", "asyncio"]


@overload
def serve(
    model: str | Path | Model | ModelRef | Callable[..., Any],
    *,
    background: Literal[True],
    **settings: Unpack[ServeSettings],
) -> Served: ...


@overload
def serve(
    model: str | Path | Model | ModelRef | Callable[..., Any],
    *,
    background: Literal[False] = False,
    **settings: Unpack[ServeSettings],
) -> int: ...


def serve(
    model: str | Path | Model | ModelRef | Callable[..., Any],
    *,
    background: bool = False,
    **settings: Unpack[ServeSettings],
) -> int | Served:
    """Serve a model over HTTP until SIGTERM or Ctrl-C; requests in flight are answered first.

    `model` is a reference such as "parity.py", a marked function or class, or a loaded model; it is loaded again, in
    worker processes. `host`, `port` (8000; 0: a free one), `workers`, `layout` ("auto", "inline", "isolate"),
    `deadline_s`, `max_body_bytes` and `batch_rows` are the options of `twofold serve`.

    `background=True` (in a notebook, say) returns as soon as it serves, on a free port where none is given. The handle
    has `.url` and `.stop()`, and is a context manager; the end of this process stops it too. A model that only this
    process has is then served by threads of it.

    Returns 0 after a drain, 130 when a second Ctrl-C cut it short. Raises ModelError for a model that cannot be
    loaded, UsageError for an address that cannot be had.
    """
    port = 0 if background else ServeOptions.port
    options = options_of(ServeOptions, "twofold.serve", {"port": port, **settings})
    if not background:
        return serve_model(_reference(model), options)
    refuse_at_import("serve")
    refuse_in_worker("twofold.serve")
    here = _only_here(model)
    if here is None:
        reference = _reference(model).to_json()
        return Served(lambda announce: Server(reference, options, announce))
    from twofold._realtime.threaded import ThreadedServer

    print(
        f"twofold: {here.name} was defined in this session, so that threads of this process serve it. "
        "Put it in a file to have worker processes.",
        file=sys.stderr,
        flush=True,
    )
    return Served(lambda announce: ThreadedServer(here, options, announce))


def serve_model(model: ModelRef, options: ServeOptions) -> int:
    """`serve` for a reference that is known already."""
    refuse_at_import("serve")
    refuse_in_worker("twofold.serve")
    server = Server(model.to_json(), options, lambda line: print(line, file=sys.stderr, flush=True))
    if threading.current_thread() is not threading.main_thread():
        return server.run()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: server.stop()) for number in signals}
    try:
        return server.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _reference(model: str | Path | Model | ModelRef | Callable[..., Any]) -> ModelRef:
    """What the workers load."""
    from twofold._model import Model, model_ref

    if isinstance(model, Model):
        if model.ref is None:
            raise ModelError(
                f"The model {model.name!r} cannot be served: workers load a model from its file, and this one was "
                "typed at a prompt or made inside a function. Put it at the top of a file, or serve it by threads of "
                "this process: twofold.serve(model, background=True)."
            )
        return model.ref
    return model if isinstance(model, ModelRef) else model_ref(model)


def _only_here(model: str | Path | Model | ModelRef | Callable[..., Any]) -> Model | None:
    """The model, where no other process could load it."""
    from twofold._model import Model, load

    if isinstance(model, Model):
        return model if model.ref is None else None
    if isinstance(model, str | Path | ModelRef) or reference_of(model) is not None:
        return None
    return load(model)
