"""Files that are stored in groups of rows (Parquet row groups, Arrow batches): cut at groups, and inside large ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise

import pyarrow as pa

from twofold._batch.sources.base import FileSplit, Piece

__all__ = ["group_splits", "pieces_of"]


GroupMarks = tuple[Sequence[int], Collection[int]]
"""The rows of each group, and the groups that no row is wanted of."""


def group_splits(path: str, marks: GroupMarks, split_rows: int) -> list[FileSplit]:
    """Splits of whole groups, or of parts of one that is much larger than a split; a group left out is in none.

    `where`: {"groups": [first, last + 1], "skip": rows of these groups that come before the split}.
    """
    group_rows, left_out = marks
    splits: list[FileSplit] = []
    start = first_row = n_rows = 0
    for index, rows in enumerate(group_rows):
        out = index in left_out
        if n_rows and (out or n_rows + rows > split_rows):
            splits.append(_split(path, first_row, n_rows, (start, index), 0))
            start, first_row, n_rows = index, first_row + n_rows, 0
        if out:
            start, first_row = index + 1, first_row + rows
            continue
        n_rows += rows
        # What comes before a split inside a group may have to be decoded and thrown away: cut only much too large ones.
        pieces = round(rows / split_rows) if n_rows == rows else 1
        if pieces > 1:
            bounds = [*range(0, pieces * split_rows, split_rows), rows]
            for low, high in pairwise(bounds):
                splits.append(_split(path, first_row + low, high - low, (index, index + 1), low))
            start, first_row, n_rows = index + 1, first_row + rows, 0
    if n_rows:
        splits.append(_split(path, first_row, n_rows, (start, len(group_rows)), 0))
    return splits


def _split(path: str, first_row: int, n_rows: int, groups: tuple[int, int], skip: int) -> FileSplit:
    return FileSplit(path, first_row, n_rows, {"groups": list(groups), "skip": skip})


def pieces_of(
    split: FileSplit, batches: Iterable[pa.RecordBatch], columns: Sequence[str], schema: pa.Schema
) -> Iterator[Piece]:
    """The rows of a split out of the batches of its groups."""
    skip, row, end = split.where["skip"], split.first_row, split.first_row + split.n_rows
    for batch in batches:
        start = min(skip, batch.num_rows)
        skip -= start
        taken = batch.slice(start, end - row)
        if taken.num_rows:
            arrays = {name: taken.column(name) for name in columns}
            yield Piece(row, taken.num_rows, "arrow", arrays, schema=schema)
            row += taken.num_rows
        if row == end:
            return
