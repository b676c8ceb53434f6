"""`twofold.serve`: what blocks until the server is stopped, or gives a handle to one in the background."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypedDict, Unpack, overload

from twofold._errors import CalledAtImport, MissingExtra, ModelError, UsageError
from twofold._options import ServeOptions, options_of
from twofold._realtime.background import Served
from twofold._realtime.http.keys import read_keys
from twofold._realtime.installed import installed
from twofold._realtime.logs import Lines
from twofold._realtime.names import check_name
from twofold._realtime.server import Server
from twofold._reference import ModelRef, reference_of, refuse_at_import
from twofold._supervisor import Message, refuse_in_worker

if TYPE_CHECKING:
    from twofold._model import Model

__all__ = ["serve", "serve_references"]


OneModel: TypeAlias = "str | Path | Model | ModelRef | Callable[..., Any]"
Named: TypeAlias = "list[tuple[str, OneModel]]"


class ServeSettings(TypedDict, total=False):
    """The fields of ServeOptions."""

    host: str
    port: int
    workers: int | None
    layout: Literal["auto", "inline", "isolate"]
    deadline_s: float
    max_body_bytes: int
    batch_rows: int
    max_streams: int
    reload: bool
    drain_delay_s: float
    drain_timeout_s: float
    grpc_port: int | None
    metrics_port: int | None
    loop: Literal["auto", "uvloop", "asyncio"]
    api_keys: Sequence[str]
    no_auth: bool
    cors_origins: Sequence[str]
    tls_certificate: str | None
    tls_key: str | None
    access_log: bool
    log_json: bool
    log_level: Literal["debug", "info", "warning", "error"]
    log_predictions: float
    log_folder: str


@overload
def serve(
    model: OneModel | Mapping[str, OneModel],
    *,
    background: Literal[True],
    **settings: Unpack[ServeSettings],
) -> Served: ...


@overload
def serve(
    model: OneModel | Mapping[str, OneModel],
    *,
    background: Literal[False] = False,
    **settings: Unpack[ServeSettings],
) -> int: ...


def serve(
    model: OneModel | Mapping[str, OneModel],
    *,
    background: bool = False,
    **settings: Unpack[ServeSettings],
) -> int | Served:
    """Serve a model over HTTP until SIGTERM or Ctrl-C; requests in flight are answered first.

    `model` is a reference such as "parity.py", a marked function or class, or a loaded model; it is loaded again, in
    worker processes. A mapping of names to models serves several, the first also at /predict. The settings are those
    of `twofold serve`, units in their names: `port` (8000; 0: a free one), `workers`, `layout`, `deadline_s`, and so
    on. `api_keys`: the keys that are allowed; by default the one of TWOFOLD_API_KEY, if any.

    `background=True` (in a notebook, say) returns as soon as it serves, on a free port where none is given. The handle
    has `.url` and `.stop()`, and is a context manager; the end of this process stops it too. A model that only this
    process has is then served by threads of it, as is one of a script that makes this call at its top level.

    Returns 0 after a drain, 130 when a second Ctrl-C cut it short. Raises ModelError for a model that cannot be
    loaded, UsageError for an address that cannot be had.
    """
    port = 0 if background else ServeOptions.port
    options = options_of(ServeOptions, "twofold.serve", {"port": port, "api_keys": read_keys(None), **settings})
    check_packages(options)
    if not background:
        return serve_references(_references(named_models(model)), options)
    refuse_at_import("serve")
    refuse_in_worker("twofold.serve")
    named = named_models(model)
    if only_here := [found.name for _, one in named if (found := _only_here(one)) is not None]:
        what = " and ".join(only_here)
        were = "was" if len(only_here) == 1 else "were"
        return _by_threads(named, options, f"{what} {were} defined in this session", "Put it in a file")
    references = _as_json(_references(named))
    try:
        return Served(lambda announce: Server(references, options, announce))
    except CalledAtImport:
        if not any(_is_of_this_script(one) for _, one in named):
            raise
    script = Path(sys.modules["__main__"].__file__ or "").name
    below = 'Put the call below if __name__ == "__main__":'
    return _by_threads(named, options, f"{script} calls twofold.serve at its top level", below)


def _by_threads(named: Named, options: ServeOptions, why: str, instead: str) -> Served:
    """Serve the models by threads of this process, and say so."""
    if options.reload:
        raise UsageError(
            f"reload=True is for a model that other processes can load, and {why}. {instead} to have it watched."
        )
    it = "it" if len(named) == 1 else "them"
    Lines(options).say(f"{why}, so that threads of this process serve {it}. {instead} to have worker processes.")
    return threaded(named, options)


def threaded(named: Named, options: ServeOptions) -> Served:
    """Serve the models by threads of this process."""
    from twofold._model import load
    from twofold._realtime.threaded import ThreadedServer

    loaded = [(name, load(model)) for name, model in named]
    return Served(lambda announce: ThreadedServer(loaded, options, announce))


def serve_references(models: Sequence[tuple[str, ModelRef]], options: ServeOptions) -> int:
    """`serve` for references that are known already, each under its name ("": its own)."""
    refuse_at_import("serve")
    refuse_in_worker("twofold.serve")
    check_packages(options)
    server = Server(_as_json(models), options, Lines(options).announce)
    if threading.current_thread() is not threading.main_thread():
        return server.run()
    before = {number: signal.signal(number, lambda *_: server.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "SIGHUP"):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: _hang_up(server))
    try:
        return server.run()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def check_packages(options: ServeOptions) -> None:
    """Raises MissingExtra when the gRPC port is wanted, and what it needs is not installed."""
    if options.grpc_port is not None:
        for package, module in (("zttp", "zttp"), ("protobuf", "google.protobuf")):
            if not installed(module):
                raise MissingExtra(package, "grpc", "The gRPC port")


def _hang_up(server: Server) -> None:
    """SIGHUP reloads; where it says that our terminal has gone, it ends the server, as nobody could otherwise."""
    try:
        os.tcgetpgrp(0)
    except OSError as error:
        if error.errno == errno.EIO:
            server.stop()
            return
    server.reload()


def _as_json(models: Sequence[tuple[str, ModelRef]]) -> list[tuple[str, Message]]:
    return [(name, reference.to_json()) for name, reference in models]


def named_models(models: OneModel | Mapping[str, OneModel]) -> Named:
    """Each with its name ("": its own). Raises UsageError for a name that cannot be used."""
    if not isinstance(models, Mapping):
        return [("", models)]
    if not models:
        raise UsageError("twofold.serve got an empty mapping: give at least one model, by its name.")
    for name in models:
        check_name(name)
    return list(models.items())


def _references(named: Named) -> list[tuple[str, ModelRef]]:
    return [(name, _reference(model)) for name, model in named]


def _reference(model: OneModel) -> ModelRef:
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


def _only_here(model: OneModel) -> Model | None:
    """The model, where no other process could load it."""
    from twofold._model import Model, load

    if isinstance(model, Model):
        return model if model.ref is None else None
    if isinstance(model, str | Path | ModelRef) or reference_of(model) is not None:
        return None
    return load(model)


def _is_of_this_script(model: OneModel) -> bool:
    """Whether it stands in the script that this process runs, and can be had as this process has it."""
    from twofold._model import Model

    if isinstance(model, Model):
        script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
        return model.ref is not None and model.ref.target.file == script.resolve()
    return getattr(model, "__module__", None) == "__main__"
