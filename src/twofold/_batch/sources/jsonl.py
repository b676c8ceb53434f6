"""JSONL files: one JSON object a line, UTF-8. An empty line is no row; a line that is no object is a broken row.

Numbers whose nearest float64 might hide what was written (more digits than it holds, large exponents) come as
`JsonNumber`, with their text; all others as msgspec decodes them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from twofold._batch.sources.base import Broken, FileScan, FileSplit, Piece
from twofold._batch.sources.json_types import SPECIAL, Columns, RecordTypes, schema_of
from twofold._batch.sources.records import line_ends
from twofold._batch.sources.streams import Block, Lexer, Marks, mark, matching_lines, read_blocks, split_marks
from twofold._batch.sources.where import Where
from twofold._errors import NotJson
from twofold._signature.decode import decode_exactly

__all__ = ["SOURCE", "JsonMarks", "JsonlSource", "drop_quarantine_fields"]

LEXER = Lexer(line_ends)
QUARANTINE_FIELDS = ("_position", "_error", "_raw")

INEXACT = r"\d[eE]\+?\d|\d{16}[eE]|\d{8}\.[09]|\d{15}\.|\.0{5}|\.9{5}"
"""What a number looks like that could be taken for another one, read as a float64: for an integer with a fraction of
zeros, or the other way round. It finds more than these; that costs time only."""

_decoder = msgspec.json.Decoder()


@dataclass(frozen=True, slots=True)
class JsonMarks:
    """Where the file may be cut, and the types found in it."""

    marks: Marks
    columns: Columns


class JsonlSource:
    def scan(self, path: str, *, mark_rows: int, where: Where | None) -> FileScan:  # noqa: ARG002
        types = RecordTypes()
        marks, n_rows = mark(path, LEXER, mark_rows, lambda block: _look(types, block))
        return FileScan(path, schema_of(types.columns), n_rows, JsonMarks(marks, types.columns))

    def splits(self, scan: FileScan, split_rows: int) -> list[FileSplit]:
        return split_marks(scan.path, scan.marks.marks, scan.n_rows, split_rows)

    def read(self, split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int) -> Iterator[Piece]:  # noqa: ARG002
        row = split.first_row
        for block in read_blocks(split, LEXER):
            for start in range(0, block.n_rows, batch_rows):
                part = block.slice(start, min(start + batch_rows, block.n_rows))
                records, broken = records_of(part)
                yield Piece(row, part.n_rows, "json", records=records, broken=broken, schema=schema)
                row += part.n_rows


def _look(types: RecordTypes, block: Block) -> None:
    """Take the types of a block's records in. Nearly always one search for all that is unusual finds nothing."""
    unusual = bool(matching_lines(block, f"{INEXACT}|{SPECIAL}").any())
    records, _ = records_of(block, matching_lines(block, INEXACT) if unusual else np.zeros(block.n_rows, bool))
    types.see(block, records, special=unusual and bool(matching_lines(block, SPECIAL).any()))


def records_of(block: Block, inexact: np.ndarray | None = None) -> tuple[list[dict[str, Any]], dict[int, Broken]]:
    """The objects of a block of lines, without quarantine's fields, and the lines that are broken.

    `inexact`: which lines match `INEXACT`, where that is known.
    """
    if inexact is None:
        inexact = matching_lines(block, INEXACT)
    records = None if inexact.any() else _decode_at_once(block)
    broken: dict[int, Broken] = {}
    if records is None:
        records = []
        places = zip(block.starts.tolist(), block.ends.tolist(), inexact.tolist(), strict=True)
        for row, (start, end, exactly) in enumerate(places):
            line = block.data[start:end]
            record, why = _decode_line(line, exactly=exactly)
            if record is None:
                broken[row] = (line.rstrip(b"\r\n").decode("utf-8", "backslashreplace"), why)
            else:
                records.append(record)
    if b'"_position"' in block.data:
        records, broken = drop_quarantine_fields(records, broken, block.n_rows)
    return records, broken


def _decode_at_once(block: Block) -> list[dict[str, Any]] | None:
    """All lines in one call; None where some of them need a closer look."""
    try:
        found: list[dict[str, Any]] = _decoder.decode_lines(block.data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if len(found) != block.n_rows or set(map(type, found)) - {dict}:
        return None
    return found


def _decode_line(line: bytes, *, exactly: bool) -> tuple[dict[str, Any] | None, str]:
    try:
        found = decode_exactly(line) if exactly else _decoder.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, NotJson):
        try:
            found = decode_exactly(line)
        except NotJson as error:
            return None, f"the line is not JSON: {error.data.get('reason', error.message)}"
    if isinstance(found, dict):
        return found, ""
    return None, "the line is JSON, but not an object with fields"


def drop_quarantine_fields(
    records: list[dict[str, Any]], broken: dict[int, Broken], n_rows: int
) -> tuple[list[dict[str, Any]], dict[int, Broken]]:
    """Records of a quarantine file as they were before they failed: without `_position` and `_error`, and a record
    that could not be cut into fields broken again, with the text in its `_raw`."""
    kept: list[dict[str, Any]] = []
    found = dict(broken)
    rows = (row for row in range(n_rows) if row not in broken)
    for row, record in zip(rows, records, strict=True):
        position, error = record.get("_position"), record.get("_error")
        if not (isinstance(position, dict) and isinstance(error, dict)):
            kept.append(record)
        elif isinstance(record.get("_raw"), str):
            found[row] = (record["_raw"], str(error.get("message", "it could not be cut into fields")))
        else:
            kept.append({name: value for name, value in record.items() if name not in QUARANTINE_FIELDS})
    return kept, dict(sorted(found.items()))


SOURCE = JsonlSource()
