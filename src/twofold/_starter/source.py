"""The text of a model file: the row class of some columns, and a baseline in the place of a model."""

from __future__ import annotations

import json
from datetime import date, datetime
from typing import Any, Final

from twofold._signature import Bool, Bytes, Date, Datetime, Field, Float, Int, List, String, Struct, Tensor, Type
from twofold._starter.baseline import Baseline
from twofold._starter.names import attribute_names, class_name

__all__ = ["source_of"]

WIDTH: Final = 88
SHOWN_FIELDS: Final = 3

IMPORTS: Final = {
    "dt.": "import datetime as dt",
    "@dataclass": "from dataclasses import dataclass",
    "Annotated[": "from typing import Annotated",
}
PACKAGES: Final = {
    "msgspec.": "import msgspec",
    "np.": "import numpy as np",
    "npt.": "import numpy.typing as npt",
    "twofold.": "import twofold",
}


def source_of(fields: list[Field], left_out: dict[str, str], baseline: Baseline, origin: str) -> str:
    """The file: `fields` are its inputs, `left_out` columns to mention with a reason, `origin` where they are from."""
    classes = _Classes()
    classes.write("Row", fields, f"One row of {_words(origin)}, without {_words(baseline.column)}.", left_out)
    attributes = list(attribute_names(field.name for field in fields).values())
    shown = ", ".join(f"row.{name}" for name in attributes[:SHOWN_FIELDS])
    more = ", …" if len(attributes) > SHOWN_FIELDS else ""
    answer = _hint(baseline.kind, classes, "")
    constant = (
        f"# A baseline, no model yet: the {baseline.how} of {_words(baseline.column)}\n"
        f"# in the {baseline.n_rows:,} rows of {_words(origin)}.\n"
        f"BASELINE: {answer} = {_literal(baseline.value)}"
    )
    function = (
        f"@twofold.model\ndef predict(row: Row) -> {answer}:\n"
        f'    """Answer one row with {_words(baseline.column)}."""\n'
        f"    # YOUR MODEL GOES HERE: answer with what it makes of {shown}{more}\n"
        "    return BASELINE"
    )
    body = "\n\n\n".join([constant, *classes.texts, function])
    title = f'"""Predicts {_words(baseline.column)} from a row of {_words(origin)}."""'
    return "\n\n".join([title, *_imports(body)]) + f"\n\n{body}\n"


def _imports(body: str) -> list[str]:
    """The standard library's and the packages', each as a block, as far as the body uses them."""
    code = "\n".join(line for line in body.splitlines() if not line.lstrip().startswith(("#", '"""')))
    blocks = [[line for mark, line in table.items() if mark in code] for table in (IMPORTS, PACKAGES)]
    return ["\n".join(block) for block in blocks if block]


class _Classes:
    """The classes of the file: those of nested fields before the one that uses them."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self._taken = {"Row", "BASELINE", "predict"}

    def write(self, name: str, fields: list[Field], about: str, left_out: dict[str, str] | None = None) -> None:
        names = attribute_names(field.name for field in fields)
        renamed = any(names[field.name] != field.name for field in fields)
        lines = [_field_line(field, names[field.name], _hint(field.type, self, names[field.name])) for field in fields]
        nullable = [field.nullable for field in fields]
        by_keyword = nullable != sorted(nullable)  # one with a default before one without
        if renamed:
            head = f"class {name}(msgspec.Struct{', kw_only=True' if by_keyword else ''}):"
        else:
            head = f"@dataclass{'(kw_only=True)' if by_keyword else ''}\nclass {name}:"
        notes = [f"    # left out: {_words(column)} ({_words(why)})" for column, why in (left_out or {}).items()]
        self.texts.append("\n".join([head, f'    """{about}"""', "", *lines, *notes]))

    def nested(self, kind: Struct, attribute: str) -> str:
        name = class_name(attribute, self._taken)
        self.write(name, list(kind.fields), f"What stands in {_words(attribute)}.")
        return name


def _field_line(field: Field, attribute: str, hint: str) -> str:
    """`amount: float | None = None`; with the column's name where the attribute has another."""
    head = f"    {attribute}: {hint}{' | None' if field.nullable else ''}"
    if attribute == field.name:
        return f"{head} = None" if field.nullable else head
    arguments = [*(["default=None"] if field.nullable else []), f"name={_literal(field.name)}"]
    line = f"{head} = msgspec.field({', '.join(arguments)})"
    if len(line) <= WIDTH:
        return line
    return f"{head} = msgspec.field(\n        {', '.join(arguments)}\n    )"


def _hint(kind: Type, classes: _Classes, attribute: str) -> str:
    match kind:
        case Datetime(naive):
            return "Annotated[dt.datetime, msgspec.Meta(tz=False)]" if naive else "dt.datetime"
        case Tensor(item, shape):
            return f"Annotated[npt.NDArray[{_numpy_name(item)}], twofold.Shape({', '.join(map(str, shape))})]"
        case List(item):
            return f"list[{_hint(item.type, classes, attribute)}{' | None' if item.nullable else ''}]"
        case Struct():
            return classes.nested(kind, attribute)
        case Float(64):
            return "float"
        case Int(_, True):
            return "int"
        case Float() | Int():
            return _numpy_name(kind)
        case _:
            return PLAIN[type(kind)]


PLAIN: Final[dict[type, str]] = {Bool: "bool", String: "str", Bytes: "bytes", Date: "dt.date"}


def _numpy_name(kind: Bool | Int | Float) -> str:
    match kind:
        case Bool():
            return "np.bool_"
        case Int(bits, signed):
            return f"np.{'' if signed else 'u'}int{bits}"
        case Float(bits):
            return f"np.float{bits}"


def _literal(value: Any) -> str:
    """The value as Python source."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False) if value.isprintable() else repr(value)
    if isinstance(value, datetime):
        parts = [value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond]
        while len(parts) > 3 and not parts[-1]:
            parts.pop()
        zone = ", tzinfo=dt.UTC" if value.tzinfo is not None else ""
        return f"dt.datetime({', '.join(map(str, parts))}{zone})"
    if isinstance(value, date):
        return f"dt.date({value.year}, {value.month}, {value.day})"
    return repr(value)


def _words(text: str) -> str:
    """A name for a comment or a docstring: on one line, and harmless there."""
    plain = "".join(letter if letter.isprintable() else "?" for letter in text)
    return plain.replace("\\", "/").replace('"', "'")[:60]
