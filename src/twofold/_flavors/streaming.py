"""How a model that yields is called: its pieces one by one, or joined to the answer that `-> str` would have given.

A generator that is not read to its end is closed, so that its `finally` blocks run where it was left.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any

from twofold._errors import WrongResult, shorten
from twofold._flavors.loaded import Row
from twofold._usage import Piece, Usage

__all__ = ["stream_calls", "waiting_stream_calls"]

Check = Callable[[tuple[Any, ...]], Row]


def stream_calls(ask: Callable[[Row], Any], check: Check) -> dict[str, Any]:
    """`stream_row` and `call_row` of a function that gives an iterator. `check` makes a row of ("text",) or raises."""

    def stream_row(row: Row) -> Generator[Piece, None, None]:
        pieces = ask(row)
        try:
            for piece in _iterable(pieces, "__iter__"):
                yield piece if type(piece) is str and piece.isascii() else _checked(piece, check)
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def call_row(row: Row) -> Row:
        return check(("".join([piece for piece in stream_row(row) if isinstance(piece, str)]),))

    return {"call_row": call_row, "stream_row": stream_row}


def waiting_stream_calls(ask: Callable[[Row], Any], check: Check) -> dict[str, Any]:
    """`astream_row` and `acall_row` of a function that gives an async iterator."""

    async def astream_row(row: Row) -> AsyncGenerator[Piece, None]:
        pieces = ask(row)
        try:
            async for piece in _iterable(pieces, "__aiter__"):
                yield piece if type(piece) is str and piece.isascii() else _checked(piece, check)
        finally:
            close = getattr(pieces, "aclose", None)
            if close is not None:
                await close()

    async def acall_row(row: Row) -> Row:
        return check(("".join([piece async for piece in astream_row(row) if isinstance(piece, str)]),))

    return {"acall_row": acall_row, "astream_row": astream_row}


def _iterable(pieces: Any, method: str) -> Any:
    if isinstance(pieces, (str, bytes)) or not hasattr(pieces, method):
        raise WrongResult(
            f"the model answered {shorten(pieces)!s}, which gives no pieces. Yield each piece, or annotate it `-> str`."
        )
    return pieces


def _checked(piece: Any, check: Check) -> Piece:
    if isinstance(piece, Usage):
        return piece
    if not isinstance(piece, str):
        raise WrongResult(
            f"the model yielded {shorten(repr(piece))}, and a piece of its answer is a str. Yield texts, and at the "
            "end a twofold.Usage if you like."
        )
    text: str = check((piece,))[0]
    return text
