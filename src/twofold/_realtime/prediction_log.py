"""A share of the rows that a server answers, with their answers, kept in Parquet files that `twofold batch` reads.

    FOLDER/MODEL/20261124T101500.123456-4711.parquet
        the model's inputs | its answers, as logged_NAME | logged_at (UTC) | logged_version

A file appears whole, by a rename, once 10,000 rows or 64 MiB are there, or a minute after the first row, or at the end.
Until then rows are in memory only: a killed process loses them. Batch answers these files as they are: its answers
stand beside the logged ones.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import random
from collections.abc import Callable, Container
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from sys import getsizeof
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from twofold._columns import Batch
from twofold._runner import Result

if TYPE_CHECKING:
    from twofold._errors import RowFailure
    from twofold._signature import Signature
    from twofold._usage import Piece

__all__ = ["PredictionLog"]

FILE_ROWS: Final = 10_000
FILE_BYTES: Final = 64 << 20  # about, in memory
FILE_S: Final = 60.0
FILES_WAITING: Final = 4  # a disk that does not keep up costs logged rows, not memory

LOG = logging.getLogger("twofold")

Row = tuple[Any, ...]


class PredictionLog:
    """The log of one model in one process. Belongs to one event loop; files are written in a thread."""

    def __init__(self, folder: Path, share: float, signature: Signature, name: str, version: str) -> None:
        """`share`: the part of the rows to keep, above 0 and at most 1. Raises OSError where `folder` cannot be had."""
        self._folder = folder / name
        self._folder.mkdir(parents=True, exist_ok=True)
        self._share = share
        self._inputs, self._outputs = signature.input_schema, signature.output_schema
        self._version = version
        self._kept: list[tuple[Row, Row, datetime]] = []
        self._kept_bytes = 0
        self._gap = self._next_gap()
        self._timer: asyncio.TimerHandle | None = None
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="twofold-log")
        self._writing = 0

    def take(self, batch: Batch, result: Result) -> None:
        """Look at a call that is over, and keep some of its answered rows."""
        n_rows = result.outputs.n_rows
        if self._gap >= n_rows:
            self._gap -= n_rows
            return
        chosen = []
        while self._gap < n_rows:
            chosen.append(self._gap)
            self._gap += 1 + self._next_gap()
        self._gap -= n_rows
        failures = result.failures
        places = [at for at in range(batch.n_rows) if at not in failures] if failures else range(n_rows)
        now = datetime.now(UTC)
        rows = zip(batch.take([places[at] for at in chosen]).rows(), result.outputs.take(chosen).rows(), strict=True)
        for row, answer in rows:
            self._kept.append((row, answer, now))
            self._kept_bytes += sum(map(getsizeof, row)) + sum(map(getsizeof, answer))
        if len(self._kept) >= FILE_ROWS or self._kept_bytes >= FILE_BYTES:
            self._write()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FILE_S, self._write)

    def of_stream(
        self, row: Row, on_piece: Callable[[Piece], None], on_end: Callable[[RowFailure | None], None]
    ) -> tuple[Callable[[Piece], None], Callable[[RowFailure | None], None]]:
        """`on_piece` and `on_end` of an answer in pieces, of which the whole is looked at."""
        texts: list[str] = []

        def piece(found: Piece) -> None:
            if isinstance(found, str):
                texts.append(found)
            on_piece(found)

        def end(failure: RowFailure | None) -> None:
            on_end(failure)
            if failure is None:
                outputs = Batch.from_rows(self._outputs, [("".join(texts),)])
                self.take(Batch.from_rows(self._inputs, [row]), Result(outputs))

        return piece, end

    def close(self) -> None:
        """Write what is there, and wait until it is on the disk."""
        self._write()
        self._writer.shutdown()

    def _next_gap(self) -> int:
        """How many rows to pass over: independent draws for each row, without a draw for each row."""
        return 0 if self._share >= 1 else int(math.log(1.0 - random.random()) / math.log1p(-self._share))

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        kept, self._kept, self._kept_bytes = self._kept, [], 0
        if kept and self._writing < FILES_WAITING:
            self._writing += 1
            self._writer.submit(self._write_file, kept)
        elif kept:
            LOG.warning("%d logged predictions are dropped: %s does not keep up", len(kept), self._folder)

    def _write_file(self, kept: list[tuple[Row, Row, datetime]]) -> None:
        from pyarrow import parquet

        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}-{os.getpid()}.parquet"
        path, unfinished = self._folder / name, self._folder / f".{name}.tmp"
        try:
            parquet.write_table(self._table(kept), unfinished, compression="zstd")
            unfinished.rename(path)
        except (OSError, pa.ArrowException) as error:
            unfinished.unlink(missing_ok=True)
            LOG.warning("%d logged predictions are dropped: %s cannot be written: %s", len(kept), path, error)
        finally:
            self._writing -= 1

    def _table(self, kept: list[tuple[Row, Row, datetime]]) -> pa.Table:
        inputs = Batch.from_rows(self._inputs, [row for row, _, _ in kept]).arrow()
        outputs = Batch.from_rows(self._outputs, [answer for _, answer, _ in kept]).arrow()
        columns = dict(zip(inputs.schema.names, inputs.columns, strict=True))
        for name, column in zip(outputs.schema.names, outputs.columns, strict=True):
            columns[_free(f"logged_{name}", columns)] = column
        columns[_free("logged_at", columns)] = pa.array([at for _, _, at in kept], pa.timestamp("us", "UTC"))
        columns[_free("logged_version", columns)] = pa.array([self._version] * len(kept), pa.string())
        return pa.table(columns)


def _free(name: str, columns: Container[str]) -> str:
    """A name that no column has yet: the model's inputs keep theirs."""
    while name in columns:
        name = f"logged_{name}"
    return name
