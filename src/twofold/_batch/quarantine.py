"""Failing rows as JSON lines: their fields, `_position`, `_error`, and `_raw` where a record could not be cut.

    {"id": 7, "amount": "12,50", "_position": {"file": "in.csv", "row": 6},
     "_error": {"code": "row_does_not_fit", "field": "amount", "message": "…"}}

Fields that fit are their typed JSON values, the others are as they came; so such a file is itself an input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from twofold._signature.encode import any_json

if TYPE_CHECKING:
    from twofold._batch.answer import Answered
    from twofold._batch.sources import Piece
    from twofold._batch.work import Work

__all__ = ["quarantine_lines"]


def quarantine_lines(work: Work, item: Answered) -> Iterator[bytes]:
    """The failing rows of a piece, one JSON line each, in the order of the rows."""
    piece = item.piece
    whole = [row for row in piece.whole_rows() if row in item.failures]
    values = dict(zip(whole, _values(work, piece, whole), strict=True))
    for row in sorted(item.failures):
        line: dict[str, Any] = values.get(row, {})
        line["_position"] = {"file": item.task.file.shown, "row": piece.file_row(row)}
        line["_error"] = item.failures[row].to_json()
        if row in piece.broken:
            line["_raw"] = piece.broken[row][0]
        yield msgspec.json.encode(line) + b"\n"


def _values(work: Work, piece: Piece, rows: Sequence[int]) -> list[dict[str, Any]]:
    """The columns of these whole rows as JSON values."""
    if not rows:
        return []
    alone = _only(piece, rows)
    found: list[dict[str, Any]] = [{} for _ in rows]
    for column in work.read_columns:
        if alone.origin == "json":
            came = [record.get(column, msgspec.UNSET) for record in alone.records]
        else:
            came = alone.columns[column].to_pylist()
        typed = _typed(work, alone, column)
        for at, value in enumerate(came):
            if value is not msgspec.UNSET:
                found[at][column] = typed[at] if at in typed and value is not None else any_json(value)
    return found


def _typed(work: Work, piece: Piece, column: str) -> dict[int, Any]:
    """Typed JSON values of a column, for the rows whose value fits the field that reads it."""
    coerced = work.reading.read_alone(column, piece)
    field = work.reading.field_of(column)
    if coerced is None or field is None:
        return {}
    good = range(piece.n_whole) if coerced.good is None else coerced.good.tolist()
    rows = coerced.batch.rows()
    return {at: work.signature.json_row((field,), row)[field.name] for at, row in zip(good, rows, strict=True)}


def _only(piece: Piece, rows: Sequence[int]) -> Piece:
    """These whole rows of a piece (by their row within it)."""
    import pyarrow as pa

    where = {row: at for at, row in enumerate(piece.whole_rows())}
    taken = [where[row] for row in rows]
    if piece.origin == "json":
        return replace(piece, n_rows=len(rows), records=[piece.records[at] for at in taken], broken={})
    indices = pa.array(taken, pa.int64())
    columns = {name: column.take(indices) for name, column in piece.columns.items()}
    return replace(piece, n_rows=len(rows), columns=columns, broken={})
