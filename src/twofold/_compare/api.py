"""`twofold.compare`: both modes over the same rows, from Python."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from twofold._batch.api import reference_for_workers
from twofold._errors import InputError
from twofold._options import CompareOptions, options_of
from twofold._reference import ModelRef, refuse_at_import
from twofold._supervisor import refuse_in_worker

if TYPE_CHECKING:
    from twofold._compare.report import Comparison
    from twofold._model import Model

__all__ = ["compare"]


class CompareSettings(TypedDict, total=False):
    """The fields of CompareOptions."""

    limit_rows: int
    connections: int
    min_seconds: float
    workers: int | None
    map: Mapping[str, str]
    deadline_s: float
    p99_s: float | None
    core_hour: float | None
    rows_per_day: float | None


def compare(
    model: str | Path | Model | ModelRef | Callable[..., Any], data: Any, **settings: Unpack[CompareSettings]
) -> Comparison:
    """Answer the same rows in real time, by a real server over HTTP, and in batch; both in processes of their own.

    `model` is a reference such as "parity.py", a marked function or class in a file, or a loaded model. `data` is a
    path (a file, folder or glob), a list of rows, an Arrow table, or a pandas or polars DataFrame. The settings are the
    options of `twofold compare`: `limit_rows`, `connections`, `min_seconds`, `workers`, `map`, `deadline_s`, `p99_s`,
    `core_hour`, `rows_per_day`.

    `print` the result for the table; its `parity` says whether the answers are the same, `to_json()` has all numbers.
    Raises ModelError and InputError for what is broken.
    """
    refuse_at_import("compare")
    refuse_in_worker("twofold.compare")
    from twofold._compare.measure import measure

    options = options_of(CompareOptions, "twofold.compare", settings)
    ref = reference_for_workers(model)
    if isinstance(data, (str, Path)):
        return measure(ref.to_json(), str(data), options)
    with tempfile.TemporaryDirectory(prefix="twofold-compare-") as folder:
        path = Path(folder, "rows.parquet")
        _write(ref, data, path)
        return replace(measure(ref.to_json(), str(path), options), input="")


def _write(ref: ModelRef, data: Any, path: Path) -> None:
    """The rows as Parquet. Anything that speaks Arrow's stream protocol is a table; else it is rows of the model."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if hasattr(data, "__arrow_c_stream__"):
        pq.write_table(pa.table(data), path)
        return
    from twofold._columns import Batch
    from twofold._model import load

    if not isinstance(data, (list, tuple)):
        kind = type(data).__name__
        raise InputError(f"twofold.compare takes a path, a list of rows, an Arrow table or a DataFrame, not a {kind}.")
    signature = load(ref).signature
    rows = [signature.row(value, index) for index, value in enumerate(data)]
    pq.write_table(pa.Table.from_batches([Batch.from_rows(signature.input_schema, rows).arrow()]), path)
