"""The types a field can have: a small closed tree, and its Arrow form.

Each type says what ONE value is. A `Field` adds its name, whether it may be null, its default and its constraints.
Canonical Python values (what decoding yields and what `Batch.rows()` holds):

    Bool bool · Int int · Float float (NaN is a value, not a null) · String str · Bytes bytes ·
    Datetime datetime (UTC-aware, or naive when declared so; microseconds) · Date date ·
    Choice its raw value (str or int) · Tensor nested list · List list · Struct dict · null None
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "MISSING",
    "UNCONSTRAINED",
    "Bool",
    "Bytes",
    "Choice",
    "Constraints",
    "Date",
    "Datetime",
    "Field",
    "Float",
    "Int",
    "List",
    "Scalar",
    "String",
    "Struct",
    "Tensor",
    "Type",
    "arrow_schema",
    "arrow_type",
    "type_name",
]


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing()


@dataclass(frozen=True, slots=True)
class Bool:
    pass


@dataclass(frozen=True, slots=True)
class Int:
    bits: int = 64
    signed: bool = True

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1


@dataclass(frozen=True, slots=True)
class Float:
    bits: int = 64


@dataclass(frozen=True, slots=True)
class String:
    pass


@dataclass(frozen=True, slots=True)
class Bytes:
    pass


@dataclass(frozen=True, slots=True)
class Datetime:
    """An instant in UTC microseconds; `naive`: a wall-clock time without a zone."""

    naive: bool = False


@dataclass(frozen=True, slots=True)
class Date:
    pass


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a fixed set of values, all str or all int (an enum, a Literal)."""

    values: tuple[str, ...] | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """A fixed vector or matrix: `shape` items of a number type, row-major."""

    item: Bool | Int | Float
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class List:
    """A list of any length. `item.name` is "item"."""

    item: Field


@dataclass(frozen=True, slots=True)
class Struct:
    fields: tuple[Field, ...]


Scalar = Bool | Int | Float | String | Bytes | Datetime | Date | Choice
Type = Scalar | Tensor | List | Struct


@dataclass(frozen=True, slots=True)
class Constraints:
    """What a value must satisfy beyond its type. Lengths are characters, bytes or list items."""

    ge: float | int | None = None
    gt: float | int | None = None
    le: float | int | None = None
    lt: float | int | None = None
    multiple_of: float | int | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None


UNCONSTRAINED: Final = Constraints()


@dataclass(frozen=True, slots=True)
class Field:
    """A named value of a row. `default` is a canonical value, taken when the key or column is missing."""

    name: str
    type: Type
    nullable: bool = False
    default: Any = MISSING
    constraints: Constraints = field(default=UNCONSTRAINED)

    @property
    def required(self) -> bool:
        return self.default is MISSING


def type_name(kind: Type) -> str:
    """The type in words a user knows: `int64`, `float32[30]`, `list of string`, `one of "a", "b"`."""
    match kind:
        case Bool():
            return "bool"
        case Int(bits, signed):
            return f"{'int' if signed else 'uint'}{bits}"
        case Float(bits):
            return f"float{bits}"
        case String():
            return "string"
        case Bytes():
            return "bytes"
        case Datetime(naive):
            return "datetime without a zone" if naive else "datetime"
        case Date():
            return "date"
        case Choice(values):
            return "one of " + ", ".join(f'"{v}"' if isinstance(v, str) else str(v) for v in values)
        case Tensor(item, shape):
            return f"{type_name(item)}[{', '.join(map(str, shape))}]"
        case List(item):
            return f"list of {type_name(item.type)}{' or null' if item.nullable else ''}"
        case Struct(fields):
            return "struct of " + ", ".join(f.name for f in fields)


def arrow_type(kind: Type) -> pa.DataType:
    """The Arrow type that stores this type (a tensor is a nested fixed-size list, row-major)."""
    import pyarrow as pa

    match kind:
        case Bool():
            return pa.bool_()
        case Int(bits, signed):
            return getattr(pa, f"{'int' if signed else 'uint'}{bits}")()
        case Float(bits):
            return {16: pa.float16, 32: pa.float32, 64: pa.float64}[bits]()
        case String():
            return pa.string()
        case Bytes():
            return pa.binary()
        case Datetime(naive):
            return pa.timestamp("us", tz=None if naive else "UTC")
        case Date():
            return pa.date32()
        case Choice(values):
            return pa.string() if isinstance(values[0], str) else pa.int64()
        case Tensor(item, shape):
            stored = arrow_type(item)
            for length in reversed(shape):
                stored = pa.list_(pa.field("item", stored, nullable=False), length)
            return stored
        case List(item):
            return pa.list_(pa.field("item", arrow_type(item.type), nullable=item.nullable))
        case Struct(fields):
            # Always nullable: below a null struct there is nothing, and Parquet trips over members that deny it.
            # The coercion is what refuses a null in a member that is not optional.
            return pa.struct([pa.field(f.name, arrow_type(f.type)) for f in fields])


def arrow_schema(fields: tuple[Field, ...]) -> pa.Schema:
    """The Arrow schema of these fields, in order."""
    import pyarrow as pa

    return pa.schema([pa.field(f.name, arrow_type(f.type), nullable=f.nullable) for f in fields])
