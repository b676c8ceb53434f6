"""Text files as blocks of whole records: where CSV and JSONL records end, found with NumPy, not character by character.

CSV lexing, everywhere in this package: a cell that begins with a quote runs to the next quote that is not doubled
(newlines and commas included); in any other cell a quote is a character like others. `\\n` ends a record, with a
`\\r` before it dropped; a `\\r` elsewhere is a character like others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

import numpy as np

from twofold._errors import InputError

__all__ = ["BLOCK_BYTES", "Reader", "blocks", "csv_record_ends", "has_odd_quotes", "line_ends"]

BLOCK_BYTES = 1 << 20
MAX_RECORD_BYTES = 256 << 20
QUOTE, NEWLINE, RETURN, COMMA = 34, 10, 13, 44

Ends = np.ndarray[tuple[int], np.dtype[np.int64]]


class Reader(Protocol):
    def read(self, n_bytes: int, /) -> bytes: ...


def line_ends(data: bytes) -> Ends:
    """The positions after each newline."""
    return np.flatnonzero(np.frombuffer(data, np.uint8) == NEWLINE) + 1


def csv_record_ends(data: bytes) -> Ends:
    """The positions after each CSV record of `data`, which begins at a record; one that is cut off has none."""
    if b'"' not in data:
        return line_ends(data)
    buffer = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(buffer == QUOTE)
    if _odd(buffer, quotes):
        return _careful_record_ends(data)
    newlines: Ends = np.flatnonzero(buffer == NEWLINE)
    outside = (np.searchsorted(quotes, newlines) & 1) == 0
    ends: Ends = newlines[outside] + 1
    return ends


def has_odd_quotes(data: bytes) -> bool:
    """A quote in the middle of a cell, text after a closing quote, or a quote that is never closed."""
    if b'"' not in data:
        return False
    buffer = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(buffer == QUOTE)
    return len(quotes) % 2 == 1 or _odd(buffer, quotes)


def _odd(buffer: np.ndarray, quotes: np.ndarray) -> bool:
    """Whether counting quotes would go wrong: every other quote must open at the start of a cell or be the
    second of a doubled one, and what it opens must close at the end of a cell or before such a one."""
    opening, closing = quotes[0::2], quotes[1::2]
    before = buffer[np.maximum(opening, 1) - 1]
    doubled = np.zeros(len(opening), bool)
    doubled[1:] = closing[: len(opening) - 1] == opening[1:] - 1
    starts = (before == COMMA) | (before == NEWLINE) | doubled | (opening == 0)
    if not starts.all():
        return True
    after_at = closing + 1
    inside = after_at < len(buffer)
    after = buffer[after_at[inside]]
    good = (after == COMMA) | (after == NEWLINE) | (after == QUOTE)
    if good.all():
        return False
    rest = after_at[inside][~good]
    if not (buffer[rest] == RETURN).all():
        return True
    rest = rest[rest + 1 < len(buffer)] + 1
    return not bool((buffer[rest] == NEWLINE).all())


def _careful_record_ends(data: bytes) -> Ends:
    """The same one quote at a time."""
    ends: list[int] = []
    start = 0
    while True:
        stop = record_end(data, start)
        if stop < 0:
            return np.array(ends, np.int64)
        ends.append(stop)
        start = stop


def record_end(data: bytes, start: int) -> int:
    """The position after the record that begins at `start`; -1 when its newline is not there."""
    cell = start
    while True:
        if data[cell : cell + 1] == b'"':
            cell = closing_quote(data, cell)
            if cell < 0:
                return -1
            cell += 1
        newline = data.find(b"\n", cell)
        comma = data.find(b",", cell, newline if newline >= 0 else len(data))
        if comma < 0:
            return newline + 1 if newline >= 0 else -1
        if newline >= 0 and data.find(b'"', comma, newline) < 0:
            return newline + 1
        cell = comma + 1


def closing_quote(data: bytes, opening: int) -> int:
    """The position of the quote that closes the one at `opening`; -1 when there is none."""
    at = opening + 1
    while True:
        at = data.find(b'"', at)
        if at < 0 or data[at + 1 : at + 2] != b'"':
            return at
        at += 2


def blocks(
    reader: Reader, path: str, ends: Callable[[bytes], Ends], block_bytes: int = BLOCK_BYTES
) -> Iterator[tuple[bytes, Ends]]:
    """What `reader` gives as blocks of whole records, each with the positions after its records.

    The last block may lack the newline of its last record, whose end is then the block's.
    """
    tail = b""
    while True:
        fresh = reader.read(max(block_bytes, len(tail)))
        data = tail + fresh if tail else fresh
        if not fresh:
            if data:
                found = ends(data)
                last = [] if len(found) and found[-1] == len(data) else [len(data)]
                yield data, np.concatenate([found, np.array(last, np.int64)])
            return
        found = ends(data)
        if not len(found):
            if len(data) > MAX_RECORD_BYTES:
                raise InputError(
                    f"the input {path!r} has a record of more than {MAX_RECORD_BYTES >> 20} MiB, beginning with "
                    f"{data[:60]!r}. Is a quote opened there that is never closed, or is it not text?",
                    path=path,
                )
            tail = data
            continue
        whole = int(found[-1])
        tail = data[whole:]
        yield (data if whole == len(data) else data[:whole]), found
