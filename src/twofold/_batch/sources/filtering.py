"""Pieces of an input without the rows that do not pass `--where`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from twofold._batch.sources.base import Piece
from twofold._batch.sources.where import Comparison, Literal, Where, is_text

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["filtered", "passes_constant"]


def filtered(where: Where, pieces: Iterator[Piece]) -> Iterator[Piece]:
    """The rows that pass, with those that cannot be judged and the broken ones; at the end perhaps an empty piece
    that says how many rows were left out after the last one."""
    left_out = 0
    for piece in pieces:
        found = _apply(where, piece)
        left_out += found.n_left_out
        if found.n_rows:
            yield replace(found, n_left_out=left_out)
            left_out = 0
    if left_out:
        yield replace(found, n_left_out=left_out)


def _apply(where: Where, piece: Piece) -> Piece:
    import pyarrow as pa

    passing = np.ones(piece.n_whole, bool)
    unjudged: dict[int, tuple[str, str]] = {}
    for comparison in where.comparisons:
        found, why = holds(comparison, piece)
        found[list(why)] = True
        unjudged.update({at: (comparison.column, why[at]) for at in why if at not in unjudged})
        passing &= found
    whole = np.fromiter(piece.whole_rows(), np.int64, piece.n_whole)
    stays = np.zeros(piece.n_rows, bool)
    stays[whole[passing]] = True
    stays[list(piece.broken)] = True
    rows = np.flatnonzero(stays)
    new_row = np.cumsum(stays) - 1
    taken = np.flatnonzero(passing)
    columns = piece.columns
    if len(taken) < piece.n_whole:
        mask = pa.array(passing)
        columns = {name: column.filter(mask) for name, column in columns.items()}
    return replace(
        piece,
        first_row=piece.file_row(int(rows[0])) if len(rows) else piece.first_row,
        n_rows=len(rows),
        columns=columns,
        records=[piece.records[at] for at in taken.tolist()] if piece.records else [],
        broken={int(new_row[row]): what for row, what in piece.broken.items()},
        file_rows=piece.rows_of_file(rows),
        n_left_out=piece.n_rows - len(rows),
        unjudged={int(new_row[whole[at]]): why for at, why in sorted(unjudged.items()) if passing[at]},
    )


def holds(comparison: Comparison, piece: Piece) -> tuple[np.ndarray, dict[int, str]]:
    """Which whole rows of a piece pass, and which cannot be judged: {position among the whole rows: why}."""
    if piece.origin == "arrow" or (piece.origin == "text" and isinstance(comparison.literal, str)):
        return comparison.passing(piece.columns[comparison.column]), {}
    for field_type in _types_of(comparison.literal):
        signature = _signature_of(field_type)
        if piece.origin == "text":
            read = signature.read_text({"value": piece.columns[comparison.column]}, piece.n_whole)
        else:
            read = signature.read_json([{"value": record.get(comparison.column)} for record in piece.records])
        if not read.misfits:
            break
    passing = np.zeros(piece.n_whole, bool)
    good = slice(None) if read.good is None else read.good
    passing[good] = comparison.passing(read.batch.arrow().column(0))
    why = {at: errors[0].message.replace("value", comparison.column, 1) for at, errors in read.misfits.items()}
    return passing, why


def passes_constant(comparison: Comparison, value: int | str | None, kind: pa.DataType) -> bool:
    """Whether rows that all have this value may pass."""
    import pyarrow as pa

    origin: Any = "text" if is_text(kind) else "arrow"
    passing, unjudged = holds(comparison, Piece(0, 1, origin, {comparison.column: pa.array([value], kind)}))
    return bool(passing[0]) or bool(unjudged)


def _types_of(literal: Literal) -> Sequence[str]:
    """The types that a text or JSON value is read as, to be compared with this literal: the first that all fit."""
    if isinstance(literal, bool):
        return ("bool",)
    if isinstance(literal, str):
        return ("string",)
    return ("int", "float") if isinstance(literal, int) else ("float",)


@lru_cache(maxsize=8)
def _signature_of(kind: str) -> Any:
    from twofold._signature import Bool, Field, Float, Int, Signature, String, Type

    types: dict[str, Type] = {"bool": Bool(), "string": String(), "int": Int(64), "float": Float(64)}
    return Signature((Field("value", types[kind], nullable=True),), ())
