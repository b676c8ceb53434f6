"""Pieces of any size made into pieces of one size."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from twofold._batch.sources.base import Piece

__all__ = ["join_pieces", "regroup", "slice_piece"]


def regroup(pieces: Iterator[Piece], batch_rows: int) -> Iterator[Piece]:
    """The same rows in pieces of exactly `batch_rows`, the last one shorter. Copies only where pieces are joined."""
    waiting: list[Piece] = []
    n_waiting = 0
    for piece in pieces:
        taken = 0
        while piece.n_rows - taken + n_waiting >= batch_rows:
            stop = taken + batch_rows - n_waiting
            waiting.append(slice_piece(piece, taken, stop))
            yield join_pieces(waiting)
            waiting, n_waiting, taken = [], 0, stop
        if taken < piece.n_rows or piece.n_left_out:
            waiting.append(slice_piece(piece, taken, piece.n_rows))
            n_waiting += piece.n_rows - taken
    if waiting:
        yield join_pieces(waiting)


def slice_piece(piece: Piece, start: int, stop: int) -> Piece:
    """Rows `start` to `stop` of a piece, without copying columns."""
    if start == 0 and stop == piece.n_rows:
        return piece
    broken_before = sum(row < start for row in piece.broken)
    broken = {row - start: what for row, what in piece.broken.items() if start <= row < stop}
    first = start - broken_before
    n_whole = stop - start - len(broken)
    return Piece(
        first_row=piece.file_row(start) if start < piece.n_rows else piece.first_row,
        n_rows=stop - start,
        origin=piece.origin,
        columns={name: column.slice(first, n_whole) for name, column in piece.columns.items()},
        records=piece.records[first : first + n_whole],
        broken=broken,
        schema=piece.schema,
        file_rows=None if piece.file_rows is None else piece.file_rows[start:stop],
        n_left_out=piece.n_left_out if start == 0 else 0,
        unjudged={row - start: why for row, why in piece.unjudged.items() if start <= row < stop},
    )


def join_pieces(pieces: list[Piece]) -> Piece:
    """Neighbouring pieces as one."""
    if len(pieces) == 1:
        return pieces[0]
    import pyarrow as pa

    first = pieces[0]
    broken, unjudged = {}, {}
    before = 0
    for piece in pieces:
        broken.update({row + before: what for row, what in piece.broken.items()})
        unjudged.update({row + before: why for row, why in piece.unjudged.items()})
        before += piece.n_rows
    filtered = [piece.file_rows for piece in pieces if piece.file_rows is not None]
    return Piece(
        first_row=first.first_row,
        n_rows=before,
        origin=first.origin,
        columns={name: pa.concat_arrays([piece.columns[name] for piece in pieces]) for name in first.columns},
        records=[record for piece in pieces for record in piece.records],
        broken=broken,
        schema=first.schema,
        file_rows=np.concatenate(filtered) if filtered else None,
        n_left_out=sum(piece.n_left_out for piece in pieces),
        unjudged=unjudged,
    )
