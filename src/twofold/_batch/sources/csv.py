"""CSV files: RFC 4180 with a header line, UTF-8 with or without a byte order mark, `\\n` or `\\r\\n`.

Every cell is text. An empty cell without quotes is a null, `""` an empty string; there are no other null words.
An empty line is no row, except in a file of one column, where it is a row with a null. A record with too few or
too many cells, text after a closing quote, or bytes that are not UTF-8, is a broken row and keeps its place.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.csv as pc

from twofold._batch.sources.base import Broken, FileScan, FileSplit, Piece, refuse_repeated
from twofold._batch.sources.csv_records import cells_of, text_of
from twofold._batch.sources.records import csv_record_ends, has_odd_quotes, record_end
from twofold._batch.sources.streams import Block, Lexer, Marks, mark, open_text, read_blocks, split_marks
from twofold._batch.sources.where import Where
from twofold._errors import InputError

__all__ = ["SOURCE", "CsvSource"]

HEADER_BYTES = 1 << 16


class CsvSource:
    def scan(self, path: str, *, mark_rows: int, where: Where | None) -> FileScan:  # noqa: ARG002
        names = _header(path)
        marks, n_rows = mark(path, _lexer(len(names)), mark_rows)
        return FileScan(path, pa.schema([(name, pa.string()) for name in names]), n_rows, marks)

    def splits(self, scan: FileScan, split_rows: int) -> list[FileSplit]:
        marks: Marks = scan.marks
        return split_marks(scan.path, marks, scan.n_rows, split_rows)

    def read(
        self,
        split: FileSplit,
        schema: pa.Schema,
        columns: Sequence[str],
        batch_rows: int,  # noqa: ARG002
    ) -> Iterator[Piece]:
        names = _header(split.path)
        row = split.first_row
        for block in read_blocks(split, _lexer(len(names))):
            if block.n_rows:
                arrays, broken = parse_block(block, names, columns)
                yield Piece(row, block.n_rows, "text", arrays, broken=broken, schema=schema)
                row += block.n_rows


def _lexer(n_columns: int) -> Lexer:
    return Lexer(csv_record_ends, keep_empty=n_columns == 1, header=True)


def _header(path: str) -> list[str]:
    """The names in the header line, which must be there, be UTF-8 and name each column once."""
    with open_text(path) as (reader, _):
        head = reader.read(HEADER_BYTES)
        end = record_end(head, 0)
        while end < 0:
            more = reader.read(HEADER_BYTES)
            if not more:
                end = len(head)
                break
            head += more
            end = record_end(head, 0)
    line = head[:end]
    if not line.strip():
        raise InputError(
            f"the input {path!r} {'begins with an empty line' if head else 'is empty'}: a CSV file needs a "
            "first line with the names of its columns.",
            path=path,
        )
    cells, why = cells_of(line)
    if not why and (b"\0" in line or (b'"' not in line and b"\r" in line.rstrip(b"\r\n"))):
        why = "its lines do not end in \\n or \\r\\n, or its text is not UTF-8"
    if why or not cells:
        raise InputError(
            f"the header line of the input {path!r} cannot be read: {why}. The file must be CSV in UTF-8.",
            path=path,
        )
    names = [cell or "" for cell in cells]
    refuse_repeated(path, names)
    return names


def parse_block(
    block: Block, names: Sequence[str], columns: Sequence[str]
) -> tuple[dict[str, pa.Array], dict[int, Broken]]:
    """The cells of whole records as one string array a column, and the records that are broken."""
    data = block.data[int(block.starts[0]) :] if block.starts[0] else block.data
    if not has_odd_quotes(data) and not _has_lone_return(data):
        found = _parse_fast(data, block, names, columns)
        if found is not None:
            return found
    return _parse_carefully(block, names, columns)


def _has_lone_return(data: bytes) -> bool:
    """A `\\r` that is not followed by `\\n`: pyarrow would end a record there."""
    return b"\r" in data and data.count(b"\r") != data.count(b"\r\n")


def _parse_fast(
    data: bytes, block: Block, names: Sequence[str], columns: Sequence[str]
) -> tuple[dict[str, pa.Array], dict[int, Broken]] | None:
    """By pyarrow's reader; None when it and our own count of the records disagree, or a cell is not UTF-8."""
    if not data.endswith(b"\n"):
        data += b"\n"  # at the end of a file pyarrow takes an empty last cell for a quoted one if the one before was
    wanted = list(columns) or [names[0]]
    refused: list[pc.InvalidRow] = []

    def note(row: pc.InvalidRow) -> str:
        refused.append(row)
        return "skip"

    try:
        table = pc.read_csv(
            pa.BufferReader(data),
            pc.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=list(names)),
            pc.ParseOptions(
                newlines_in_values=b'"' in data, ignore_empty_lines=len(names) > 1, invalid_row_handler=note
            ),
            pc.ConvertOptions(
                column_types=dict.fromkeys(wanted, pa.string()),
                include_columns=wanted,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows + len(refused) != block.n_rows:
        return None
    broken: dict[int, Broken] = {}
    for row in refused:
        at = (row.number or 0) - 1
        if not 0 <= at < block.n_rows:
            return None
        text = block.data[int(block.starts[at]) : int(block.ends[at])]
        if text.rstrip(b"\r\n") != row.text.encode():
            return None
        broken[at] = (text_of(text), wrong_count(len(names), row.actual_columns))
    arrays = {name: _one_array(table.column(name)) for name in columns}
    return arrays, broken


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _parse_carefully(
    block: Block, names: Sequence[str], columns: Sequence[str]
) -> tuple[dict[str, pa.Array], dict[int, Broken]]:
    """Record by record."""
    at = {name: index for index, name in enumerate(names)}
    wanted = [at[name] for name in columns]
    cells_by_column: list[list[str | None]] = [[] for _ in wanted]
    broken: dict[int, Broken] = {}
    for row, (start, end) in enumerate(zip(block.starts.tolist(), block.ends.tolist(), strict=True)):
        record = block.data[start:end]
        cells, why = cells_of(record)
        if cells is None or len(cells) != len(names):
            broken[row] = (text_of(record), why or wrong_count(len(names), len(cells or ())))
            continue
        for column, index in zip(cells_by_column, wanted, strict=True):
            column.append(cells[index])
    arrays = [pa.array(column, pa.string()) for column in cells_by_column]
    return dict(zip(columns, arrays, strict=True)), broken


def wrong_count(expected: int, got: int) -> str:
    return f"expected {expected} cell{'s' if expected != 1 else ''}, as in the header line, but the record has {got}"


SOURCE = CsvSource()
