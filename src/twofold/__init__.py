"""One model definition, two modes, the same answers: real-time and batch inference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twofold._version import __version__

if TYPE_CHECKING:
    from twofold._batch.api import batch
    from twofold._batch.report import BatchReport
    from twofold._client import connect
    from twofold._compare.api import compare
    from twofold._errors import BadRow, RequestFailed, RowsDoNotFit, TwofoldError
    from twofold._jobs.job import Job
    from twofold._model import Model, load
    from twofold._realtime.api import serve
    from twofold._reference import artifact, model
    from twofold._signature import Shape
    from twofold._usage import Usage

__all__ = [
    "BadRow",
    "BatchReport",
    "Job",
    "Model",
    "RequestFailed",
    "RowsDoNotFit",
    "Shape",
    "TwofoldError",
    "Usage",
    "__version__",
    "artifact",
    "batch",
    "compare",
    "connect",
    "load",
    "model",
    "serve",
]

# Where each public name lives; imported when it is first asked for, so that `import twofold` stays light.
_HOMES = {
    "BadRow": "twofold._errors",
    "BatchReport": "twofold._batch.report",
    "Job": "twofold._jobs.job",
    "Model": "twofold._model",
    "RequestFailed": "twofold._errors",
    "RowsDoNotFit": "twofold._errors",
    "Shape": "twofold._signature",
    "TwofoldError": "twofold._errors",
    "Usage": "twofold._usage",
    "artifact": "twofold._reference",
    "batch": "twofold._batch.api",
    "compare": "twofold._compare.api",
    "connect": "twofold._client",
    "load": "twofold._model",
    "model": "twofold._reference",
    "serve": "twofold._realtime.api",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'twofold' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
