"""One column that a model answered -> the values of its field.

Numbers in NumPy arrays of a fitting kind are checked and converted at once. Arrow columns, and what Arrow can read, go
through the one coercion as a column; everything else goes through it value by value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NoReturn

from twofold._errors import FieldError, WrongResult
from twofold._signature.misfit import Misfit
from twofold._signature.plain import plain_values
from twofold._signature.types import UNCONSTRAINED, Bool, Date, Datetime, Field, Float, Int, Tensor, type_name
from twofold._signature.values import STRICT, value_reader

__all__ = ["Column", "ColumnReader"]

MANY_CELLS = 64
"""From here on a column is read at once; the answer of a request is better off as the row that it is written from."""

Column = tuple[Literal["numpy", "arrow", "cells"], Any]


class ColumnReader:
    """Reads the column of one output field."""

    def __init__(self, field: Field, from_user: Callable[[Any], Any] | None) -> None:
        self.field = field
        self._from_user = from_user
        self._read_cell = value_reader(field)
        self._plain = plain_values(field) if from_user is None else None

    def read(self, column: Any) -> Column:
        """The column in one of three forms: a NumPy array of the field's dtype, an Arrow array, canonical values.

        Raises WrongResult naming the first row whose value does not fit.
        """
        home = type(column).__module__.partition(".")[0]
        if home == "pandas":
            return self._read_pandas(column)
        if home == "polars":
            return self._read_arrow(column.to_arrow())
        if home == "pyarrow":
            return self._read_arrow(column)
        if not isinstance(column, (list, tuple)) and hasattr(column, "__array__"):
            import numpy as np

            return self._read_numpy(np.asanyarray(column))
        return self._read_cells(list(column))

    def _read_pandas(self, column: Any) -> Column:
        import numpy as np

        series = column if type(column).__name__ == "Series" else column.to_series()
        _check_index(series.index, self.field.name)
        missing_is_null = not isinstance(self.field.type, Float)
        if isinstance(series.dtype, np.dtype):
            array = series.to_numpy()
            if array.dtype == object or (missing_is_null and array.dtype.kind == "f"):
                missing = series.isna().to_numpy() if missing_is_null else np.zeros(len(array), dtype=bool)
                return self._read_cells([None if gone else v for gone, v in zip(missing, array, strict=True)])
            if array.dtype.kind == "M" and isinstance(self.field.type, Datetime) and not self.field.type.naive:
                raise WrongResult(
                    f"the model answered datetimes without a zone in the column {self.field.name!r}. Return instants: "
                    ".dt.tz_localize('UTC'), or declare the field without a zone."
                )
            return self._read_numpy(array)
        import pyarrow as pa

        try:
            return self._read_arrow(pa.array(series, from_pandas=True))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError):
            return self._read_cells([None if gone else v for gone, v in zip(series.isna(), series, strict=True)])

    def _read_numpy(self, array: Any) -> Column:
        import numpy as np

        kind = self.field.type
        shape = kind.shape if isinstance(kind, Tensor) else ()
        if array.dtype != object and array.shape[1:] != shape:
            hint = ": return it with .ravel()" if array.shape[1:] == (1,) and not shape else ""
            raise WrongResult(
                f"the model answered an array of shape {array.shape} for the column {self.field.name!r}, where "
                f"{(len(array), *shape)} ({type_name(kind)} per row) is expected{hint}.",
            )
        mask: Any = (
            np.ma.getmaskarray(array) if np.ma.isMaskedArray(array) and np.ma.getmaskarray(array).any() else None
        )
        data = np.asarray(np.ma.getdata(array))
        exact = _exact(data, kind) if self.field.constraints == UNCONSTRAINED else None
        whole = not isinstance(_item(kind), (Float, Datetime, Date))
        if exact is not None and mask is None:
            return "numpy", np.ma.MaskedArray(
                exact, np.zeros(exact.shape, bool)
            ) if self.field.nullable and whole else exact
        if exact is not None and self.field.nullable and whole and not shape:
            return "numpy", np.ma.MaskedArray(exact, mask)
        if shape or data.dtype.kind not in "biuf":
            if mask is None and (texts := self._texts(data)) is not None:
                return "arrow", texts
            items = data.tolist() if data.dtype.kind != "M" and not shape else list(array)
            if mask is not None:
                missing = mask.reshape(len(data), -1).all(axis=1)
                items = [None if gone else item for gone, item in zip(missing, items, strict=True)]
            return self._read_cells(items)
        import pyarrow as pa

        if data.dtype.kind == "f" and data.dtype.itemsize > 8:
            data = data.astype(np.float64)
        return self._read_arrow(pa.array(data, mask=mask))

    def _read_arrow(self, column: Any) -> Column:
        from twofold._signature.arrow import arrow_reader

        typed, misfits = arrow_reader(self.field, STRICT)(column)
        if misfits:
            row = min(misfits)
            self._refuse(misfits[row].inside(self.field.name).field_error(row))
        return "arrow", typed

    def _texts(self, array: Any) -> Any:
        """The column of a NumPy array of strings; None where that is not what this is or should be."""
        if array.dtype.kind != "U" or len(array) < MANY_CELLS or self._plain is None or self._plain.kind is not str:
            return None
        from twofold._columns.texts import numpy_text_array

        try:
            return numpy_text_array(array)
        except UnicodeEncodeError:  # half a character: found again, with its row, by reading one by one
            return None

    def _read_cells(self, cells: list[Any]) -> Column:
        if self._plain is not None and len(cells) >= MANY_CELLS:
            column = self._plain.column(cells)
            if column is not None:
                return "arrow", column
        convert, read = self._from_user, self._read_cell
        found: list[Any] = []
        add = found.append
        try:
            for cell in cells:
                add(read(cell if convert is None or cell is None else convert(cell)))
        except Misfit as misfit:
            self._refuse(misfit.inside(self.field.name).field_error(len(found)))
        return "cells", found

    def _refuse(self, error: FieldError) -> NoReturn:
        raise WrongResult(
            f"the model answered something that its result does not declare, first in row {error.row} of the batch: "
            f"{error.message}. Return what result= says, or change result=.",
            field=self.field.name,
            row=error.row,
            got=error.got,
        )


def _item(kind: Any) -> Any:
    return kind.item if isinstance(kind, Tensor) else kind


def _exact(array: Any, kind: Any) -> Any:
    """The array in the dtype of its type, when all of it fits without a look at single values; else None."""
    import numpy as np

    item = _item(kind)
    came = array.dtype.kind
    if isinstance(item, Bool):
        return array if came == "b" else None
    if isinstance(item, Int) and came in "iu":
        wanted = np.dtype(f"{'i' if item.signed else 'u'}{item.bits // 8}")
        if array.dtype != wanted and array.size and not (item.low <= array.min() and array.max() <= item.high):
            return None
        return array.astype(wanted, copy=False)
    if isinstance(item, Float) and came in "iuf":
        wanted = np.dtype(f"f{item.bits // 8}")
        if array.dtype == wanted:
            return array
        with np.errstate(over="ignore"):
            nearest = array.astype(wanted)
        return nearest if bool((np.isinf(nearest) == np.isinf(array)).all()) else None
    if isinstance(item, (Date, Datetime)) and came == "M":
        unit = array.astype("datetime64[D]" if isinstance(item, Date) else "datetime64[us]")
        return unit if bool((unit == array).all()) else None  # NaT equals nothing: those rows are looked at
    return None


def _check_index(index: Any, name: str) -> None:
    """Refuse a Series whose index is the positions in another order: its rows have been moved about."""
    import numpy as np

    if not (hasattr(index, "dtype") and getattr(index.dtype, "kind", "") in "iu"):
        return
    positions, in_order = index.to_numpy(), np.arange(len(index))
    if not np.array_equal(positions, in_order) and np.array_equal(np.sort(positions), in_order):
        raise WrongResult(
            f"the model answered the column {name!r} in another order than its rows: its index is a permutation of "
            "theirs. Return it in order (.sort_index()), or as an array (.to_numpy()) if its order is right."
        )
