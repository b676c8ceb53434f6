"""For your own tests: a real server around your model, on a free port, for as long as a `with` lasts.

import twofold.testing

def test_seven_is_odd():
    with twofold.testing.serve("parity.py") as served:
        assert served.client(7) == "Odd"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twofold._client import Client
    from twofold._realtime.api import OneModel

__all__ = ["Serving", "serve"]

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
