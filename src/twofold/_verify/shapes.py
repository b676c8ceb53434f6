"""Calls of many shapes over one table: batches of each size, and the smallest shape that is as good as all larger."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twofold._verify.asking import Answer, Subject

__all__ = ["Exact", "full_calls", "sizes_of", "smallest_exact", "widened"]

SAMPLE_ROWS = 256
REPEATED_ROWS = 16
SEED = 7


@dataclass(frozen=True, slots=True)
class Exact:
    """The fewest rows of a call from which on answers are the same bytes whatever the call holds, and the seconds of
    such a call and of one with one row."""

    rows: int
    seconds: float
    one_row_s: float


def sizes_of(n_rows: int) -> list[int]:
    """2, 4, 8 … and all rows at once."""
    sizes = []
    size = 2
    while size < n_rows:
        sizes.append(size)
        size *= 2
    return [*sizes, n_rows] if n_rows > 1 else []


def full_calls(order: Sequence[int], size: int) -> list[list[int]]:
    """All rows in calls of exactly `size`: the last one goes on with the first rows."""
    n_rows = len(order)
    return [[order[(start + at) % n_rows] for at in range(size)] for start in range(0, n_rows, size)]


def widened(subject: Subject, order: Sequence[int], size: int) -> list[Answer]:
    """The answer to each row of `order`, by its place in the table, in calls of exactly `size` rows."""
    calls = full_calls(order, size)
    found: dict[int, Answer] = {}
    for places, answers in zip(calls, subject.ask(calls), strict=True):
        for at, answer in zip(places, answers, strict=True):
            found.setdefault(at, answer)
    return [found[at] for at in sorted(order)]


def smallest_exact(subject: Subject, n_rows: int, by_size: Mapping[int, Sequence[Answer]]) -> Exact | None:
    """The smallest call that is bit-exact against all larger ones, up to all rows; None: there is none.

    `by_size` are answers that are there already, of all rows. Sizes between are asked of a sample; so are other orders,
    and calls that are filled up by repeating a row, as an exact mode would make them.
    """
    if n_rows < 2:
        return None
    sample = list(range(min(n_rows, SAMPLE_ROWS)))
    target = by_size[n_rows]
    unlike: set[int] = set()
    for size in sorted({*by_size, *_between(n_rows)}):
        found = by_size[size] if size in by_size else widened(subject, sample, size)
        if any(answer != target[at] for at, answer in enumerate(found)):
            unlike.add(size)
    mixed = random.Random(SEED).sample(sample, len(sample))
    for size in sorted({*by_size, *_between(n_rows)}):
        if size <= max(unlike, default=0) or size == n_rows:
            continue
        if not _holds(subject, mixed, size, target):
            continue
        seconds = subject.seconds([1, size])
        return Exact(size, seconds[size], seconds[1])
    return None


def _holds(subject: Subject, mixed: Sequence[int], size: int, target: Sequence[Answer]) -> bool:
    if any(answer != target[at] for at, answer in zip(sorted(mixed), widened(subject, mixed, size), strict=True)):
        return False
    repeated = mixed[:REPEATED_ROWS]
    asked = subject.ask([[at] * size for at in repeated])
    return all(answer == target[at] for at, answers in zip(repeated, asked, strict=True) for answer in answers)


def _between(n_rows: int) -> set[int]:
    """Sizes around the powers of two, where kernels have remainders."""
    found = set(range(3, min(9, n_rows)))
    size = 16
    while size < n_rows:
        found |= {size - 1, size + 1}
        size *= 2
    return {size for size in found if size < n_rows}
