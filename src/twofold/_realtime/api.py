"""`twofold.serve`: what blocks until the server is stopped, or gives a handle to one in the background."""

from __future__ import annotations

import errno
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, TypedDict, Unpack, overload

from twofold._errors import CalledAtImport, MissingExtra, ModelError, UsageError
from twofold._options import ServeOptions, options_of
from twofold._realtime.background import Served
from twofold._realtime.http.keys import read_keys
from twofold._realtime.logs import Lines
from twofold._realtime.server import Server
from twofold._reference import ModelRef, reference_of, refuse_at_import
from twofold._supervisor import Message, refuse_in_worker

if TYPE_CHECKING:
    from twofold._model import Model

__all__ = ["serve", "serve_references"]


NAME: Final = re.compile(r"[^\W_][\w.-]*", re.ASCII)

OneModel: TypeAlias = "str | Path | Model | ModelRef | Callable[..., Any]"


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
        return serve_references(_references(model), options)
    refuse_at_import("serve")
    refuse_in_worker("twofold.serve")
    here = None if isinstance(model, Mapping) else _only_here(model)
    if here is not None:
        return _by_threads(here, options, f"{here.name} was defined in this session", "Put it in a file")
    references = _as_json(_references(model))
    try:
        return Served(lambda announce: Server(references, options, announce))
    except CalledAtImport:
        if isinstance(model, Mapping) or (found := _of_this_script(model)) is None:
            raise
    here, script = found
    below = 'Put the call below if __name__ == "__main__":'
    return _by_threads(here, options, f"{script} calls twofold.serve at its top level", below)


def _by_threads(here: Model, options: ServeOptions, why: str, instead: str) -> Served:
    """Serve the model by threads of this process, and say so."""
    if options.reload:
        raise UsageError(
            f"reload=True is for a model that other processes can load, and {why}. {instead} to have it watched."
        )
    from twofold._realtime.threaded import ThreadedServer

    Lines(options).say(f"{why}, so that threads of this process serve it. {instead} to have worker processes.")
    return Served(lambda announce: ThreadedServer(here, options, announce))


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
            try:
                there = find_spec(module) is not None
            except ModuleNotFoundError:  # not even a part of the name
                there = False
            if not there:
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


def _references(model: OneModel | Mapping[str, OneModel]) -> list[tuple[str, ModelRef]]:
    if not isinstance(model, Mapping):
        return [("", _reference(model))]
    if not model:
        raise UsageError("twofold.serve got an empty mapping: give at least one model, by its name.")
    for name in model:
        check_name(name)
    return [(name, _reference(found)) for name, found in model.items()]


def check_name(name: str) -> None:
    """Raises UsageError for a name that could not stand in a path."""
    if not NAME.fullmatch(name):
        raise UsageError(
            f"A model cannot have the name {name!r}: names are letters, digits, dots, dashes and underscores, and "
            "begin with a letter or a digit.",
            name=name,
        )


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


def _of_this_script(model: OneModel) -> tuple[Model, str] | None:
    """The model as this process has it, and the script that it stands in; None where it stands elsewhere."""
    from twofold._model import Model, load

    script = Path(getattr(sys.modules["__main__"], "__file__", None) or "")
    if isinstance(model, Model):
        is_there = model.ref is not None and model.ref.target.file == script.resolve()
    else:
        is_there = getattr(model, "__module__", None) == "__main__"
    return (load(model), script.name) if is_there else None
