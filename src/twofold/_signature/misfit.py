"""A value that does not fit its field: how it is raised, placed and put into words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from twofold._errors import FieldError, shorten
from twofold._signature.types import (
    Bool,
    Bytes,
    Choice,
    Constraints,
    Datetime,
    Field,
    Float,
    Int,
    List,
    String,
    Struct,
    type_name,
)
from twofold._signature.types import Tensor as TensorType

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["JsonNumber", "Misfit", "constraint_words", "expected_words", "field_errors", "shown_value"]


class JsonNumber:
    """A JSON number with a fraction or an exponent, as its exact text: `7.0`, `1e400`, `9007199254740993.0`."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


class Misfit(Exception):
    """One value that does not fit. `path` grows outwards while the error travels up through containers."""

    def __init__(self, expected: str, got: object, why: str = "", *, path: str = "", as_text: bool = False) -> None:
        super().__init__(expected)
        self.expected = expected
        self.got = got
        self.why = why
        self.path = path
        self.as_text = as_text  # `got` is text for the reader already, not a value to be quoted

    def inside(self, step: str | int) -> Misfit:
        """The same error, one container further out."""
        self.path = f"{step}.{self.path}" if self.path else str(step)
        return self

    def field_error(self, row: int) -> FieldError:
        got = shorten(str(self.got)) if self.as_text else shown_value(self.got)
        place = f"{self.path}: " if self.path else ""
        why = f" ({self.why})" if self.why else ""
        return FieldError(row, self.path, self.expected, got, f"{place}expected {self.expected}, got {got}{why}")


def field_errors(row: int, misfits: Iterable[Misfit]) -> list[FieldError]:
    return [misfit.field_error(row) for misfit in misfits]


def shown_value(value: object) -> str:
    """The value as its JSON text where it has one, else as Python shows it; at most 100 characters."""
    if isinstance(value, JsonNumber):
        return shorten(value.text)
    if isinstance(value, float):
        return repr(value)
    try:
        if isinstance(value, str):
            return shorten(msgspec.json.encode(value[:200]).decode())
        return shorten(msgspec.json.encode(value, enc_hook=_shown_inner).decode())
    except (TypeError, ValueError, RecursionError, OverflowError):
        return shorten(_safe_repr(value))


def _shown_inner(value: object) -> object:
    if isinstance(value, JsonNumber):
        return msgspec.Raw(value.text.encode())
    raise TypeError


def _safe_repr(value: object) -> str:
    try:
        return repr(value)
    except Exception:  # a user's broken __repr__, or an integer of more digits than Python prints
        return f"a value of type {type(value).__name__}"


def constraint_words(constraints: Constraints) -> list[str]:
    """Each constraint in words: `>= 0`, `at most 5 long`."""
    words = []
    for sign, bound in ((">=", constraints.ge), (">", constraints.gt), ("<=", constraints.le), ("<", constraints.lt)):
        if bound is not None:
            words.append(f"{sign} {bound}")
    if constraints.multiple_of is not None:
        words.append(f"a multiple of {constraints.multiple_of}")
    if constraints.min_length is not None:
        words.append(f"at least {constraints.min_length} long")
    if constraints.max_length is not None:
        words.append(f"at most {constraints.max_length} long")
    if constraints.pattern is not None:
        words.append(f"matching {constraints.pattern!r}")
    return words


def expected_words(field: Field) -> str:
    """What the field takes, in words: `int64`, `float32[30]`, `string or null`, `int64 >= 0`."""
    words = " and ".join(constraint_words(field.constraints))
    kind = field.type
    name = _article(kind) or type_name(kind)
    full = f"{name} {words}" if words else name
    return f"{full} or null" if field.nullable else full


def _article(
    kind: Bool | Int | Float | String | Bytes | Datetime | Choice | TensorType | List | Struct | object,
) -> str:
    """Types whose name alone would not tell a caller what to send."""
    if isinstance(kind, Bool):
        return "bool (true or false)"
    if isinstance(kind, Int) and kind.bits < 64:
        return f"{type_name(kind)} ({kind.low} to {kind.high})"
    if isinstance(kind, Struct):
        return "an object with the fields " + ", ".join(field.name for field in kind.fields)
    return ""
