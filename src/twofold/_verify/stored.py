"""Batch runs as ways to ask all rows, and files of rows in several formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twofold._batch.mapping import Reading, match_columns
from twofold._columns import Batch
from twofold._compare.hosting import COMPARE_HOST, hosting
from twofold._compare.measure import quarantined
from twofold._load.rows import Position, read_rows
from twofold._signature import Signature
from twofold._verify.asking import Answer, Row

if TYPE_CHECKING:
    from twofold._model import Model
    from twofold._supervisor import Message

__all__ = ["FORMATS", "batch_here", "batch_over", "write_rows"]

FORMATS = ("parquet", "csv")


def batch_over(
    model: Message, signature: Signature, path: str, output: Path, options: Message, positions: Sequence[Position]
) -> list[Answer]:
    """A run of worker processes over a path: the answer to each of these rows of it."""
    task = {"model": model, "input": path, "output": str(output), "options": {**options, "keep": []}}
    with hosting(COMPARE_HOST, {"batch": task}) as host:
        report = host.wait("done")["report"]
    bad = quarantined(report["quarantine"])
    outputs = Signature(signature.outputs, signature.outputs)
    rows = read_rows(outputs, report["output"], columns={}, limit=max(len(positions), 1)).typed
    texts = iter(map(outputs.encode_row, rows))
    return [Answer(b"", bad[at]) if at in bad else Answer(next(texts)) for at in positions]


def write_rows(signature: Signature, rows: Sequence[Row], path: Path) -> None:
    """Rows as a file, of the format that its name says."""
    from twofold._realtime.http.bulk_write import bulk_answer
    from twofold._runner import Result

    columns = Batch.from_rows(signature.input_schema, list(rows))
    if path.suffix == ".csv":
        path.write_bytes(bulk_answer(Signature((), signature.inputs), "text/csv", Result(columns)).body)
        return
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_batches([columns.arrow()]), path)


def batch_here(model: Model, rows: Sequence[Row], reference: Sequence[Answer]) -> list[Answer]:
    """`twofold.batch` over a table in memory, of the rows that had an answer; the others are as they were."""
    import pyarrow as pa

    from twofold._batch.memory import run_in_memory
    from twofold._options import BatchOptions

    signature = model.signature
    asked = [row for row, answer in zip(rows, reference, strict=True) if not answer.error]
    table = pa.Table.from_batches([Batch.from_rows(signature.input_schema, asked).arrow()])
    found = run_in_memory(model, table, BatchOptions(keep=()))
    outputs = Signature(signature.outputs, signature.outputs)
    read = Reading(outputs, match_columns(outputs, found.column_names, {}, "the answers")).read_table(found)
    texts = iter(outputs.encode_rows(read.batch))
    return [answer if answer.error else Answer(next(texts)) for answer in reference]
