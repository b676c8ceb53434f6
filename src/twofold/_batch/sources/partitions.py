"""Folders named `country=DE`: columns whose value is the same in all files below them.

    sales/year=2024/country=DE/a.parquet    the columns year (integers) and country (text)

A column whose values are all whole numbers is int64, any other one text; `__HIVE_DEFAULT_PARTITION__` is a null. A
column that a file itself has stays as it is there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from twofold._batch.sources.base import Constants, FileScan, InputFile, Piece
from twofold._batch.sources.filtering import passes_constant
from twofold._errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._batch.sources.where import Where

__all__ = ["constant_fields", "in_partitions", "own_constants", "partition_of", "passing_partitions", "with_constants"]

FOLDER: Final = re.compile(r"([^=/]+)=(.*)")
NULL: Final = "__HIVE_DEFAULT_PARTITION__"
WHOLE: Final = re.compile(r"-?(0|[1-9]\d{0,17})")


def partition_of(relative: str) -> Constants:
    """What the folders of a path (below the input's own) say."""
    found: Constants = {}
    for folder in PurePosixPath(relative).parts[:-1]:
        if match := FOLDER.fullmatch(folder):
            found[unquote(match[1])] = None if match[2] == NULL else unquote(match[2])
    return found


def in_partitions(given: str, files: Sequence[InputFile], *, text: bool) -> list[InputFile]:
    """The files with their constants as values of one type per column. `text`: of a format that has no types.

    InputError where the folders of two files do not name the same columns.
    """
    names = set(files[0].constants)
    for file in files[1:]:
        if set(file.constants) != names:
            differing = sorted(names ^ set(file.constants))
            raise InputError(
                f"the folders of the input {given!r} differ: a folder {differing[0]}=… is above only one of "
                f"{files[0].shown} and {file.shown}. All files of one input need the same folders of that kind.",
                path=file.shown,
                columns=differing,
            )
    whole = set()
    for name in names if not text else ():
        values = [str(file.constants[name]) for file in files if file.constants[name] is not None]
        if values and all(WHOLE.fullmatch(value) for value in values):
            whole.add(name)
    return [
        replace(file, constants={name: _typed(value, name in whole) for name, value in file.constants.items()})
        if names
        else file
        for file in files
    ]


def _typed(value: int | str | None, whole: bool) -> int | str | None:
    return int(value) if whole and value is not None else value


def passing_partitions(files: Sequence[InputFile], where: Where) -> list[InputFile]:
    """The files that the names of their folders do not rule out."""
    comparisons = [comparison for comparison in where.comparisons if comparison.column in files[0].constants]
    if not comparisons:
        return list(files)
    kinds = {field.name: field.type for field in constant_fields([file.constants for file in files])}
    return [
        file
        for file in files
        if all(
            passes_constant(comparison, file.constants[comparison.column], kinds[comparison.column])
            for comparison in comparisons
        )
    ]


def constant_fields(several: Sequence[Constants]) -> list[pa.Field]:
    """The columns of these constants: int64 where all values are numbers, else text."""
    import pyarrow as pa

    fields = []
    for name in dict.fromkeys(name for constants in several for name in constants):
        values = [constants.get(name) for constants in several]
        whole = any(isinstance(value, int) for value in values) and not any(isinstance(value, str) for value in values)
        fields.append(pa.field(name, pa.int64() if whole else pa.string()))
    return fields


def own_constants(scan: FileScan, constants: Constants) -> Constants:
    """Those that the file has no column of."""
    return {name: value for name, value in constants.items() if name not in set(scan.schema.names)}


def with_constants(piece: Piece, constants: Constants) -> Piece:
    """The piece with these columns, too."""
    import pyarrow as pa

    if piece.origin == "json":
        for record in piece.records:
            record.update(constants)
        return piece
    assert piece.schema is not None
    kinds = {name: piece.schema.field(name).type for name in constants}
    columns = {name: pa.repeat(pa.scalar(value, kinds[name]), piece.n_whole) for name, value in constants.items()}
    return replace(piece, columns={**piece.columns, **columns})
