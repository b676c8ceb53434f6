"""The rows that both modes answer: read as batch reads them, sent as a client would write them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twofold._signature import Signature

__all__ = ["Rows", "read_rows"]

_PIECE_ROWS = 8192

Position = tuple[str, int]


@dataclass
class Rows:
    """The first rows of an input: the typed rows that fit, with their places (file, row from 0); how many do not."""

    typed: list[tuple[Any, ...]] = field(default_factory=list)
    positions: list[Position] = field(default_factory=list)
    unfit: int = 0

    @property
    def seen(self) -> int:
        return len(self.typed) + self.unfit

    def bodies(self, signature: Signature) -> list[bytes]:
        """Each row as the JSON body of a request."""
        return [json.dumps(signature.json_row(signature.inputs, row)).encode() for row in self.typed]


def read_rows(signature: Signature, path: str, *, columns: Mapping[str, str], limit: int) -> Rows:
    """The first `limit` rows of a file, folder or glob. `columns`: field -> column, as `--map` says.

    Raises InputError for an input that cannot be read, or that lacks a column.
    """
    from twofold._batch.mapping import Reading, match_columns
    from twofold._batch.sources import cut, read_split, scan_inputs

    scan = scan_inputs(path, mark_rows=_PIECE_ROWS)
    reading = Reading(signature, match_columns(signature, scan.schema.names, columns, path))
    rows = Rows()
    for split in cut(scan, split_rows=max(limit, 1)):
        for piece in read_split(split, scan.schema, reading.needed, batch_rows=_PIECE_ROWS):
            _take(rows, reading, piece, split.path, limit)
            if rows.seen >= limit:
                return rows
    return rows


def _take(rows: Rows, reading: Any, piece: Any, path: str, limit: int) -> None:
    """Add the rows of a piece, up to `limit` in all."""
    room = min(piece.n_rows, limit - rows.seen)
    coerced = reading.read(piece)
    whole = piece.whole_rows()
    good = range(len(whole)) if coerced.good is None else coerced.good
    fitting = 0
    for row, index in zip(coerced.batch.rows(), good, strict=True):
        place = whole[int(index)]
        if place >= room:
            break
        rows.typed.append(row)
        rows.positions.append((path, piece.first_row + place))
        fitting += 1
    rows.unfit += room - fitting
