"""A batch input: one file, a folder or a glob of files of one format, with one schema."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from twofold._batch.formats import SOURCES, Format, format_of
from twofold._batch.opening import LISTING
from twofold._batch.sources.base import FileScan, FileSplit, InputFile, Piece, Source
from twofold._batch.sources.filtering import filtered
from twofold._batch.sources.listing import expand_inputs, some_of
from twofold._batch.sources.partitions import constant_fields, own_constants, with_constants
from twofold._batch.sources.pieces import regroup, slice_piece
from twofold._batch.sources.where import Where
from twofold._errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["InputScan", "cut", "read_split", "rows_until", "scan_inputs", "schema_from_text", "schema_to_text"]

MARK_ROWS = 1024
BATCH_ROWS = 8192


@dataclass(frozen=True, slots=True)
class InputScan:
    """Everything known about an input before a row is computed: its files in order, and their one schema."""

    files: list[FileScan]
    schema: pa.Schema
    format: Format

    @property
    def n_rows(self) -> int:
        return sum(scan.n_rows for scan in self.files)


def _source_of(path: str) -> Source:
    """The source that reads this file."""
    return cast("Source", import_module(SOURCES[_format(path).name]).SOURCE)


def _format(path: str) -> Format:
    return Format("files") if path.startswith(LISTING) else format_of(path)


def scan_inputs(
    pattern: str | Path | Sequence[InputFile], *, mark_rows: int = MARK_ROWS, where: Where | None = None
) -> InputScan:
    """Look through all files once. In text files every `mark_rows`th row is marked: a split that begins between two
    marks reads from the one before it. Rows that do not pass `where` need not be in the splits that are cut.

    InputError names the file that is broken, or the column in which two files differ.
    """
    found = list(pattern) if not isinstance(pattern, str | Path) else expand_inputs(pattern)
    files = [_scan(file, mark_rows, where) for file in found]
    file_format = _format(found[0].path)
    schema = _common_schema(files, file_format)
    for field in constant_fields([scan.constants for scan in files]):
        if field.name not in set(schema.names):
            schema = schema.append(field)
    return InputScan(files, schema, file_format)


def _scan(file: InputFile, mark_rows: int, where: Where | None) -> FileScan:
    scan = _source_of(file.path).scan(file.path, mark_rows=mark_rows, where=where)
    constants = own_constants(scan, file.constants)
    return replace(
        scan, name=file.name, constants=constants, n_bytes=file.identity[0] if file.n_bytes is None else file.n_bytes
    )


def _common_schema(files: list[FileScan], file_format: Format) -> pa.Schema:
    if file_format.name == "jsonl":
        from twofold._batch.sources.json_types import merge_columns, schema_of

        return schema_of(merge_columns([scan.marks.columns for scan in files]))
    for scan in files[1:]:
        _same_schema(files[0], scan)
    return _nullable_anywhere(files)


def _same_schema(first: FileScan, other: FileScan) -> None:
    """Both files have the same columns and types, in whatever order; else an InputError naming both and the column."""
    ours, theirs = first.schema, other.schema
    for lacking, having in ((other, first), (first, other)):
        absent = [name for name in having.schema.names if name not in set(lacking.schema.names)]
        if absent:
            raise InputError(
                f"the input files differ: {lacking.shown} has no column {some_of(absent)}, which {having.shown} has. "
                "All files of one input need the same columns.",
                path=lacking.shown,
                columns=absent,
            )
    for name in ours.names:
        if ours.field(name).type != theirs.field(name).type:
            raise InputError(
                f"the input files differ: the column {name} is {ours.field(name).type} in {first.shown} and "
                f"{theirs.field(name).type} in {other.shown}. All files of one input need the same types.",
                path=other.shown,
                columns=[name],
            )


def _nullable_anywhere(files: list[FileScan]) -> pa.Schema:
    """The first file's schema; a column that may be null in any file may be null."""
    import pyarrow as pa

    schema = files[0].schema
    fields = [field.with_nullable(any(scan.schema.field(field.name).nullable for scan in files)) for field in schema]
    return pa.schema(fields, metadata=schema.metadata)


def cut(scan: InputScan, split_rows: int) -> list[FileSplit]:
    """The whole input as splits of about `split_rows` rows, in order. A file without rows has none."""
    return [
        replace(split, name=file.name, constants=file.constants)
        for file in scan.files
        for split in _source_of(file.path).splits(file, split_rows)
    ]


def rows_until(split: FileSplit, schema: pa.Schema, where: Where, wanted: int) -> tuple[int, int]:
    """How many rows of a split must be read until `wanted` of them pass, and how many then do."""
    found = 0
    for piece in read_split(split, schema, [], BATCH_ROWS, where=where):
        if found + piece.n_rows >= wanted:
            return piece.file_row(wanted - found - 1) + 1 - split.first_row, wanted
        found += piece.n_rows
    return split.n_rows, found


def read_split(
    split: FileSplit,
    schema: pa.Schema,
    columns: Sequence[str],
    batch_rows: int,
    *,
    where: Where | None = None,
    n_rows: int | None = None,
) -> Iterator[Piece]:
    """The rows of a split, in order, in pieces of exactly `batch_rows` rows (the last one has the rest).

    `n_rows`: only the first so many. Rows that do not pass `where` are left out; the pieces say how many.
    """
    wanted = list(columns) if where is None else list(dict.fromkeys([*columns, *where.columns]))
    constants = {name: value for name, value in split.constants.items() if name in wanted}
    stored = [name for name in wanted if name not in constants]
    pieces = _source_of(split.path).read(split, schema, stored, batch_rows)
    if n_rows is not None and n_rows < split.n_rows:
        pieces = _first_rows(pieces, n_rows)
    if constants:
        pieces = (with_constants(piece, constants) for piece in pieces)
    if where is not None:
        pieces = filtered(where, pieces)
    # What holds few rows because they are large stays as it is.
    return pieces if split.path.startswith(LISTING) else regroup(pieces, batch_rows)


def _first_rows(pieces: Iterator[Piece], n_rows: int) -> Iterator[Piece]:
    for piece in pieces:
        yield slice_piece(piece, 0, min(piece.n_rows, n_rows))
        n_rows -= piece.n_rows
        if n_rows <= 0:
            return


def schema_to_text(schema: pa.Schema) -> str:
    """A schema as text that JSON can carry to another process."""
    return base64.b64encode(schema.serialize()).decode("ascii")


def schema_from_text(text: str) -> pa.Schema:
    """What `schema_to_text` wrote."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
