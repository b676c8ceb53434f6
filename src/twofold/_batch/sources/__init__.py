"""Sources: where the rows of a batch run come from. One small file per format; the table is in `_batch/formats.py`.

scan = scan_inputs("data/*.parquet", mark_rows=1024)      what is there, looked at once
splits = cut(scan, split_rows=250_000)                    [FileSplit], in order, JSON both ways
for piece in read_split(splits[0], scan.schema, ["id", "amount"], batch_rows=8192): ...
"""

from __future__ import annotations

from twofold._batch.sources.base import Broken, FileScan, FileSplit, InputFile, Piece, Source, reading
from twofold._batch.sources.inputs import (
    InputScan,
    cut,
    read_split,
    rows_until,
    scan_inputs,
    schema_from_text,
    schema_to_text,
)
from twofold._batch.sources.listing import expand_inputs
from twofold._batch.sources.where import Where, parse_where

__all__ = [
    "Broken",
    "FileScan",
    "FileSplit",
    "InputFile",
    "InputScan",
    "Piece",
    "Source",
    "Where",
    "cut",
    "expand_inputs",
    "parse_where",
    "read_split",
    "reading",
    "rows_until",
    "scan_inputs",
    "schema_from_text",
    "schema_to_text",
]
