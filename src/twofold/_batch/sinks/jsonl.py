"""JSONL output: one object a line, with the values that real time answers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from twofold._batch.formats import JSON_MARK, Format
from twofold._batch.sinks.base import Joiner, Part
from twofold._batch.sinks.json_text import json_key, json_text, text_bytes
from twofold._batch.sinks.text_files import Write, in_pieces, joined_text, open_text_output, refuse_untextual

__all__ = ["SINK", "JsonlSink"]


class JsonlSink:
    @contextmanager
    def part(self, path: Path, schema: pa.Schema, file_format: Format, *, header: bool) -> Iterator[Part]:  # noqa: ARG002
        refuse_untextual(schema)
        with open_text_output(path, file_format.compression) as write:
            yield _Part(write, schema)

    def joined(self, path: Path, schema: pa.Schema, file_format: Format) -> AbstractContextManager[Joiner]:  # noqa: ARG002
        return joined_text(path, file_format.compression, b"")


class _Part:
    def __init__(self, write: Write, schema: pa.Schema) -> None:
        self._write, self._schema = write, schema

    def write(self, batch: pa.RecordBatch) -> None:
        for piece in in_pieces(batch):
            self._write(lines(piece, self._schema))


def lines(batch: pa.RecordBatch, schema: pa.Schema) -> pa.Buffer | bytes:
    """The rows as JSON lines."""
    if not batch.num_rows:
        return b""
    if not batch.num_columns:
        return b"{}\n" * batch.num_rows
    pieces: list[pa.Array | str] = []
    for field, column in zip(schema, batch.columns, strict=True):
        holds_json = JSON_MARK in (field.metadata or {})
        pieces += [("," if pieces else "{") + json_key(field.name) + ":", json_text(column, holds_json=holds_json)]
    return pa.py_buffer(text_bytes(pc.binary_join_element_wise(*pieces, "}\n", "")))


SINK = JsonlSink()
