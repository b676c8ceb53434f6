"""`twofold.serve`: what blocks until the server is stopped."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, Unpack

from twofold._errors import ModelError
from twofold._options import ServeOptions
from twofold._realtime.server import Server
from twofold._reference import ModelRef, refuse_at_import
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
    loop: Literal["auto", "uvloop", "asyncio"]


def serve(model: str | Path | Model | ModelRef | Callable[..., Any], **settings: Unpack[ServeSettings]) -> int:
    """Serve a model over HTTP until SIGTERM or Ctrl-C; requests in flight are answered first.

    `model` is a reference such as "parity.py", a marked function or class, or a loaded model; it is loaded again, in
    worker processes. `host`, `port` (8000; 0: a free one), `workers`, `layout` ("auto", "inline", "isolate"),
    `deadline_s`, `max_body_bytes` and `batch_rows` are the options of `twofold serve`.

    Returns 0 after a drain, 130 when a second Ctrl-C cut it short. Raises ModelError for a model that cannot be
    loaded, UsageError for an address that cannot be had.
    """
    return serve_model(_reference(model), replace(ServeOptions(), **settings))


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
                "typed at a prompt or made inside a function. Put it at the top of a file."
            )
        return model.ref
    return model if isinstance(model, ModelRef) else model_ref(model)
