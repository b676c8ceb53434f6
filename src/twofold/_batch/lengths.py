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

__all__ = ["lengths_of", "measurable"]


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
