"""A Batch as the container of whole columns that the user's function asks for.

A null of an optional number is NaN in a float column of every container; in an int or bool column it is masked (NumPy),
NA of Int64 or boolean (pandas) or null (polars, Arrow).

            bool, int, float    str, bytes   datetime                date             tensor           list, struct
numpy       (n,) of the dtype   object       datetime64[us] (UTC)    datetime64[D]    (n, *shape)      object
pandas      that dtype          str, object  datetime64[us, UTC]     datetime64[s]    arrays (object)  object
polars      that dtype          String       Datetime("us", "UTC")   Date             Array            List, Struct
Arrow       the types of the signature

Enums and Literals are their values. NumPy arrays are copies that the function may change: should it fail, it is asked
again with the same rows, and a library such as torch warns of arrays that are read-only. Arrow and polars share memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twofold._signature.containers import Container
from twofold._signature.types import Bool, Choice, Datetime, Field, Float, String, Tensor

if TYPE_CHECKING:
    import pyarrow as pa

    from twofold._columns import Batch

__all__ = ["present"]


def present(container: Container, fields: tuple[Field, ...], batch: Batch) -> Any:
    """The columns of `batch`, whose schema has these fields, as one object of that container."""
    if container == "numpy":
        return {field.name: batch.numpy(field.name, writable=True) for field in fields}
    if container == "pandas":
        return _pandas(fields, batch)
    if container == "polars":
        import polars as pl

        return pl.from_arrow(_without_float_nulls(fields, batch.arrow()), rechunk=False)
    import pyarrow as pa

    columns = _without_float_nulls(fields, batch.arrow())
    return pa.Table.from_batches([columns]) if container == "table" else columns


def _without_float_nulls(fields: tuple[Field, ...], columns: pa.RecordBatch) -> pa.RecordBatch:
    """Nulls of optional floats as NaN, as in every other container."""
    arrays = columns.columns
    for at, field in enumerate(fields):
        if isinstance(field.type, Float) and arrays[at].null_count:
            arrays[at] = arrays[at].fill_null(float("nan"))
    return columns.from_arrays(arrays, schema=columns.schema)


def _pandas(fields: tuple[Field, ...], batch: Batch) -> Any:
    import pandas as pd

    columns = {field.name: _pandas_column(field, batch) for field in fields}
    return pd.DataFrame(columns, index=pd.RangeIndex(batch.n_rows))  # copies: the user may write into its frame


def _pandas_column(field: Field, batch: Batch) -> Any:
    import numpy as np
    import pandas as pd

    array, kind = batch.numpy(field.name), field.type
    if isinstance(kind, Tensor):
        return pd.Series(_objects(array), dtype=object)
    if isinstance(array, np.ma.MaskedArray):
        made: Any = pd.arrays.BooleanArray if isinstance(kind, Bool) else pd.arrays.IntegerArray
        return made(array.data, np.ma.getmaskarray(array))
    if isinstance(kind, Datetime) and not kind.naive:
        series: Any = pd.Series(array)
        return series.dt.tz_localize("UTC")
    if array.dtype == object:
        text = isinstance(kind, (String, Choice)) and int(pd.__version__.partition(".")[0]) >= 3
        return pd.Series(array, dtype="str" if text else object)
    return array


def _objects(array: Any) -> Any:
    """(n,) of objects, each one row of `array`; None for a row that is masked."""
    import numpy as np

    rows = np.empty(len(array), dtype=object)
    masked: Any = np.ma.getmaskarray(array).any(axis=tuple(range(1, array.ndim)))
    for at in range(len(array)):
        rows[at] = None if masked[at] else np.array(array[at])
    return rows
