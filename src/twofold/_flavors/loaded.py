"""What every flavor makes of a model file: the functions a Model is built from."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from twofold._fingerprint import Sources

if TYPE_CHECKING:
    from twofold._columns import Batch
    from twofold._signature import Signature

__all__ = ["Loaded", "Row"]

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Loaded:
    """A loaded model: its signature, what was declared about it, and how it is called.

    Of the four ways to call it, the one that `form` and `is_async` name is there. Each takes and gives canonical
    values, and may raise anything. `call` is the user's own function (for a model file: one row by keywords).
    `digest` is that of `sources` when it was loaded. `drops_gil`: threads of one process compute at the same time,
    sharing this.
    """

    name: str
    signature: Signature
    form: Literal["rows", "columns"]
    sources: Sources
    digest: str
    call: Callable[..., Any]
    call_row: Callable[[Row], Row] | None = None
    acall_row: Callable[[Row], Awaitable[Row]] | None = None
    call_columns: Callable[[Batch], Batch] | None = None
    acall_columns: Callable[[Batch], Awaitable[Batch]] | None = None
    is_async: bool = False
    drops_gil: bool = False
    concurrency: int | None = None
    threads: int | None = None
    example: Row | None = None
