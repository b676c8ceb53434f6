"""JSON bytes -> rows, for requests: a typed fast lane, and the table of `values.py` whenever that refuses.

The fast lane is a msgspec decoder for exactly the input's fields. Whatever it accepts, the table accepts with the same
result; whatever it does not (7.0 for an integer, "NaN", a wrong type) is decoded again with exact numbers and read
value by value, which also words the errors.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable, Mapping
from struct import Struct as Packing
from typing import Annotated, Any, Literal

import msgspec

from twofold._errors import NotJson, RowsDoNotFit
from twofold._signature.bounds import int_range, item_field, round_all, round_to, value_check
from twofold._signature.misfit import JsonNumber, Misfit, expected_words, field_errors
from twofold._signature.types import Bool, Choice, Field, Float, Int, List, String, Struct, Tensor, Type
from twofold._signature.values import Reader, Rules, default_of, unknown_field, value_reader

__all__ = ["RequestDecoder", "RowReader", "decode_exactly", "missing"]

NAMED_ROWS = 10  # how many rows that do not fit one answer names
_INT64 = (-(1 << 63), (1 << 63) - 1)
# whole pairs of surrogates and escaped backslashes are passed over; a half at the end is a body that is cut off
_HALVES = re.compile(
    rb"\\\\|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|"
    rb"(\\u[dD][89a-fA-F][0-9a-fA-F]{2})(?!\\?u?[0-9a-fA-F]{0,3}\Z)"
)
_exact = msgspec.json.Decoder(float_hook=JsonNumber)
_refuses_all: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Literal[""])

Post = Callable[[Any], Any]


def decode_exactly(body: bytes | str) -> Any:
    """Any JSON value; numbers with a fraction or an exponent as `JsonNumber`. Raises NotJson."""
    try:
        return _exact.decode(body)
    except msgspec.ValidationError:  # an integer longer than msgspec reads
        return _decode_long_integers(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _not_json(error, body) from None


def _decode_long_integers(body: bytes | str) -> Any:
    def integer(digits: str) -> Any:
        return int(digits) if len(digits) <= 300 else JsonNumber(digits)

    def refuse(word: str) -> Any:
        raise ValueError(f"{word} is no JSON")

    try:
        text = body if isinstance(body, str) else bytes(body).decode()
        return json.loads(text, parse_float=JsonNumber, parse_int=integer, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise _not_json(error, body) from None


def _not_json(error: Exception, body: bytes | str) -> NotJson:
    reason = _reason(error, body)
    return NotJson(
        f"the body is not JSON: {reason}. Send one object with the model's input fields, or a list of such objects.",
        reason=reason,
    )


def _reason(error: Exception, body: bytes | str) -> str:
    """Why it is not JSON, and where: msgspec counts bytes from the string they are in, and calls half a character the
    end of the body."""
    if isinstance(error, RecursionError):
        return "nested too deeply"
    data = body.encode(errors="surrogatepass") if isinstance(body, str) else bytes(body)
    try:
        data.decode()
    except UnicodeDecodeError as wrong:
        return f"it is not UTF-8 (byte {wrong.start})"
    said = str(error)
    if "truncated" in said or "surrogate" in said:
        for found in _HALVES.finditer(data):
            if found[1]:
                return f"{found[1].decode()} is half a character (byte {found.start()})"
        return said if "surrogate" in said else "it ends too early" if data.strip() else "it is empty"
    return said


class RowReader:
    """Mappings -> rows by the table; collects every field that does not fit."""

    def __init__(self, fields: tuple[Field, ...], rules: Rules) -> None:
        self.fields = fields
        self.rules = rules
        self.readers: tuple[Reader, ...] = tuple(value_reader(field, rules) for field in fields)
        self.names = frozenset(field.name for field in fields)
        self.listed = ", ".join(field.name for field in fields) or "(none)"

    def read(self, given: Mapping[str, Any]) -> tuple[tuple[Any, ...], list[Misfit]]:
        """The row, and what does not fit in it (then the row is not to be used)."""
        row: list[Any] = []
        misfits: list[Misfit] = []
        for field, reader in zip(self.fields, self.readers, strict=True):
            name = field.name
            if name in given:
                try:
                    row.append(reader(given[name]))
                except Misfit as misfit:
                    misfits.append(misfit.inside(name))
            elif field.required:
                misfits.append(missing(field))
            else:
                row.append(default_of(field))
        if not self.rules.ignore_unknown:
            misfits += [unknown_field(name, self.listed, given[name]) for name in given if name not in self.names]
        return tuple(row), misfits

    def no_object(self, value: object) -> Misfit:
        return Misfit(f"an object with the fields {self.listed}", value)


def missing(field: Field, *, named: bool = True) -> Misfit:
    path = field.name if named else ""
    return Misfit(expected_words(field), "nothing", "it is missing", path=path, as_text=True)


class RequestDecoder:
    """Request bodies of one signature."""

    def __init__(self, fields: tuple[Field, ...], rules: Rules) -> None:
        self._finish: Callable[[Any], tuple[Any, ...]]
        self._one: msgspec.json.Decoder[Any]
        self._many: msgspec.json.Decoder[list[Any]]
        self._table = RowReader(fields, rules)
        if not _plain_names(fields):  # which msgspec cannot have in a struct
            self._one = self._many = _refuses_all
            self._finish = tuple
            return
        row_type, self._finish = _compile_row(fields, rules)
        self._one = msgspec.json.Decoder(row_type)
        self._many = msgspec.json.Decoder(list[row_type])  # type: ignore[valid-type]

    def decode_row(self, body: bytes) -> tuple[Any, ...]:
        """One object -> one row. Raises NotJson or RowsDoNotFit."""
        try:
            return self._finish(self._one.decode(body))
        except (msgspec.DecodeError, Misfit, OverflowError, UnicodeDecodeError, RecursionError):
            return self._by_table([decode_exactly(body)])[0]

    def decode(self, body: bytes) -> tuple[list[tuple[Any, ...]], bool]:
        """One object -> ([row], False); a list of objects -> (rows, True)."""
        if body.lstrip(b" \t\r\n")[:1] != b"[":
            return [self.decode_row(body)], False
        try:
            finish = self._finish
            return [finish(found) for found in self._many.decode(body)], True
        except (msgspec.DecodeError, Misfit, OverflowError, UnicodeDecodeError, RecursionError):
            return self._by_table(decode_exactly(body)), True

    def _by_table(self, items: list[Any]) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        errors: list[Any] = []
        named = 0
        for index, item in enumerate(items):
            if isinstance(item, dict):
                row, misfits = self._table.read(item)
            else:
                row, misfits = (), [self._table.no_object(item)]
            rows.append(row)
            if misfits:
                errors += field_errors(index, misfits)
                named += 1
                if named == NAMED_ROWS:
                    break
        if errors:
            raise RowsDoNotFit(errors)
        return rows


def _plain_names(fields: tuple[Field, ...]) -> bool:
    """Whether no field, at any depth, has a quote, a backslash or a control character in its name."""
    for field in fields:
        if any(char < " " or char in '"\\' for char in field.name):
            return False
        kind = field.type
        inner = kind.fields if isinstance(kind, Struct) else (kind.item,) if isinstance(kind, List) else ()
        if not _plain_names(inner):
            return False
    return True


def _compile_row(fields: tuple[Field, ...], rules: Rules) -> tuple[type, Callable[[Any], tuple[Any, ...]]]:
    """The msgspec Struct of a row, and what makes the canonical tuple of one."""
    struct, posts = _struct(fields, rules)
    as_tuple = msgspec.structs.astuple
    if not posts:
        return struct, as_tuple

    if len(fields) == 1:
        post = posts[0][1]
        return struct, lambda found: (post(found.f0),)

    def finish(found: Any) -> tuple[Any, ...]:
        row = list(as_tuple(found))
        for at, post in posts:
            row[at] = post(row[at])
        return tuple(row)

    return struct, _floats_of_one_width(fields, rules) or finish


def _floats_of_one_width(fields: tuple[Field, ...], rules: Rules) -> Callable[[Any], tuple[Any, ...]] | None:
    """A row of nothing but float32 (or float16) is rounded in one call."""
    first = fields[0].type if fields else None
    if not isinstance(first, Float) or first.bits == 64 or rules.nulls_as_nan:
        return None
    if any(f.type != first or f.nullable or not f.required or value_check(f) is not None for f in fields):
        return None
    packing = Packing(f"<{len(fields)}{'f' if first.bits == 32 else 'e'}")
    pack, unpack, as_tuple = packing.pack, packing.unpack, msgspec.structs.astuple
    return lambda found: unpack(pack(*as_tuple(found)))


def _struct(fields: tuple[Field, ...], rules: Rules) -> tuple[type, list[tuple[int, Post]]]:
    members: list[Any] = []
    posts: list[tuple[int, Post]] = []
    for at, field in enumerate(fields):
        hint, post = _hint(field, rules)
        if field.required:
            members.append((f"f{at}", hint))
        else:
            members.append((f"f{at}", hint, msgspec.field(default_factory=functools.partial(_Default, field))))
            post = _or_default(post)
        if post is not None:
            posts.append((at, post))
    names = {f"f{at}": field.name for at, field in enumerate(fields)}
    strict = not rules.ignore_unknown
    made = msgspec.defstruct("Row", members, rename=names, forbid_unknown_fields=strict, kw_only=True, gc=False)
    return made, posts


class _Default:
    """Stands in a decoded struct where a key was missing."""

    __slots__ = ("field",)

    def __init__(self, field: Field) -> None:
        self.field = field


def _or_default(post: Post | None) -> Post:
    def read(value: Any) -> Any:
        if type(value) is _Default:
            return default_of(value.field)
        return value if post is None else post(value)

    return read


def _hint(field: Field, rules: Rules) -> tuple[Any, Post | None]:
    """The type msgspec decodes this field with, and what is left to do afterwards (None: nothing)."""
    hint, post = _type_hint(field.type, field, rules)
    check = value_check(field)
    if check is not None:
        post = _checked(post, check, expected_words(field))
    if field.nullable:
        return hint | None, None if post is None else _unless_null(post)
    if rules.nulls_as_nan and isinstance(field.type, Float | Tensor):
        return Any, value_reader(field, rules)
    return hint, post


def _checked(post: Post | None, check: Callable[[Any], bool], expected: str) -> Post:
    def read(value: Any) -> Any:
        canonical = value if post is None else post(value)
        if not check(canonical):
            raise Misfit(expected, value)
        return canonical

    return read


def _unless_null(post: Post) -> Post:
    return lambda value: None if value is None else post(value)


def _type_hint(kind: Type, field: Field, rules: Rules) -> tuple[Any, Post | None]:
    match kind:
        case Bool():
            return bool, None
        case Int():
            return _int_hint(field, *int_range(kind, field.constraints))
        case Float(bits):
            return float, round_to(bits)
        case String():
            return str, None
        case Choice(values) if all(isinstance(v, str) or _INT64[0] <= v <= _INT64[1] for v in values):
            return Literal[tuple(values)], None
        case Tensor(item, shape):
            return _tensor_hint(item_field(kind, field.constraints), shape, field, rules)
        case List(item):
            inner, post = _hint(item, rules)
            if inner is float and post is not None and value_check(item) is None and isinstance(item.type, Float):
                return list[float], round_all(item.type.bits)
            return list[inner], None if post is None else _each(post)  # type: ignore[valid-type]
        case Struct(fields):
            return _nested_hint(fields, rules)
        case _:  # text on the wire: bytes, instants, dates
            return str, value_reader(Field(field.name, kind))


def _int_hint(field: Field, low: int, high: int) -> tuple[Any, Post | None]:
    if low > high:
        return int, value_reader(field)
    if _INT64[0] <= low and high <= _INT64[1]:
        return Annotated[int, msgspec.Meta(ge=low, le=high)], None
    return int, value_reader(Field(field.name, field.type, constraints=field.constraints))


def _tensor_hint(item: Field, shape: tuple[int, ...], field: Field, rules: Rules) -> tuple[Any, Post | None]:
    if rules.nulls_as_nan and isinstance(item.type, Float):
        bare = Field(field.name, field.type, constraints=field.constraints)
        return Any, value_reader(bare, rules)
    hint, _ = _hint(item, rules)
    for length in reversed(shape):
        hint = Annotated[list[hint], msgspec.Meta(min_length=length, max_length=length)]  # type: ignore[valid-type]
    if value_check(item) is None and (not isinstance(item.type, Float) or item.type.bits == 64):
        return hint, None
    if value_check(item) is None and isinstance(item.type, Float) and len(shape) == 1:
        return hint, round_all(item.type.bits, shape[0])
    return hint, value_reader(Field(field.name, field.type, constraints=field.constraints))


def _each(post: Post) -> Post:
    return lambda values: [post(value) for value in values]


def _nested_hint(fields: tuple[Field, ...], rules: Rules) -> tuple[Any, Post | None]:
    struct, posts = _struct(fields, rules)
    names = [field.name for field in fields]
    as_tuple = msgspec.structs.astuple

    def read(found: Any) -> dict[str, Any]:
        values = list(as_tuple(found))
        for at, post in posts:
            values[at] = post(values[at])
        return dict(zip(names, values, strict=True))

    return struct, read
