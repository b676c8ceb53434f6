"""What a model costs on this machine, measured."""

from __future__ import annotations

import statistics
import time
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

from twofold._columns import Batch
from twofold._errors import RowsDoNotFit
from twofold._signature import (
    Bool,
    Bytes,
    Choice,
    Constraints,
    Date,
    Datetime,
    Field,
    Float,
    Int,
    List,
    Signature,
    String,
    Struct,
    Tensor,
    Type,
)

if TYPE_CHECKING:
    from twofold._runner import Runner

__all__ = ["invented_row", "measure_one_row_s"]

Row = tuple[Any, ...]

WARM_UP_CALLS = 3
MOST_CALLS = 50
LONGEST_S = 0.3


def measure_one_row_s(runner: Runner, example: Row | None) -> float | None:
    """The median seconds that a call with one row takes after a warm-up, which this is at the same time.

    `example`: the row to call with; None: one is invented from the signature. Takes 0.3 s, or a few calls where one is
    longer than that. None when there is no row that the model answers.
    """
    row = example if example is not None else invented_row(runner.signature)
    if row is None:
        return None
    schema = runner.signature.input_schema
    took: list[float] = []
    began = time.perf_counter()
    # at least two calls: the first may have loaded something
    while len(took) < 2 or (len(took) < MOST_CALLS and time.perf_counter() - began < LONGEST_S):
        start = time.perf_counter()
        result = runner.run(Batch.from_rows(schema, [row]))
        took.append(time.perf_counter() - start)
        if result.failures:
            return None
    return statistics.median(took[min(WARM_UP_CALLS, len(took) - 1) :])


def invented_row(signature: Signature) -> Row | None:
    """A row that fits the signature; None where its constraints are beyond guessing (a pattern, say)."""
    try:
        return signature.row({field.name: _value(field) for field in signature.inputs if field.required})
    except (RowsDoNotFit, ValueError):
        return None


def _value(field: Field) -> Any:
    """A plausible value of the field, as a Python value that its signature reads."""
    return None if field.nullable else _of_type(field.type, field)


def _of_type(kind: Type, field: Field) -> Any:
    match kind:
        case Bool():
            return False
        case Int(_, _) | Float(_):
            return _number(field, whole=isinstance(kind, Int))
        case String():
            return "a" * (field.constraints.min_length or 0)
        case Bytes():
            return bytes(field.constraints.min_length or 0)
        case Datetime(naive):
            return datetime(2000, 1, 1, tzinfo=None if naive else UTC)
        case Date():
            return date(2000, 1, 1)
        case Choice(values):
            return values[0]
        case Tensor(item, shape):
            value = _of_type(item, field)
            for length in reversed(shape):
                value = [value] * length
            return value
        case List(item):
            return [_value(item)] * (field.constraints.min_length or 0)
        case Struct(fields):
            return {inner.name: _value(inner) for inner in fields if inner.required}


def _number(field: Field, *, whole: bool) -> float | int:
    """0 where it may be 0, otherwise a number at or beside one of the bounds."""
    given = field.constraints
    step = given.multiple_of or 1
    bounds = [bound for bound in (given.ge, given.gt, given.le, given.lt) if bound is not None]
    near = [bound + shift for bound in bounds for shift in (0, step, -step)] + [sum(bounds) / max(len(bounds), 1)]
    if given.multiple_of or whole:
        near = [whole_steps * step for number in near for whole_steps in (number // step, number // step + 1)]
    return next((int(n) if whole else n for n in [0, *near] if _allowed(n, given)), 0)


def _allowed(number: float, given: Constraints) -> bool:
    return (
        (given.ge is None or number >= given.ge)
        and (given.gt is None or number > given.gt)
        and (given.le is None or number <= given.le)
        and (given.lt is None or number < given.lt)
    )
