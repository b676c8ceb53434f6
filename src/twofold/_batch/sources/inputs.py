"""A batch input: one file, a folder or a glob of files of one format, with one schema."""

from __future__ import annotations

import base64
import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

from twofold._batch.formats import SOURCES, Format, find_format, format_of
from twofold._batch.sources.base import FileScan, FileSplit, InputFile, Piece, Source
from twofold._batch.sources.pieces import regroup
from twofold._errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["InputScan", "cut", "expand_inputs", "read_split", "scan_inputs", "schema_from_text", "schema_to_text"]

MARK_ROWS = 1024
SHOWN_NAMES = 5


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
    return cast("Source", import_module(SOURCES[format_of(path).name]).SOURCE)


def expand_inputs(pattern: str | Path) -> list[InputFile]:
    """The files of an input, sorted by path: a file, a folder (searched to the bottom) or a glob.

    In a folder names that begin with `_` or `.` are skipped, folders too. InputError when nothing is there, or
    when the files are of more than one format.
    """
    root = Path(pattern)
    if root.is_dir():
        return _of_one_format(pattern, [p for p in sorted(root.rglob("*")) if p.is_file() and not _hidden(p, root)])
    if root.exists():
        format_of(root)
        return [InputFile(str(root))]
    if glob.has_magic(str(pattern)):
        found = [Path(name) for name in sorted(glob.glob(str(pattern), recursive=True))]  # noqa: PTH207  (absolute too)
        files = [path for path in found if path.is_file()]
        if not files:
            raise InputError(
                f"no file matches the input {str(pattern)!r}. Check the pattern, and quote it so that the shell "
                "does not expand it.",
                path=str(pattern),
            )
        return _of_one_format(pattern, files)
    raise InputError(f"the input {str(pattern)!r} is not there. Check the path.", path=str(pattern))


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(("_", ".")) for part in path.relative_to(root).parts)


def _of_one_format(pattern: str | Path, files: list[Path]) -> list[InputFile]:
    if not files:
        raise InputError(
            f"the input folder {str(pattern)!r} holds no file (names beginning with _ or . are skipped).",
            path=str(pattern),
        )
    unknown = [str(path) for path in files if find_format(path) is None]
    if unknown:
        raise InputError(
            f"the input {str(pattern)!r} holds files whose names do not say which format they are: "
            f"{_some(unknown)}. Move them away, or narrow the input with a pattern such as '*.parquet'.",
            path=str(pattern),
            files=unknown,
        )
    first: dict[str, str] = {}
    for path in files:
        first.setdefault(format_of(path).name, str(path))
    if len(first) > 1:
        named = ", ".join(f"{name} ({path})" for name, path in sorted(first.items()))
        raise InputError(
            f"the input {str(pattern)!r} mixes formats: {named}. Narrow it with a pattern such as '*.parquet'.",
            path=str(pattern),
            formats=sorted(first),
        )
    return [InputFile(str(path)) for path in files]


def _some(names: Sequence[str]) -> str:
    more = len(names) - SHOWN_NAMES
    return ", ".join(names[:SHOWN_NAMES]) + (f" and {more} more" if more > 0 else "")


def scan_inputs(pattern: str | Path | Sequence[InputFile], *, mark_rows: int = MARK_ROWS) -> InputScan:
    """Look through all files once. In text files every `mark_rows`th row is marked: a split that begins between two
    marks reads from the one before it.

    InputError names the file that is broken, or the column in which two files differ.
    """
    found = list(pattern) if not isinstance(pattern, str | Path) else expand_inputs(pattern)
    files = [_source_of(file.path).scan(file.path, mark_rows=mark_rows) for file in found]
    file_format = format_of(found[0].path)
    if file_format.name == "jsonl":
        from twofold._batch.sources.json_types import merge_columns, schema_of

        return InputScan(files, schema_of(merge_columns([scan.marks.columns for scan in files])), file_format)
    for scan in files[1:]:
        _same_schema(files[0], scan)
    return InputScan(files, _nullable_anywhere(files), file_format)


def _same_schema(first: FileScan, other: FileScan) -> None:
    """Both files have the same columns and types, in whatever order; else an InputError naming both and the column."""
    ours, theirs = first.schema, other.schema
    for lacking, having in ((other, first), (first, other)):
        absent = [name for name in having.schema.names if name not in set(lacking.schema.names)]
        if absent:
            raise InputError(
                f"the input files differ: {lacking.path} has no column {_some(absent)}, which {having.path} has. "
                "All files of one input need the same columns.",
                path=lacking.path,
                columns=absent,
            )
    for name in ours.names:
        if ours.field(name).type != theirs.field(name).type:
            raise InputError(
                f"the input files differ: the column {name} is {ours.field(name).type} in {first.path} and "
                f"{theirs.field(name).type} in {other.path}. All files of one input need the same types.",
                path=other.path,
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
    splits: list[FileSplit] = []
    for file in scan.files:
        splits.extend(_source_of(file.path).splits(file, split_rows))
    return splits


def read_split(split: FileSplit, schema: pa.Schema, columns: Sequence[str], batch_rows: int) -> Iterator[Piece]:
    """The rows of a split, in order, in pieces of exactly `batch_rows` rows (the last one has the rest)."""
    pieces = _source_of(split.path).read(split, schema, columns, batch_rows)
    return regroup(pieces, batch_rows)


def schema_to_text(schema: pa.Schema) -> str:
    """A schema as text that JSON can carry to another process."""
    return base64.b64encode(schema.serialize()).decode("ascii")


def schema_from_text(text: str) -> pa.Schema:
    """What `schema_to_text` wrote."""
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))
