"""What a model that knows nothing answers: the mean of a column, or its most frequent value."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from twofold._errors import UsageError
from twofold._signature import (
    Bool,
    Bytes,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    Signature,
    String,
    Type,
    type_name,
)
from twofold._starter.columns import Look, pieces_of

__all__ = ["Baseline", "baseline_of"]

# Whole numbers of so few different values are classes; of more, amounts.
MOST_CLASSES: Final = 20


@dataclass(frozen=True, slots=True)
class Baseline:
    """An answer for every row: `value`, of the type `kind`."""

    column: str
    how: Literal["mean", "most frequent value"]
    value: Any
    kind: Type
    n_rows: int


def baseline_of(look: Look, column: str) -> Baseline:
    """The baseline for a column. UsageError for one that has no values, or none that can be averaged or counted."""
    field = look.fields.get(column)
    if field is None or not isinstance(field.type, Bool | Int | Float | String | Bytes | Datetime | Date):
        kind = look.left_out[column] if field is None else type_name(field.type)
        raise UsageError(
            f"the column {column!r} holds {kind}, which no baseline can answer. Put a column of numbers, text or "
            "times first in --drop: the model will answer that one.",
            column=column,
        )
    found = _mean(look, field) if isinstance(field.type, Float) else _most_frequent(look, field)
    if found is None:
        raise UsageError(
            f"the column {column!r} has no value in any row, so that there is nothing to answer. Put another column "
            "first in --drop.",
            column=column,
        )
    return found


def _values(look: Look, field: Field) -> Iterator[list[Any]]:
    """The canonical values of the column that are not null."""
    field = replace(field, nullable=True)
    signature = Signature((field,), (field,))
    for piece in pieces_of(look.scan, [field.name]):
        arrays = piece.arrow([field.name])
        read = signature.read_text if piece.origin == "text" else signature.read_arrow
        batch = read(arrays, piece.n_whole).batch
        yield [value for (value,) in batch.rows() if value is not None]


def _mean(look: Look, field: Field) -> Baseline | None:
    """The mean of the finite values."""
    sums, count = [], 0
    try:
        for values in _values(look, field):
            finite = [value for value in values if value - value == 0.0]
            sums.append(math.fsum(finite))
            count += len(finite)
        total = math.fsum(sums)
    except OverflowError:
        raise UsageError(
            f"the values of the column {field.name!r} are too large to be averaged. Put another column first in "
            "--drop.",
            column=field.name,
        ) from None
    return Baseline(field.name, "mean", total / count, Float(), look.n_rows) if count else None


def _most_frequent(look: Look, field: Field) -> Baseline | None:
    counts: Counter[Any] = Counter()
    is_number = isinstance(field.type, Int)
    for values in _values(look, field):
        counts.update(values)
        if is_number and len(counts) > MOST_CLASSES:
            return _mean(look, replace(field, type=Float()))
    if not counts:
        return None
    (value, _), *_ = counts.most_common(1)
    return Baseline(field.name, "most frequent value", value, field.type, look.n_rows)
