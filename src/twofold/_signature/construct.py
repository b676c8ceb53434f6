"""Functions written for one struct or one call: Python source made once when a model loads, then compiled.

A row function is called once per row, so no field may cost a dictionary, a loop or a test that it does not need:
`lambda row: fn(*row)` where every value is the user's own already, and one expression per field where it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from twofold._errors import BadRow, WrongResult, shorten
from twofold._signature.reading import MemberReading, Reading, StructReading

__all__ = [
    "Answering",
    "compile_call",
    "compile_row_call",
    "struct_from_user",
    "struct_row_from_user",
    "struct_to_user",
]

Convert = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Answering:
    """What becomes of an answer: where `condition` (Python about `value`; "": never) holds it is its own canonical
    value, else `finish` makes the row of it."""

    condition: str
    finish: Convert


class _Source:
    """Lines of one function and the objects that its names stand for."""

    def __init__(self) -> None:
        self.names: dict[str, Any] = {"fault": row_fault, "drop": drop_absent}
        self.lines: list[str] = []

    def name(self, value: Any, stem: str) -> str:
        key = f"{stem}{len(self.names)}"
        self.names[key] = value
        return key

    def compile(self, signature: str) -> Convert:
        text = f"def made({signature}):\n" + "\n".join(f"    {line}" for line in self.lines)
        exec(compile(text, "<twofold: compiled call>", "exec"), self.names)
        made: Convert = self.names["made"]
        return made

    def value(self, expression: str, reading: Reading) -> str:
        """The user's value of a canonical one that `expression` gives (evaluated up to twice)."""
        if reading.to_user is None:
            return expression
        converted = f"{self.name(reading.to_user, 'convert')}({expression})"
        return f"(None if {expression} is None else {converted})" if reading.nullable else converted

    def answer(self, call: str, answering: Answering | None) -> None:
        """Lines that give what `call` answers, or the row of it."""
        if answering is None:
            self.lines.append(f"return {call}")
            return
        finish = self.name(answering.finish, "finish")
        self.lines.append(f"value = {call}")
        if answering.condition:
            self.lines.append(f"return (value,) if {answering.condition} else {finish}(value)")
        else:
            self.lines.append(f"return {finish}(value)")

    def build(self, struct: StructReading, expressions: list[str]) -> None:
        """Lines that leave an instance in `made_value`; a ValueError of its own checks is the row's fault."""
        values = [self.value(e, m.reading) for e, m in zip(expressions, struct.members, strict=True)]
        owner = self.name(struct.shape.owner, "Owner")
        how = struct.shape.make
        if how == "positional":
            call = f"{owner}({', '.join(values)})"
        elif how == "keywords" and struct.shape.kind != "pydantic":
            pairs = zip(struct.members, values, strict=True)
            call = f"{owner}({', '.join(f'{m.attribute}={value}' for m, value in pairs)})"
        else:
            pairs = zip(struct.members, values, strict=True)
            written = "{" + ", ".join(f"{m.field.name!r}: {value}" for m, value in pairs) + "}"
            call = {"dict": written, "keywords": f"{owner}(**{written})"}.get(how, f"{owner}.model_validate({written})")
        absent = tuple(m.field.name for m in struct.members if m.absent)
        if absent:
            call = f"drop({call}, {absent!r})"
        self.lines += ["try:", f"    made_value = {call}", "except ValueError as error:"]
        self.lines += ["    raise fault(error) from error"]


