"""What the inputs and outputs that an ONNX file declares mean for one row.

The first dimension is rows. What is left of an input:

    nothing, or 1          a scalar                  [N], [N, 1]
    fixed sizes            a vector, a matrix, …     [N, 30], [N, 3, 224, 224]
    a size that is open    a list of any length      [N, tokens]; rows of unlike lengths are run apart
    (of strings)           a list, of that length    [N, 4]

Outputs are read the same way, from what a first run on rows of zeros gave: files declare them wrongly (`[1]` for the
label of a converted LightGBM model). A sequence of maps (zip-map, from scikit-learn) becomes a column per key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from twofold._columns import Batch
from twofold._columns.codecs import Array
from twofold._errors import ModelError, WrongResult
from twofold._signature import Bool, Constraints, Field, Float, Int, List, String, Tensor, Type

__all__ = ["ELEMENTS", "Column", "Declared", "InputSpec", "OutputSpec", "element_of", "read_input", "read_output"]

Shape = tuple[int | None, ...]

ELEMENTS: dict[str, Bool | Int | Float | String] = {
    "bool": Bool(),
    "double": Float(64),
    "float": Float(32),
    "float16": Float(16),
    "int8": Int(8),
    "int16": Int(16),
    "int32": Int(32),
    "int64": Int(64),
    "string": String(),
    "uint8": Int(8, signed=False),
    "uint16": Int(16, signed=False),
    "uint32": Int(32, signed=False),
    "uint64": Int(64, signed=False),
}
_DTYPES = {"double": "float64", "float": "float32", "string": "object"}


def element_of(declared: str) -> str | None:
    """`float` of `tensor(float)`; None for what is no tensor of a type that a column can have."""
    inner = declared.removeprefix("tensor(").removesuffix(")")
    return inner if declared == f"tensor({inner})" and inner in ELEMENTS else None


@dataclass(frozen=True)
class InputSpec:
    """One input: its field, and how a column becomes the array the session takes.

    `n_rows` is the first dimension where the file fixes it, else None; `open`: rows may differ in shape.
    """

    name: str
    field: Field
    dtype: np.dtype[Any]
    shape: Shape
    n_rows: int | None
    open: bool

    def array(self, batch: Batch) -> Array:
        """(n, *shape). Where the shape is open, the rows of `batch` have the same one."""
        column = batch.numpy(self.field.name)
        if self.shape == (1,):
            return column.reshape(batch.n_rows, 1)
        if column.dtype.kind == "O" and self.shape:
            made = np.array(column.tolist(), dtype=self.dtype)
            return made if made.ndim == len(self.shape) + 1 else made.reshape(batch.n_rows, *_sizes(self.shape, 0))
        return column

    def zeros(self, n_rows: int, open_size: int) -> Array:
        """Rows of zeros or empty strings, with this size where one is open."""
        sizes = (n_rows, *_sizes(self.shape, open_size))
        return np.full(sizes, "", dtype=object) if self.dtype == object else np.zeros(sizes, dtype=self.dtype)


def _sizes(shape: Shape, open_size: int) -> tuple[int, ...]:
    return tuple(open_size if size is None else size for size in shape)


def read_input(name: str, declared: str, shape: Sequence[object]) -> InputSpec:
    """An input as the session describes it. Raises ModelError for one that no field of a row can feed."""
    element = element_of(declared)
    if element is None:
        raise ModelError(
            f"The input {name!r} is {declared}, which no field of a row can hold. Write a Python class that loads the "
            "file and prepares this input."
        )
    if not shape:
        raise ModelError(
            f"The input {name!r} is declared without a dimension for rows. Write a Python class that loads the "
            "file and fills this input."
        )
    first, *rest = (size if isinstance(size, int) and size > 0 else None for size in shape)
    row_shape = tuple(rest)
    kind, constraints = _row_type(element, row_shape)
    is_open = any(size is None for size in row_shape)
    dtype = np.dtype(_DTYPES.get(element, element))
    return InputSpec(name, Field(name, kind, constraints=constraints), dtype, row_shape, first, is_open)


def _row_type(element: str, shape: Shape) -> tuple[Type, Constraints]:
    kind = ELEMENTS[element]
    if shape in ((), (1,)):
        return kind, Constraints()
    if not isinstance(kind, String) and all(size is not None for size in shape):
        return Tensor(kind, tuple(size for size in shape if size is not None)), Constraints()
    if shape[1:] == (1,):  # within a list, a list of one stays a list
        item = Field("item", List(Field("item", kind)), constraints=Constraints(min_length=1, max_length=1))
    else:
        item_kind, item_constraints = _row_type(element, shape[1:])
        item = Field("item", item_kind, constraints=item_constraints)
    return List(item), Constraints(min_length=shape[0], max_length=shape[0])


@dataclass(frozen=True)
class Column:
    """One output column: its field, and how it is taken from what the session gave for n rows."""

    field: Field
    take: Callable[[Any, int], Array]


@dataclass(frozen=True)
class OutputSpec:
    """One output of the file and the columns it becomes."""

    name: str
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Declared:
    """An output as the file declares it; `keys` are those of a zip-map, where they were looked up."""

    name: str
    type: str
    shape: tuple[object, ...]
    keys: tuple[Any, ...] = ()


def read_output(declared: Declared, seen: Any, n_rows: int, *, open_inputs: bool) -> OutputSpec:
    """An output, by what a run on `n_rows` rows gave; where there was none (`seen` is None), by what is declared.

    `open_inputs`: some input has an open size, so that an open size of this output may differ from row to row; where no
    input has one, the size seen is taken for fixed. Raises ModelError for an output that has not one answer per row.
    """
    name = declared.name
    if declared.type.startswith("seq(map("):
        if seen is not None and len(seen) != n_rows:
            raise _not_rows(name, len(seen), n_rows)
        return OutputSpec(name, _map_columns(declared, list(seen[0]) if seen else list(declared.keys)))
    element = element_of(declared.type)
    if element is None:
        raise _no_column(declared)
    if seen is None:
        row_shape = _declared_shape(declared)
    else:
        if seen.ndim == 0 or seen.shape[0] != n_rows:
            raise _not_rows(name, seen.shape[0] if seen.ndim else "no", n_rows)
        told = declared.shape[1:] if len(declared.shape) == seen.ndim else (None,) * (seen.ndim - 1)
        sizes = zip(seen.shape[1:], told, strict=True)
        row_shape = tuple(size if isinstance(said, int) or not open_inputs else None for size, said in sizes)
    kind, constraints = _row_type(element, row_shape)
    field = Field(name, kind, constraints=constraints)
    return OutputSpec(name, (Column(field, _taker(name, field, row_shape)),))


def _declared_shape(declared: Declared) -> Shape:
    if not declared.shape:
        raise ModelError(
            f"The shape of the output {declared.name!r} is not declared, and the model could not be run on rows of "
            "zeros to see it. Choose the others with --outputs NAME,…, or write a Python class that loads the file."
        )
    return tuple(size if isinstance(size, int) and size > 0 else None for size in declared.shape[1:])


def _no_column(declared: Declared) -> ModelError:
    return ModelError(
        f"The output {declared.name!r} is {declared.type}, which no column can hold. "
        "Choose the others with --outputs NAME,…"
    )


def _not_rows(name: str, got: object, n_rows: int) -> ModelError:
    return ModelError(
        f"The output {name!r} has {got} rows for {n_rows} rows of input: the first dimension of every output must be "
        "rows. Choose other outputs with --outputs NAME,…, or write a Python class that loads the file."
    )


def _taker(name: str, field: Field, shape: Shape) -> Callable[[Any, int], Array]:
    def lengths(answer: Array, n_rows: int) -> Array:
        if answer.ndim != len(shape) + 1 or answer.shape[0] != n_rows:
            raise WrongResult(f"The output {name!r} has the shape {list(answer.shape)} for {n_rows} rows.")
        return np.fromiter(answer.tolist(), dtype=object, count=n_rows)

    def plain(answer: Array, n_rows: int) -> Array:
        if answer.shape != (n_rows, *shape):
            raise WrongResult(
                f"The output {name!r} has the shape {list(answer.shape)}, not {[n_rows, *shape]}, for {n_rows} rows."
            )
        return answer.reshape(n_rows) if shape == (1,) else answer

    return lengths if isinstance(field.type, List) else plain


_KEYED: dict[str, tuple[Float | Int | String, str]] = {
    "float": (Float(32), "f4"),
    "double": (Float(64), "f8"),
    "int64": (Int(64), "i8"),
    "string": (String(), "O"),
}


def _map_columns(declared: Declared, keys: list[Any]) -> tuple[Column, ...]:
    """A column per key, `name_key`."""
    name = declared.name
    value = declared.type.rpartition("tensor(")[2].partition(")")[0]
    if value not in _KEYED or not keys:
        raise _no_column(declared)
    kind, dtype = _KEYED[value]

    def taker(key: Any) -> Callable[[Any, int], Array]:
        def take(answer: Any, n_rows: int) -> Array:
            if len(answer) != n_rows:
                raise WrongResult(f"The output {name!r} has {len(answer)} rows for {n_rows}.")
            try:
                return np.fromiter((row[key] for row in answer), dtype=dtype, count=n_rows)
            except KeyError:
                raise WrongResult(f"The output {name!r} has no value for {key!r} in some row.") from None

        return take

    return tuple(Column(Field(f"{name}_{key}", kind), taker(key)) for key in keys)
