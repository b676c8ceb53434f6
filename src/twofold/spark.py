"""A model over the rows of a Spark DataFrame: the same definition, coercion and answers as `serve` and `batch`.

import twofold.spark

scored = twofold.spark.apply(orders, "fraud.py")
scored.filter("_error is not null").show()

pip install 'twofold[spark]', here and on the executors, which also need the packages that the model imports. The model
itself is shipped: the files that its version counts.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twofold._errors import MissingExtra, ModelError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from pyspark.sql import DataFrame

    from twofold._batch.mapping import Read, Reading
    from twofold._model import Model
    from twofold._reference import ModelRef
    from twofold._runner import Runner

__all__ = ["apply"]

BATCH_ROWS = 8192


def apply(
    df: DataFrame,
    model: str | Path | Model | ModelRef | Callable[..., Any],
    *,
    map: Mapping[str, str] | None = None,  # noqa: A002 (as in twofold.batch)
    keep: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
    error: str = "_error",
    batch_rows: int = BATCH_ROWS,
) -> DataFrame:
    """The rows of `df` with the model's answers beside them, and a column `error` that says why a row has none.

    Every row comes out, in the order of its partition; of a row that fails, the answers are null. It is one
    `mapInArrow`, so it runs when Spark is asked for the rows, and again each time: write or cache the result.

    `model` is a reference such as "fraud.py", a marked function or class, or a loaded model that has a file. `map`
    (field -> column), `keep`, `rename` (answer -> column) and `batch_rows` are those of `twofold.batch`.

    Raises ModelError for a model that cannot be loaded here, UsageError and InputError for columns that do not fit.
    """
    from twofold._batch.api import reference_for_workers
    from twofold._batch.mapping import Reading, match_columns
    from twofold._batch.packing import packed
    from twofold._reference import refuse_at_import
    from twofold._signature import Signature
    from twofold._supervisor import refuse_in_worker

    try:
        from pyspark.sql.pandas.types import from_arrow_schema
        from pyspark.sql.types import StructField, StructType
    except ImportError as missing:
        raise MissingExtra("pyspark", "spark", "twofold.spark") from missing

    refuse_at_import("spark.apply")
    refuse_in_worker("twofold.spark.apply")
    with packed(reference_for_workers(model)) as found:
        archive, parcel, facts = found.archive.read_bytes(), found.parcel, found.facts
    signature = Signature.from_json(facts["signature"])
    columns = match_columns(signature, df.columns, dict(map or {}), "the DataFrame")
    kept = _kept(df.columns, keep)
    answers = _answers(signature.output_schema.names, rename or {}, kept, error)
    plan = _Plan(parcel.to_json(), facts["version"], columns, kept, answers, error, batch_rows)
    needed = Reading(signature, columns).needed
    read = df.select([df[name] for name in df.columns if name in {*kept, *needed}])
    fields = from_arrow_schema(plan.answer_schema(signature.output_schema)).fields
    schema = StructType([*(df.schema[name] for name in kept), *(StructField(f.name, f.dataType) for f in fields)])
    return read.mapInArrow(functools.partial(_answered, json.dumps(plan.__dict__), _carried(df, archive)), schema)


@dataclass(frozen=True)
class _Plan:
    """What an executor must know, as JSON. `columns` feed the fields, `kept` stay, `answers`: output -> its column."""

    parcel: dict[str, Any]
    version: str
    columns: dict[str, str | list[str]]
    kept: list[str]
    answers: dict[str, str]
    error: str
    batch_rows: int

    def answer_schema(self, outputs: pa.Schema) -> pa.Schema:
        """The columns that are added, in types that Spark has."""
        import pyarrow as pa

        fields = [pa.field(column, _as_spark_has(outputs.field(name).type)) for name, column in self.answers.items()]
        return pa.schema([*fields, pa.field(self.error, pa.string())])


def _kept(available: Sequence[str], keep: Sequence[str] | None) -> list[str]:
    from twofold._batch.mapping import named

    for name in keep or ():
        if name not in available:
            raise UsageError(f"keep: the DataFrame has no column {name!r}. Its columns: {named(available)}.")
    return list(available if keep is None else dict.fromkeys(keep))


def _answers(outputs: Sequence[str], rename: Mapping[str, str], kept: Sequence[str], error: str) -> dict[str, str]:
    for name in rename:
        if name not in outputs:
            raise UsageError(f"rename: the model has no output {name!r}. Its outputs: {', '.join(outputs)}.")
    answers = {name: rename.get(name, name) for name in outputs}
    taken = set(kept)
    for column in [*answers.values(), error]:
        if column in taken:
            raise UsageError(
                f"the result would have two columns {column!r}. Give the model's another name (rename=), the one of "
                "the errors (error=), or keep other columns (keep=)."
            )
        taken.add(column)
    return answers


def _carried(df: DataFrame, archive: bytes) -> Any:
    """The archive as a broadcast, which each executor fetches once; in Spark Connect, which has none, as it is."""
    from pyspark.errors import PySparkException

    try:
        return df.sparkSession.sparkContext.broadcast(archive)
    except (AttributeError, PySparkException):
        return archive


def _as_spark_has(kind: pa.DataType) -> pa.DataType:
    """The type itself, or the next wider one that Spark has."""
    import pyarrow as pa

    wider = {
        pa.uint8(): pa.int16(),
        pa.uint16(): pa.int32(),
        pa.uint32(): pa.int64(),
        pa.uint64(): pa.decimal128(20, 0),
        pa.float16(): pa.float32(),
        pa.large_string(): pa.string(),
        pa.large_binary(): pa.binary(),
    }
    if kind in wider:
        return wider[kind]
    if pa.types.is_dictionary(kind):
        return _as_spark_has(kind.value_type)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return pa.list_(_as_spark_has(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(field.name, _as_spark_has(field.type)) for field in kind])
    return kind


# ---- on the executors -----------------------------------------------------------------------------------------------

_models: dict[str, Model] = {}
"""By the digest of its parcel: loaded once by each Python worker."""


def _answered(plan: str, archive: Any, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """What Spark calls with the rows of a partition."""
    answering = _Answering(_Plan(**json.loads(plan)), archive)
    for batch in batches:
        yield answering.batch(batch)


class _Answering:
    def __init__(self, plan: _Plan, archive: Any) -> None:
        from twofold._batch.mapping import Reading
        from twofold._runner import Runner

        model = _loaded(plan, archive)
        self._plan = plan
        self._runner: Runner = Runner(model)
        self._reading: Reading = Reading(model.signature, plan.columns)
        self._schema = plan.answer_schema(model.signature.output_schema)

    def batch(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The kept columns of these rows, their answers, and why some have none."""
        import numpy as np
        import pyarrow as pa

        read = self._reading.read_table(pa.Table.from_batches([batch]))
        good = np.arange(batch.num_rows) if read.good is None else np.asarray(read.good)
        why = {row: f"row_does_not_fit: {errors[0].message}" for row, errors in read.misfits.items()}
        outputs = self._run(read, good, why)
        where = np.zeros(batch.num_rows, dtype=np.int64)
        answered = np.ones(batch.num_rows, dtype=bool)
        answered[list(why)] = False
        where[answered] = np.arange(outputs.num_rows)
        found = pa.array(where, mask=~answered)
        arrays = [batch.column(batch.schema.get_field_index(name)) for name in self._plan.kept]
        for name, column in self._plan.answers.items():
            values = outputs.column(outputs.schema.get_field_index(name)).take(found)
            arrays.append(values.cast(self._schema.field(column).type))
        arrays.append(pa.array([why.get(row) for row in range(batch.num_rows)], pa.string()))
        return pa.RecordBatch.from_arrays(arrays, [*self._plan.kept, *self._schema.names])

    def _run(self, read: Read, good: np.ndarray, why: dict[int, str]) -> pa.RecordBatch:
        """The answers of the rows that fit and do not fail; the others are put into `why`."""
        from twofold._columns import Batch

        outputs = [Batch.from_rows(self._runner.signature.output_schema, [])]
        for start in range(0, read.rows.n_rows, self._plan.batch_rows):
            result = self._runner.run(read.rows.slice(start, start + self._plan.batch_rows))
            outputs.append(result.outputs)
            for at, failure in result.failures.items():
                why[int(good[start + at])] = f"{failure.code}: {failure.message}"
        return Batch.concat(outputs).arrow()


def _loaded(plan: _Plan, archive: Any) -> Model:
    from twofold._batch.shipping import Parcel, open_parcel
    from twofold._model import load

    parcel = Parcel.from_json(plan.parcel)
    if parcel.digest not in _models:
        pieces = (carried if isinstance(carried, bytes) else carried.value for carried in [archive])
        model = load(open_parcel(parcel, pieces))
        if model.version != plan.version:
            raise ModelError(
                f"the model has the version {model.version} on an executor, and {plan.version} where it was applied: "
                "one of its files changed while it was packed."
            )
        _models[parcel.digest] = model
    return _models[parcel.digest]