def drop_absent(value: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    """Without the keys that may be left out and have no value."""
    for key in keys:
        if value[key] is None:
            del value[key]
    return value


def row_fault(error: ValueError) -> BadRow:
    """What a class of the user's refused about its values, as the row's fault."""
    listed = getattr(error, "errors", None)
    if not callable(listed):
        return BadRow(str(error) or type(error).__name__)
    parts = []
    for item in listed()[:3]:
        place = ".".join(str(step) for step in item["loc"])
        parts.append(f"{place}: {item['msg']}" if place else str(item["msg"]))
    return BadRow("; ".join(parts))


def struct_to_user(struct: StructReading) -> Convert:
    """Makes an instance of a canonical dict. Raises BadRow where the class refuses the values."""
    source = _Source()
    source.build(struct, [f"value[{member.field.name!r}]" for member in struct.members])
    source.lines.append("return made_value")
    return source.compile("value")


def compile_row_call(
    function: Callable[..., Any], struct: StructReading, answering: Answering | None = None
) -> Convert:
    """row tuple -> function(instance), or its answer as a row."""
    source = _Source()
    names = [f"v{at}" for at in range(len(struct.members))]
    source.lines.append(f"{', '.join(names)}, = row")
    source.build(struct, names)
    source.answer(f"{source.name(function, 'function')}(made_value)", answering)
    return source.compile("row")


def compile_call(
    function: Callable[..., Any], parameters: list[tuple[str, bool, Reading]], answering: Answering | None = None
) -> Convert:
    """row tuple -> function(values), or its answer as a row; parameters are (name, keyword-only, reading)."""
    if answering is None and not any(keyword or reading.to_user for _, keyword, reading in parameters):
        return lambda row: function(*row)
    source = _Source()
    names = [f"v{at}" for at in range(len(parameters))]
    values = [source.value(n, reading) for n, (_, _, reading) in zip(names, parameters, strict=True)]
    passed = [f"{p[0]}={value}" if p[1] else value for p, value in zip(parameters, values, strict=True)]
    source.lines.append(f"{', '.join(names)}, = row")
    source.answer(f"{source.name(function, 'function')}({', '.join(passed)})", answering)
    return source.compile("row")


def struct_from_user(struct: StructReading) -> Convert:
    """Reads an instance as a canonical dict, and leaves a mapping to the signature; WrongResult for anything else."""
    names = [repr(member.field.name) for member in struct.members]

    def written(values: list[str]) -> str:
        return "{" + ", ".join(f"{name}: {value}" for name, value in zip(names, values, strict=True)) + "}"

    return _read_struct(struct, written, mappings=True)


def struct_row_from_user(struct: StructReading) -> Convert:
    """Reads an instance as a row tuple. Raises WrongResult for anything but an instance."""
    return _read_struct(struct, lambda values: "(" + ", ".join(values) + ",)")


def _read_struct(struct: StructReading, written: Callable[[list[str]], str], *, mappings: bool = False) -> Convert:
    source = _Source()
    mapping = struct.shape.kind == "typeddict"
    expected = source.name(Mapping if mapping else struct.shape.owner, "Expected")
    refuse = source.name(_refusal(struct), "refuse")
    known = source.name(frozenset(m.attribute for m in struct.members), "known")
    needed = source.name(frozenset(m.attribute for m in struct.members if not m.absent), "needed")
    wrong_keys = f" or not {needed} <= value.keys() <= {known}" if mapping else ""
    source.lines.append(f"if not isinstance(value, {expected}){wrong_keys}:")
    if mappings and not mapping:
        source.lines.append(f"    if isinstance(value, {source.name(Mapping, 'Mapping')}): return value")
    source.lines.append(f"    {refuse}(value)")
    values = []
    for at, member in enumerate(struct.members):
        read = f"value.get({member.attribute!r})" if mapping else f"value.{member.attribute}"
        values.append(_read_member(source, f"v{at}", read, member))
    source.lines.append(f"return {written(values)}")
    return source.compile("value")


def _read_member(source: _Source, local: str, read: str, member: MemberReading) -> str:
    if member.reading.from_user is None:
        return read
    convert = source.name(member.reading.from_user, "convert")
    source.lines.append(f"{local} = {read}")
    return f"(None if {local} is None else {convert}({local}))"


def _refusal(struct: StructReading) -> Callable[[object], None]:
    owner, attributes = struct.shape.owner, [m.attribute for m in struct.members]

    def refuse(value: object) -> None:
        got = f"{type(value).__name__} {shorten(value)}"
        if isinstance(value, Mapping) and struct.shape.kind == "typeddict":
            unknown = [key for key in value if key not in attributes]
            lacking = [m.attribute for m in struct.members if not m.absent and m.attribute not in value]
            got = f"a dict without the key {lacking[0]!r}" if lacking else "a dict"
            got += f" with the key {unknown[0]!r}, which it does not declare" if unknown else ""
        raise WrongResult(
            f"the model answered {got} where its annotation says `{owner.__name__}` ({', '.join(attributes)}). "
            "Return what the annotation says, or change the annotation."
        )

    return refuse
