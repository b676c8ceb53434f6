"""How long rows are, in the fields whose values have a length: texts, bytes, lists.

A model that pads the rows of a call to the longest of them computes that one's length for all: rows of like length
belong together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from twofold._signature import Bytes, List, Signature, String

if TYPE_CHECKING:
    from twofold._batch.mapping import Rows

__all__ = ["cuts_by_length", "lengths_of", "measurable"]

PADDING = 0.04
"""So much of a call's rows may be padding, as a share of their lengths."""
LEAST_ROWS, LEAST_SHARE = 4, 8
"""But fewer rows than these, or than this part of the most, are not worth a call of their own."""


def measurable(signature: Signature) -> list[str]:
    """The inputs whose values have a length of their own."""
    return [field.name for field in signature.inputs if isinstance(field.type, String | Bytes | List)]


def lengths_of(rows: Rows, signature: Signature) -> np.ndarray:
    """The length of each row: bytes of its texts, items of its lists; (rows,) int64."""
    import pyarrow as pa
    import pyarrow.compute as pc

    batch = rows.slice(0, rows.n_rows).arrow()
    total = np.zeros(rows.n_rows, np.int64)
    for name in measurable(signature):
        column = batch.column(batch.schema.get_field_index(name))
        is_list = pa.types.is_list(column.type) or pa.types.is_large_list(column.type)
        found = pc.list_value_length(column) if is_list else pc.binary_length(column)
        total += pc.fill_null(found, 0).to_numpy(zero_copy_only=False)
    return total


def cuts_by_length(lengths: np.ndarray, most: int) -> list[int]:
    """Where calls begin and end, of rows whose `lengths` rise: each has at most `most` rows, and as few as keep what
    is padded small: long rows differ much, and few of them share a call."""
    least = max(LEAST_ROWS, most // LEAST_SHARE)
    lengths = np.maximum(lengths, 1)
    cuts = [0]
    while cuts[-1] < len(lengths):
        low = cuts[-1]
        call = lengths[low : low + most]
        whole = np.cumsum(call)
        wasteful = np.flatnonzero(call * np.arange(1, len(call) + 1) > (1 + PADDING) * whole)
        wasteful = wasteful[wasteful >= least]
        cuts.append(low + (int(wasteful[0]) if len(wasteful) else len(call)))
    return cuts
