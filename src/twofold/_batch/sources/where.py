"""`--where "amount > 0 and country = 'DE'"`: which rows of an input are in the run at all.

Comparisons of a column with a literal, joined by `and`; nothing more (a SQL source filters by whatever its database
knows). A null passes no comparison. What the statistics of a row group or the name of a folder rule out is never read.
A row that cannot be judged, such as `many` against a number, is not hidden: it goes to quarantine.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, NoReturn

import numpy as np

from twofold._errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Comparison", "Literal", "Where", "is_text", "parse_where"]

Literal = str | int | float | bool

TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<text>'(?:[^']|'')*')
    | (?P<column>"(?:[^"]|"")+"|[^\W\d][\w.]*)
    | (?P<op><=|>=|<>|!=|==|=|<|>)
    )""",
    re.VERBOSE,
)
OPS: Final = {"=": "equal", "==": "equal", "!=": "not_equal", "<>": "not_equal"} | {
    "<": "less",
    "<=": "less_equal",
    ">": "greater",
    ">=": "greater_equal",
}


@dataclass(frozen=True, slots=True)
class Comparison:
    """`column op literal`; `op` is the name of pyarrow's function. `text`: as it was written."""

    column: str
    op: str
    literal: Literal
    text: str

    def may_hold(self, bounds: pa.Array) -> bool:
        """Whether a value from the first of these two to the second can pass."""
        if self.op == "not_equal":  # bounds may be shortened, and NaN is in none
            return True
        if self.op == "equal":
            above, below = replace(self, op="less_equal"), replace(self, op="greater_equal")
            return bool(above.passing(bounds)[0] and below.passing(bounds)[1])
        return bool(self.passing(bounds)[0 if self.op.startswith("less") else 1])

    def check(self, kind: pa.DataType) -> None:
        """UsageError where values of this type cannot be compared with the literal."""
        self._prepared(kind)

    def _prepared(self, kind: pa.DataType) -> tuple[str, pa.Scalar] | bool:
        """How pyarrow compares values of this type: function and scalar; or what holds for all that are not null."""
        import pyarrow.types as kinds

        if kinds.is_integer(kind) and isinstance(self.literal, int | float) and not isinstance(self.literal, bool):
            return _of_integers(self.op, self.literal, kind)
        return self.op, self._scalar(kind)

    def _scalar(self, kind: pa.DataType) -> pa.Scalar:
        """The literal as pyarrow compares it with values of this type. UsageError where it cannot."""
        import pyarrow as pa
        import pyarrow.types as kinds

        value = self.literal
        if kinds.is_dictionary(kind):
            kind = kind.value_type
        try:
            if isinstance(value, bool):
                if kinds.is_boolean(kind):
                    return pa.scalar(value)
            elif isinstance(value, str):
                if is_text(kind):
                    return pa.scalar(value, kind)
                if kinds.is_temporal(kind) and not kinds.is_duration(kind):
                    return _moment(value, kind)
            elif kinds.is_decimal(kind):
                return pa.scalar(Decimal(str(value)))
            elif kinds.is_floating(kind):
                return pa.scalar(float(value))
        except (pa.ArrowInvalid, OverflowError, ValueError) as error:
            raise self._refusal(kind, str(error).splitlines()[0]) from error
        raise self._refusal(kind)

    def _refusal(self, kind: pa.DataType, why: str = "") -> UsageError:
        return UsageError(
            f"--where {self.text}: the column {self.column!r} is of the type {kind}, which cannot be compared with "
            f"{self.literal!r}{f' ({why})' if why else ''}. Texts and times stand in '…', numbers and true or false do "
            "not.",
            column=self.column,
        )

    def passing(self, values: pa.Array) -> np.ndarray:
        """Which of these values pass."""
        import pyarrow as pa
        import pyarrow.types as kinds

        if kinds.is_dictionary(values.type):
            values = values.dictionary_decode()
        how = self._prepared(values.type)
        if isinstance(how, bool):
            passes = values.is_valid() if how else pa.repeat(False, len(values))
        else:
            passes = _compute(how[0])(values, how[1]).fill_null(False)
        found: np.ndarray = passes.to_numpy(zero_copy_only=False)
        return found


