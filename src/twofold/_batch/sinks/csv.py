"""CSV output: RFC 4180 with a header line, UTF-8, `\\n`.

A null is an empty cell, an empty string `""`; text is quoted only where it must be, and kept byte for byte.
Lists and structs are JSON in the cell.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from twofold._batch.formats import Format
from twofold._batch.sinks.base import Joiner, Part
from twofold._batch.sinks.column_text import decoded, is_bytes, is_nested, is_text, plain_text
from twofold._batch.sinks.json_text import json_text, text_bytes
from twofold._batch.sinks.text_files import Write, in_pieces, joined_text, open_text_output, refuse_untextual

__all__ = ["SINK", "CsvSink", "header_line", "lines"]

NEEDS_QUOTES = r'[,"\r\n]|^$'


class CsvSink:
    @contextmanager
    def part(self, path: Path, schema: pa.Schema, file_format: Format, *, header: bool) -> Iterator[Part]:
        refuse_untextual(schema)
        with open_text_output(path, file_format.compression) as write:
            if header:
                write(header_line(schema))
            yield _Part(write)

    def joined(self, path: Path, schema: pa.Schema, file_format: Format) -> AbstractContextManager[Joiner]:
        return joined_text(path, file_format.compression, header_line(schema))


class _Part:
    def __init__(self, write: Write) -> None:
        self._write = write

    def write(self, batch: pa.RecordBatch) -> None:
        for piece in in_pieces(batch):
            self._write(lines(piece))


def header_line(schema: pa.Schema) -> bytes:
    return ",".join(cell_texts(pa.array(schema.names, pa.string())).to_pylist()).encode() + b"\n"


def lines(batch: pa.RecordBatch) -> pa.Buffer | bytes:
    """The rows as CSV text."""
    if not batch.num_rows:
        return b""
    if not batch.num_columns:
        return b"\n" * batch.num_rows
    cells = [cell_texts(column) for column in batch.columns]
    as_empty = {"null_handling": "replace", "null_replacement": ""}
    cells[-1] = pc.binary_join_element_wise(cells[-1], "\n", "", **as_empty)
    joined = cells[0] if len(cells) == 1 else pc.binary_join_element_wise(*cells, ",", **as_empty)
    return pa.py_buffer(text_bytes(joined))


def cell_texts(column: pa.Array) -> pa.Array:
    """The cells of a column; a null stays null."""
    column = decoded(column)
    if is_nested(column.type):
        text = json_text(column)
        if column.null_count:
            text = pc.if_else(column.is_valid(), text, pa.scalar(None, pa.string()))
        return _quoted(text)
    text = plain_text(column)
    return _quoted(text) if is_text(column.type) or is_bytes(column.type) else text  # no bytes are `""`, not a null


def _quoted(text: pa.Array) -> pa.Array:
    """Cells in quotes where they hold a comma, a quote or a line end, or are empty."""
    data = text_bytes(text)
    special = ((data == ord(",")) | (data == ord('"')) | (data == ord("\n")) | (data == ord("\r"))).any()
    if not special and not pc.any(pc.equal(pc.binary_length(text), 0), min_count=0).as_py():
        return text
    quoted = pc.binary_join_element_wise('"', pc.replace_substring(text, '"', '""'), '"', "")
    return pc.if_else(pc.match_substring_regex(text, NEEDS_QUOTES), quoted, text)


SINK = CsvSink()
