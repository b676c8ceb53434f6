"""For your own tests: a real server around your model, on a free port, for as long as a `with` lasts.

import twofold.testing

def test_seven_is_odd():
    with twofold.testing.serve("parity.py") as served:
        assert served.client(7) == "Odd"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twofold._client import Client
    from twofold._realtime.api import OneModel

__all__ = ["Serving", "assert_same_answers", "serve"]

# Settings that say how processes are laid out: with one of them there are processes.
PROCESSES = ("workers", "layout", "loop")


@dataclass(frozen=True, slots=True)
class Serving:
    """A served model: `url` is http://127.0.0.1:41234, say; `client` is `twofold.connect(url)`."""

    url: str
    client: Client


@contextmanager
def serve(model: OneModel | Mapping[str, OneModel], **settings: Any) -> Iterator[Serving]:
    """Serve a model over HTTP on a free port, as `twofold.serve` does, until the `with` is left.

        with twofold.testing.serve(model, deadline_s=0.1) as served:
            served.client(number=7), served.client.batch([7, 8])
            requests.post(f"{served.url}/predict", json={"number": 7})

    `model` is a reference such as "parity.py", a marked function or class (also one that is defined in the test), or a
    loaded model; a mapping of names to models serves several, and `served.client` asks the first of them. `settings`
    are those of `twofold.serve`. Threads of this process serve it, ready in milliseconds, so that patches, breakpoints
    and coverage reach the model; given `workers` or `layout`, worker processes do, as in production. Requests in flight
    are answered before the `with` ends.

    Raises ModelError for a model that cannot be loaded, UsageError for a setting that there is not.
    """
    from twofold._client import connect

    with _served(model, settings) as url, connect(url) as client:
        yield Serving(url, client)


@contextmanager
def _served(model: Any, settings: dict[str, Any]) -> Iterator[str]:
    if any(name in settings for name in PROCESSES):
        from twofold._realtime.api import serve as serve_by_processes

        with serve_by_processes(model, background=True, **settings) as served:
            yield served.url
        return
    from twofold._options import ServeOptions, options_of
    from twofold._realtime.api import named_models, threaded

    options = options_of(ServeOptions, "twofold.testing.serve", {"port": 0, **settings})
    with threaded(named_models(model), options) as here:
        yield here.url


def assert_same_answers(
    model: OneModel, rows: Sequence[Any], *, rtol: float | None = None, atol: float | None = None
) -> None:
    """Ask `rows` alone, in batches, in other orders, through each protocol of a server, and in batch: the answers must
    be the same, as `twofold verify` has it. All of it happens in this process.

        def test_the_modes_agree():
            twofold.testing.assert_same_answers("parity.py", [{"number": n} for n in range(100)])

    `model` is what `serve` takes. A row is a dict, or the bare value of a model with one input. `rtol` and `atol` are
    the tolerance of floats: that which is usual for their width where they are not given.

    Raises AssertionError that says which answers differ, and why; RowsDoNotFit for rows that do not fit the model.
    """
    from twofold._model import load
    from twofold._verify.check import VerifyOptions
    from twofold._verify.verify import verify_here

    loaded = load(model)
    typed = [loaded.signature.row(row, index) for index, row in enumerate(rows)]
    if not typed:
        raise ValueError("assert_same_answers needs at least one row")
    found = verify_here(loaded, typed, VerifyOptions(rtol=rtol, atol=atol))
    if not found.same:
        raise AssertionError(str(found))