@dataclass(frozen=True, slots=True)
class Where:
    """All of these comparisons. `text`: as they were written."""

    text: str
    comparisons: tuple[Comparison, ...]

    @property
    def columns(self) -> list[str]:
        """The columns that are compared, each once."""
        return list(dict.fromkeys(comparison.column for comparison in self.comparisons))

    def check(self, schema: pa.Schema, source: str, *, typed: bool) -> None:
        """UsageError where a column is not there, or (in files with types) cannot be compared with its literal."""
        for comparison in self.comparisons:
            if comparison.column not in set(schema.names):
                raise UsageError(
                    f"--where {comparison.text}: {source} has no column {comparison.column!r}. Its columns: "
                    f"{', '.join(schema.names[:30])}.",
                    column=comparison.column,
                )
            if typed:
                comparison.check(schema.field(comparison.column).type)


def parse_where(text: str) -> Where:
    """What `--where` says. UsageError with the place that cannot be understood."""
    tokens = list(_tokens(text))
    comparisons = []
    for start in range(0, max(len(tokens), 1), 4):
        part = tokens[start : start + 4]
        kinds = [kind for kind, _, _ in part]
        literal = None if len(part) < 3 else _literal(*part[2][:2])
        if kinds[:2] != ["column", "op"] or literal is None:
            _refuse(text, part[0][2] if part else len(text))
        if len(part) == 4 and (part[3][1].lower() != "and" or start + 4 == len(tokens)):
            _refuse(text, part[3][2])
        written = text[part[0][2] : part[2][2] + len(part[2][1])]
        comparisons.append(Comparison(_name(part[0][1]), OPS[part[1][1]], literal, written))
    return Where(text, tuple(comparisons))


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """Kind, text and place of each word."""
    at = 0
    while text[at:].strip():
        found = TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            _refuse(text, at)
        yield found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)
        at = found.end()


def _refuse(text: str, at: int) -> NoReturn:
    raise UsageError(
        f"--where {text!r} cannot be understood from character {at + 1} on ({text[at : at + 20].strip()!r}). It is "
        "comparisons of a column with a value, joined by and: amount > 0 and country = 'DE' and \"a name\" != true. "
        "For more, filter in a database: a SQL source takes any query.",
        where=text,
    )


def _name(word: str) -> str:
    return word[1:-1].replace('""', '"') if word.startswith('"') else word


def _literal(kind: str, word: str) -> Literal | None:
    if kind == "text":
        return word[1:-1].replace("''", "'")
    if kind == "number":
        return int(word) if re.fullmatch(r"[+-]?\d+", word) else float(word)
    return {"true": True, "false": False}.get(word.lower()) if kind == "column" else None


def _compute(name: str) -> Any:
    import pyarrow.compute as pc

    return getattr(pc, name)


def is_text(kind: pa.DataType) -> bool:
    import pyarrow.types as kinds

    return bool(kinds.is_string(kind) or kinds.is_large_string(kind) or kinds.is_string_view(kind))


def _of_integers(op: str, literal: float, kind: pa.DataType) -> tuple[str, pa.Scalar] | bool:
    """A comparison of integers with any number, as one with an integer of their type."""
    import pyarrow as pa

    if isinstance(literal, float) and not literal.is_integer():
        if op in ("equal", "not_equal") or math.isinf(literal):
            return op == "not_equal" or (op.startswith("less") and literal > 0) or (op.startswith("gr") and literal < 0)
        # 2.5 itself is no integer: above it is above 2, below it is below 3.
        op = "greater" if op.startswith("greater") else "less"
        literal = math.floor(literal) if op == "greater" else math.ceil(literal)
    whole, signed = int(literal), str(kind).startswith("int")
    low, high = (-(1 << (kind.bit_width - 1)), 1 << (kind.bit_width - 1)) if signed else (0, 1 << kind.bit_width)
    if low <= whole < high:
        return op, pa.scalar(whole, kind)
    return op == "not_equal" or op.startswith("greater" if whole < low else "less")


def _moment(value: str, kind: pa.DataType) -> pa.Scalar:
    """A time as text; without a zone it is UTC where the column has one."""
    import pyarrow as pa

    if pa.types.is_timestamp(kind) and kind.tz is not None:
        try:
            return pa.scalar(value).cast(kind)
        except pa.ArrowInvalid:
            return pa.scalar(f"{value}{'' if len(value) > 10 else ' 00:00'}Z").cast(kind)
    return pa.scalar(value).cast(kind)
