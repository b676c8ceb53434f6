"""The hints of a model that yields its answer piece by piece: `-> Iterator[str]` and its kin.

Iterator, Iterable, Generator                a model that blocks between pieces
AsyncIterator, AsyncIterable, AsyncGenerator one that waits
of str, or of str | twofold.Usage            the pieces are texts; their sum is the answer, as of `-> str`
"""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from dataclasses import replace
from typing import Any, Literal

from twofold._signature.namespaces import unalias
from twofold._signature.place import Place, hint_name
from twofold._usage import Usage

__all__ = ["Streams", "read_stream"]

Streams = Literal["", "sync", "async"]

KINDS: dict[Any, Streams] = {
    Iterator: "sync",
    Iterable: "sync",
    Generator: "sync",
    AsyncIterator: "async",
    AsyncIterable: "async",
    AsyncGenerator: "async",
}


def read_stream(function: Callable[..., Any], hint: Any, place: Place) -> Streams:
    """How the function yields its answer; "" for one that returns it.

    Raises ModelError when the hint and the body do not agree, or the pieces are not str.
    """
    hint = unalias(hint)
    streams: Streams = next((kind for of, kind in KINDS.items() if of is (typing.get_origin(hint) or hint)), "")
    _check_body(inspect.unwrap(function), streams, place)
    if streams:
        pieces = typing.get_args(hint)
        if not pieces or not _is_text(pieces[0]):
            kind = (typing.get_origin(hint) or hint).__name__
            place.refuse(
                f"is {hint_name(hint)}. A model that yields yields texts, whose sum is the answer: write {kind}[str], "
                f"or {kind}[str | twofold.Usage] when it says at the end what it cost."
            )
    return streams


def _check_body(inner: Any, streams: Streams, place: Place) -> None:
    yields: Streams = (
        "async" if inspect.isasyncgenfunction(inner) else "sync" if inspect.isgeneratorfunction(inner) else ""
    )
    body = replace(place, label="the body")
    if yields and yields != streams:
        wanted = "AsyncIterator[str]" if yields == "async" else "Iterator[str]"
        body.refuse(
            f"yields, which is an answer in pieces: annotate it `-> {wanted}`. A model that answers at once has "
            "`return` instead."
        )
    if streams and not yields and inspect.iscoroutinefunction(inner):
        body.refuse(
            "has no `yield`, and is `async def`: calling it gives no pieces. Write `yield` for each piece, or a plain "
            "`def` that returns an async iterator."
        )


def _is_text(hint: Any) -> bool:
    """str, or str | Usage."""
    hint = unalias(hint)
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        kinds = [unalias(kind) for kind in typing.get_args(hint)]
        return any(kind is str for kind in kinds) and all(kind is str or kind is Usage for kind in kinds)
    return hint is str
