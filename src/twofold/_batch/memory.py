"""Rows in memory, computed in the calling process: what comes in decides what comes out.

    list of rows                      list of answers, in order
    Arrow table or record batch       the same with a column per output
    pandas or polars DataFrame        the same with a column per output

A row is a dict, a struct, or the bare value of a model with one input; an answer is the bare value of a model with one
output named `prediction`, else a dict. A path keeps failing rows in a quarantine; here there is none, so a row without
an answer is an error, raised when all rows were tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from twofold._batch.mapping import Reading, Rows, match_columns, named
from twofold._columns import Batch
from twofold._errors import FieldError, InputError, RowFailure, RowsDoNotFit, RunStopped, UsageError
from twofold._options import BatchOptions
from twofold._runner import Runner

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._model import Model

__all__ = ["run_in_memory"]

BATCH_ROWS = 8192
SHOWN_FAILURES = 5


def run_in_memory(model: Model, data: Any, options: BatchOptions) -> Any:
    """Answer all rows of `data`. RowsDoNotFit where rows do not fit; RunStopped where the model failed on some."""
    if options.where is not None:
        raise UsageError("where chooses among the rows of a stored input; of rows in memory give those you want.")
    kind = f"{type(data).__module__.partition('.')[0]}.{type(data).__name__}"
    if kind in ("pyarrow.Table", "pyarrow.RecordBatch"):
        return _arrow(model, data, options)
    if kind == "pandas.DataFrame":
        return _pandas(model, data, options)
    if kind == "polars.DataFrame":
        return _polars(model, data, options)
    if isinstance(data, (str, bytes, dict)) or not isinstance(data, Iterable):
        raise InputError(
            f"twofold.batch takes a list of rows, an Arrow table, a pandas or polars DataFrame, or the paths of an "
            f"input and an output; it was given {type(data).__name__}."
        )
    return _rows(model, list(data), options)


def _rows(model: Model, data: list[Any], options: BatchOptions) -> list[Any]:
    if options.map or options.keep is not None or options.rename:
        raise UsageError("map, keep and rename name columns, and a list of rows has none: give a table or a DataFrame.")
    signature = model.signature
    rows, errors = [], []
    for index, value in enumerate(data[: options.limit_rows]):
        try:
            rows.append(signature.row(value, index))
        except RowsDoNotFit as misfit:
            errors.extend(misfit.errors)
    if errors:
        raise RowsDoNotFit(errors)
    answers = _answers(model, Batch.from_rows(signature.input_schema, rows), options).rows()
    names = [field.name for field in signature.outputs]
    if names == ["prediction"]:
        return [row[0] for row in answers]
    return [dict(zip(names, row, strict=True)) for row in answers]


def _answers(model: Model, rows: Batch | Rows, options: BatchOptions) -> Batch:
    """The outputs of all rows, called in batches of at most `batch_rows`."""
    batch_rows = options.batch_rows or BATCH_ROWS
    runner = Runner(model)
    outputs: list[Batch] = []
    failures: dict[int, RowFailure] = {}
    for start in range(0, rows.n_rows, batch_rows):
        result = runner.run(rows.slice(start, start + batch_rows))
        outputs.append(result.outputs)
        failures.update({start + at: failure for at, failure in result.failures.items()})
    if failures:
        shown = [f"  row {row}: {failures[row].message}" for row in sorted(failures)[:SHOWN_FAILURES]]
        raise RunStopped(
            f"{len(failures):,} of {rows.n_rows:,} rows have no answer. Mend the rows or the model; with a path as "
            "input and one as output, such rows are put aside in a quarantine instead.\n" + "\n".join(shown),
            failures=failures,
        )
    return Batch.concat(outputs) if outputs else Batch.from_rows(model.signature.output_schema, [])


def _columns(model: Model, table: pa.Table, options: BatchOptions, taken: Sequence[str]) -> list[tuple[str, pa.Array]]:
    """The answers for a table, under the names they get; `taken` are the columns that the result has already."""
    signature = model.signature
    found = match_columns(signature, table.column_names, options.map, "the table")
    reading = Reading(signature, found)
    read = reading.read_table(table)
    if read.misfits:
        raise RowsDoNotFit([error for row in sorted(read.misfits) for error in _at(row, read.misfits[row])])
    answers = _answers(model, read.rows, options).arrow()
    columns: list[tuple[str, pa.Array]] = []
    for field in signature.outputs:
        name = options.rename.get(field.name, field.name)
        if name in {*taken, *(done for done, _ in columns)}:
            raise UsageError(
                f"the table has a column {name!r} already. Give the model's another name: "
                f"rename={{{field.name!r}: ...}}"
            )
        columns.append((name, answers.column(answers.schema.get_field_index(field.name))))
    for name in options.rename:
        if name not in signature.output_schema.names:
            raise UsageError(f"the model has no output {name!r}. Its outputs: {named(signature.output_schema.names)}.")
    return columns


def _at(row: int, errors: Sequence[FieldError]) -> list[FieldError]:
    return [FieldError(row, e.field, e.expected, e.got, e.message) for e in errors]


def _kept(names: Sequence[str], options: BatchOptions) -> list[str]:
    keep = list(names) if options.keep is None else list(options.keep)
    absent = [name for name in keep if name not in names]
    if absent:
        raise UsageError(f"keep: the table has no column {absent[0]!r}. Its columns: {named(names)}.")
    return keep


def _arrow(model: Model, data: Any, options: BatchOptions) -> Any:
    import pyarrow as pa

    is_batch = isinstance(data, pa.RecordBatch)
    table = pa.Table.from_batches([data]) if is_batch else data
    table = table.slice(0, options.limit_rows)
    kept = _kept(table.column_names, options)
    columns = _columns(model, table, options, kept)
    result = table.select(kept)
    for name, values in columns:
        result = result.append_column(pa.field(name, values.type), values)
    if not is_batch:
        return result
    merged = result.combine_chunks().to_batches()
    return merged[0] if merged else pa.RecordBatch.from_pylist([], schema=result.schema)


def _pandas(model: Model, data: Any, options: BatchOptions) -> Any:
    import pyarrow as pa

    frame = data.iloc[: options.limit_rows]
    names = [str(name) for name in frame.columns]
    kept = _kept(names, options)
    found = match_columns(model.signature, names, options.map, "the table")
    used = set(Reading(model.signature, found).needed)
    read = {name: _series(frame.iloc[:, at], name) for at, name in enumerate(names) if name in used}
    table = pa.table(read) if read else pa.Table.from_batches([pa.RecordBatch.from_struct_array(_nothing(len(frame)))])
    columns = _columns(model, table, options, kept)
    result = frame[[column for column in frame.columns if str(column) in kept]].copy()
    for name, values in columns:
        result[name] = values.to_pandas().set_axis(result.index)
    return result


def _nothing(n_rows: int) -> pa.StructArray:
    import pyarrow as pa

    return pa.StructArray.from_buffers(pa.struct([]), n_rows, [None])


def _series(series: Any, name: str) -> pa.Array:
    """A column of a DataFrame. NaN among NumPy floats is a value; elsewhere pandas writes it for "missing"."""
    import numpy as np
    import pyarrow as pa

    try:
        if isinstance(series.dtype, np.dtype) and series.dtype.kind == "f":
            return pa.array(series.to_numpy(), from_pandas=False)
        return pa.array(series, from_pandas=True)
    except pa.ArrowException as error:
        raise InputError(f"the column {name!r} of the DataFrame has values of several kinds: {error}.") from error


def _polars(model: Model, data: Any, options: BatchOptions) -> Any:
    import polars as pl

    frame = data if options.limit_rows is None else data.head(options.limit_rows)
    kept = _kept(frame.columns, options)
    columns = _columns(model, frame.to_arrow(), options, kept)
    made = [pl.Series(name, pl.from_arrow(values)) for name, values in columns]
    return frame.select(kept).with_columns(made) if kept else pl.DataFrame(made)
