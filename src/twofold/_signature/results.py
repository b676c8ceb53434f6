"""What a function on whole columns gave back -> a Batch of its outputs, checked.

One output may come as an array, a Series, an Arrow array or a list; several as a dict of these, a DataFrame, an Arrow
table, or a list with one instance of the result's class per row. Rows are matched by position. Names, row count, types,
nulls and constraints must be those of the signature: nothing is dropped, filled in or turned round.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twofold._errors import WrongResult
from twofold._signature.result_columns import Column, ColumnReader
from twofold._signature.types import Field, arrow_schema

if TYPE_CHECKING:
    from twofold._columns import Batch
    from twofold._signature.reading import Reading

__all__ = ["Answers"]


class Answers:
    """Reads the answers of one function on columns; made once per model."""

    def __init__(self, outputs: tuple[Field, ...], answer: Reading, result: Callable[[Any], tuple[Any, ...]]) -> None:
        if answer.struct is not None and not answer.nullable:
            from_user = [member.reading.from_user for member in answer.struct.members]
        else:
            from_user = [answer.from_user]
        self.schema = arrow_schema(outputs)
        self.names = tuple(field.name for field in outputs)
        self._readers = [ColumnReader(f, convert) for f, convert in zip(outputs, from_user, strict=True)]
        self._plain_readers = [ColumnReader(f, None) for f in outputs]
        self._result = result
        self._one = answer.struct is None or answer.nullable

    def batch(self, value: Any, n_rows: int) -> Batch:
        """The answer for `n_rows` rows as a Batch; WrongResult says what is wrong with it."""
        readers = self._readers
        named = _named_columns(value)
        if named is None and self._one:
            columns = [value]
        elif named is not None:
            columns = self._in_order(named)
        elif isinstance(value, (list, tuple)):
            rows = [self._result(item) for item in value]
            _check_length(len(rows), n_rows, "")
            columns, readers = [[row[at] for row in rows] for at in range(len(self.names))], self._plain_readers
        else:
            raise WrongResult(
                f"the model answered {_described(value)} for the columns {', '.join(self.names)}. Return a dict of "
                "arrays, a DataFrame or an Arrow table with these columns."
            )
        for name, column in zip(self.names, columns, strict=True):
            _check_length(_length(column, name), n_rows, name)
        read = [reader.read(column) for reader, column in zip(readers, columns, strict=True)]
        return self._assemble(read, n_rows)

    def _in_order(self, named: Mapping[str, Any]) -> list[Any]:
        missing = [name for name in self.names if name not in named]
        unknown = [str(name) for name in named if name not in self.names]
        if missing or unknown:
            wrong = (
                f"no column {missing[0]!r}" if missing else f"a column {unknown[0]!r} that its result does not declare"
            )
            raise WrongResult(
                f"the model answered {wrong}: it has {', '.join(map(str, named)) or 'none'}, and result= says "
                f"{', '.join(self.names)}. Return exactly these columns."
            )
        return [named[name] for name in self.names]

    def _assemble(self, read: list[Column], n_rows: int) -> Batch:
        import pyarrow as pa

        from twofold._columns import Batch

        forms = {form for form, _ in read}
        if forms == {"numpy"}:
            return Batch.from_numpy(self.schema, dict(zip(self.names, (c for _, c in read), strict=True)), n_rows)
        if forms == {"cells"}:
            return Batch.from_rows(self.schema, list(zip(*(c for _, c in read), strict=True)))
        arrays = []
        for name, (form, column) in zip(self.names, read, strict=True):
            if form == "arrow":
                arrays.append(column)
                continue
            schema = pa.schema([self.schema.field(name)])
            if form == "numpy":
                arrays.append(Batch.from_numpy(schema, {name: column}, n_rows).arrow().column(0))
            else:
                arrays.append(Batch.from_rows(schema, [(cell,) for cell in column]).arrow().column(0))
        return Batch.from_arrow(pa.RecordBatch.from_arrays(arrays, schema=self.schema))


def _named_columns(value: Any) -> Mapping[Any, Any] | None:
    """The columns by name of a dict, a DataFrame or an Arrow table; None for anything else."""
    if isinstance(value, Mapping):
        return value
    home, name = type(value).__module__.partition(".")[0], type(value).__name__
    if home == "pyarrow" and name in ("Table", "RecordBatch"):
        return dict(zip(value.schema.names, value.columns, strict=True))
    if name == "DataFrame" and home == "polars":
        return dict(zip(value.columns, value.get_columns(), strict=True))
    if name == "DataFrame" and home == "pandas":
        return {column: value[column] for column in value.columns}
    return None


def _length(column: Any, name: str) -> int:
    if isinstance(column, (str, bytes)) or not hasattr(column, "__len__") or getattr(column, "shape", None) == ():
        raise WrongResult(
            f"the model answered {_described(column)} for the column {name!r}. Return one value per row: an array, a "
            "Series or a list."
        )
    return len(column)


def _check_length(got: int, n_rows: int, name: str) -> None:
    if got != n_rows:
        where = f" in the column {name!r}" if name else ""
        raise WrongResult(
            f"the model answered {got} rows{where} for a batch of {n_rows}. Return one answer per row, in order.",
            expected=n_rows,
            got=got,
        )


def _described(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
