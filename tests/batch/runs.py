"""Runs as the tests make them: a model in a file, an input, an output; computed here unless told otherwise."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa

from twofold._batch.executors.inline import InlineExecutor
from twofold._batch.formats import format_of
from twofold._batch.report import BatchReport
from twofold._batch.run import run_batch
from twofold._batch.sinks import open_part
from twofold._batch.sources import cut, read_split, scan_inputs
from twofold._model import load, model_ref
from twofold._options import BatchOptions

PARITY = """
import twofold

@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"
"""

PICKY = """
import twofold

@twofold.model
def picky(number: int) -> str:
    if number % 10 == 3:
        raise twofold.BadRow("three is unlucky")
    if number % 10 == 7:
        raise ZeroDivisionError("seven")
    return str(number)
"""

_numbers = itertools.count()


def write_model(folder: Path, source: str, name: str = "") -> Path:
    """A model file; a new name each time, because Python remembers modules by their name."""
    path = folder / (name or f"model_{next(_numbers)}.py")
    path.write_text(source)
    return path


def write(path: Path, table: pa.Table) -> Path:
    with open_part(path, table.schema, format_of(path)) as part:
        for batch in table.to_batches():
            part.write(batch)
    return path


def numbers(n_rows: int) -> pa.Table:
    return pa.table({"id": [f"r{i}" for i in range(n_rows)], "number": pa.array(range(n_rows), pa.int64())})


def run(model: Path, source: Path | str, output: Path | str, *, here: bool = True, **options: Any) -> BatchReport:
    """One run; `here`: in this process, else in workers."""
    ref = model_ref(model)
    executor = InlineExecutor(load(ref)) if here else None
    return run_batch(ref, str(source), str(output), BatchOptions(**options), executor=executor)


def read(path: Path | str) -> pa.Table:
    """All rows of a file or folder, as this package reads them."""
    scan = scan_inputs(path)
    tables = [
        pa.table(piece.arrow(scan.schema.names), schema=scan.schema)
        for split in cut(scan, 1 << 20)
        for piece in read_split(split, scan.schema, scan.schema.names, 1 << 16)
    ]
    return pa.concat_tables(tables) if tables else scan.schema.empty_table()


def quarantine(report: BatchReport) -> list[dict[str, Any]]:
    assert report.quarantine is not None
    return [json.loads(line) for line in Path(report.quarantine).read_text().splitlines()]
