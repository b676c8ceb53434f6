"""Batch: the rows of stored data through a model, in parallel, resumable, in order.

batch            the public call
run_batch        paths to a path: plan, compute in worker processes, commit part by part, publish by one rename
run_in_memory    rows, tables and frames, in this process
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from twofold._batch.report import BatchReport, Progress

if TYPE_CHECKING:
    from twofold._batch.api import batch
    from twofold._batch.memory import run_in_memory
    from twofold._batch.run import run_batch

__all__ = ["BatchReport", "Progress", "batch", "run_batch", "run_in_memory"]

_WHERE = {
    "batch": "twofold._batch.api",
    "run_batch": "twofold._batch.run",
    "run_in_memory": "twofold._batch.memory",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
