"""What every flavor makes of a model file: the functions a Model is built from."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from twofold._fingerprint import Sources
from twofold._usage import Piece

if TYPE_CHECKING:
    from twofold._columns import Batch
    from twofold._signature import PlainValues, Signature

__all__ = ["Loaded", "PlainCalls", "Row"]

Row = tuple[Any, ...]


@dataclass(frozen=True)
class PlainCalls:
    """How a function that takes the values of a row as they are can be called for many rows, with little around it.

    An answer that is one of the `plain` values is its own canonical value; `finish` makes the canonical row of any
    answer, or raises.
    """

    function: Callable[..., Any]
    plain: PlainValues
    finish: Callable[[Any], Row]


@dataclass(frozen=True)
class Loaded:
    """A loaded model: its signature, what was declared about it, and how it is called.

    Of the four ways to call it, the one that `form` and `is_async` name is there. Each takes and gives canonical
    values, and may raise anything. `call` is the user's own function (for a model file: one row by keywords).
    `plain_calls`: a shorter way to what `call_row` does, for many rows. A model that yields has one of `stream_row`
    and `astream_row` too, which give the pieces of one row's answer; what they join to is what the others answer.
    `chat`: its input `messages` and its only output are those of a chat.
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
    plain_calls: PlainCalls | None = None
    acall_row: Callable[[Row], Awaitable[Row]] | None = None
    call_columns: Callable[[Batch], Batch] | None = None
    acall_columns: Callable[[Batch], Awaitable[Batch]] | None = None
    stream_row: Callable[[Row], Generator[Piece, None, None]] | None = None
    astream_row: Callable[[Row], AsyncGenerator[Piece, None]] | None = None
    is_async: bool = False
    chat: bool = False
    drops_gil: bool = False
    concurrency: int | None = None
    threads: int | None = None
    example: Row | None = None
