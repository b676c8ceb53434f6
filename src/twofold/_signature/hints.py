"""A function's annotations -> Binding: the fields of its rows, and how it is called.

Annotations are those of ONE row. What each hint becomes:

    bool, int, float, str, bytes, date             that type; int is int64, float is float64
    np.int8 ... np.uint64, np.float16, np.float32  that width; the function gets NumPy scalars
    datetime                                       an instant: UTC-aware, microseconds
    Annotated[datetime, Meta(tz=False)]            a wall-clock time without a zone; pydantic's NaiveDatetime says the
                                                   same, Meta(tz=True) and AwareDatetime say what plain datetime does
    an Enum, Literal["a", "b"]                     one of its values; the function gets the member, or the value
    Annotated[NDArray[np.float32], Shape(30)]      a vector of 30; Shape(28, 28) a matrix
    tuple[float, float, float]                     a vector of 3; so is Annotated[list[float], Shape(3)], and
                                                   Annotated[list[float], Meta(min_length=3, max_length=3)]
    list[T], Sequence[T], tuple[T, ...], NDArray[T]  a list of any length
    dataclass, TypedDict, msgspec Struct, pydantic   a nested struct; as the ONLY parameter it is the row itself, flat
    -> Iterator[str], AsyncIterator[str]           the answer in pieces; their sum is a str (see `streaming`)
    T | None                                       may be null; `NotRequired[T]` of a TypedDict: null is an absent key

Constraints (msgspec.Meta, annotated_types, pydantic's Field) become constraints of the field and hold in both modes;
one that is not understood is refused here. Within pydantic models on rows, pydantic itself runs whatever else they
check when the row is made (validators, Strict, AfterValidator); what it refuses is the row's fault, as is a ValueError
in the `__post_init__` of a dataclass or Struct. A model on columns never makes an instance, so that there a class with
checks of its own is refused.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twofold._signature.binding import Binding, Parameter
from twofold._signature.containers import CONTAINERS, Container, container_of
from twofold._signature.kinds import read_default, read_hint
from twofold._signature.namespaces import hints_of_function
from twofold._signature.place import Place, hint_name, place_of
from twofold._signature.reading import Reading, StructReading
from twofold._signature.streaming import Streams, read_stream
from twofold._signature.structs import unenforced
from twofold._signature.types import MISSING, Field

__all__ = ["read_hints"]


def read_hints(
    function: Callable[..., Any], *, row: Any = None, result: Any = None, skip_self: bool = False
) -> Binding:
    """The Binding of a function, or of a class's `predict` (`skip_self`).

    `row` and `result` make it a model on whole columns. Raises ModelError, naming the parameter and what to write, for
    anything that cannot be a model.
    """
    here = place_of(function, "input")
    parameters = _parameters(function, here, skip_self)
    hints = hints_of_function(function, replace(here, label="the signature"))
    if row is not None or result is not None:
        return _read_columns(function, parameters, hints, row, result)
    readings = [_read_parameter(p, hints, here) for p in parameters]
    answer, streams = _read_answer(function, hints)
    is_async = streams == "async" or inspect.iscoroutinefunction(inspect.unwrap(function))
    only = readings[0] if len(readings) == 1 else None
    if only is not None and only.reading.struct is not None and not only.reading.nullable:
        if only.field.default is not MISSING:
            _at(parameters[0], here).refuse("is the row itself and cannot have a default. Give its fields defaults.")
        keyword = only.name if only.keyword_only else ""
        return Binding(only.reading.struct, answer, is_async=is_async, row_keyword=keyword, streams=bool(streams))
    return Binding(tuple(readings), answer, is_async=is_async, streams=bool(streams))


def _parameters(function: Callable[..., Any], here: Place, skip_self: bool) -> list[inspect.Parameter]:
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError) as error:
        replace(here, label="the signature").refuse(f"cannot be read ({error}). Write a function with annotations.")
    if skip_self:
        if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
            replace(here, label="the signature").refuse("has no `self`. Write `def predict(self, ...)`.")
        parameters = parameters[1:]
    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            _at(parameter, here).refuse(
                f"takes any number of values (`{parameter}`). Write one annotated parameter per field of a row."
            )
    if not parameters:
        replace(here, label="the signature").refuse(
            "has no parameters. Write one with an annotation per field of a row, such as `amount: float`."
        )
    return parameters


def _at(parameter: inspect.Parameter, here: Place) -> Place:
    return replace(here, label=f"parameter `{parameter.name}`", name=parameter.name)


def _read_parameter(parameter: inspect.Parameter, hints: dict[str, Any], here: Place) -> Parameter:
    place = _at(parameter, here)
    if parameter.name not in hints:
        place.refuse(
            f"has no annotation. Write what one row's value is, such as `{parameter.name}: float`: the "
            "annotations of a model are its signature."
        )
    hint = hints[parameter.name]
    if container_of(hint):
        place.refuse(
            f"is {hint_name(hint)}, which holds many rows. Write what ONE row's value is; for a model on whole columns "
            "write @twofold.model(row=Row, result=float), where Row is a dataclass with the fields of one row."
        )
    reading = read_hint(hint, place)
    field = Field(parameter.name, reading.type, reading.nullable, constraints=reading.constraints)
    if parameter.default is not inspect.Parameter.empty:
        field = replace(field, default=read_default(parameter.default, field, reading, place))
    return Parameter(parameter.name, parameter.kind is inspect.Parameter.KEYWORD_ONLY, field, reading)


def _read_answer(function: Callable[..., Any], hints: dict[str, Any]) -> tuple[Reading, Streams]:
    """What ONE row's answer is, and how it is yielded: the sum of its pieces is what `-> str` answers."""
    place = replace(place_of(function, "output"), name="return")
    if "return" not in hints:
        place.refuse("has no annotation. Write what one row's answer is, such as `-> float`.")
    hint = hints["return"]
    if hint is type(None):
        place.refuse("is None. Write what one row's answer is, such as `-> float`, and return it.")
    if container_of(hint):
        place.refuse(
            f"is {hint_name(hint)}, which holds many rows. Write what ONE row's answer is; for a model on whole "
            "columns write @twofold.model(row=Row, result=float)."
        )
    streams = read_stream(function, hint, place)
    return read_hint(str if streams else hint, place), streams


def _read_columns(
    function: Callable[..., Any], parameters: list[inspect.Parameter], hints: dict[str, Any], row: Any, result: Any
) -> Binding:
    """A model on whole columns: `row` and `result` say what ONE row is, the function's annotation the container."""
    inputs, outputs = place_of(function, "input"), place_of(function, "output")
    asked = replace(inputs, label="the decorator")
    if row is None or result is None:
        asked.refuse("says only one of row= and result=. A model on whole columns needs both: what ONE row is.")
    inner = inspect.unwrap(function)
    if inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner):
        replace(inputs, label="the body").refuse("yields. A model on whole columns gives all answers: write `return`.")
    container = _container(parameters, hints, inputs)
    row_place = replace(inputs, label="row=", name="row")
    reading = read_hint(row, row_place)
    if reading.struct is None or reading.nullable:
        row_place.refuse(
            f"is {hint_name(row)}. Write a dataclass, TypedDict, msgspec Struct or pydantic model with the fields of "
            "one row: its names are the names of the columns."
        )
    _refuse_checks(reading, row_place)
    answer = read_hint(result, replace(outputs, label="result=", name="result"))
    _refuse_checks(answer, replace(outputs, label="result=", name="result"))
    is_async = inspect.iscoroutinefunction(inner)
    return Binding(reading.struct, answer, container=container, is_async=is_async)


def _container(parameters: list[inspect.Parameter], hints: dict[str, Any], here: Place) -> Container:
    if len(parameters) != 1 or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        replace(here, label="the signature").refuse(
            f"must have one parameter, for all columns. Write it as {CONTAINERS}."
        )
    place = _at(parameters[0], here)
    if parameters[0].name not in hints:
        place.refuse(f"has no annotation. It picks the container of the columns: write {CONTAINERS}.")
    hint = hints[parameters[0].name]
    container = container_of(hint)
    if not container:
        place.refuse(f"is {hint_name(hint)}, which holds no columns. Write {CONTAINERS}.")
    return container


def _refuse_checks(reading: Reading, place: Place) -> None:
    """Checks that only run when an instance is made would be skipped without a word on columns."""
    for struct in _structs(reading):
        found = unenforced(struct.shape, [item for m in struct.members for item in m.reading.leftover])
        if found:
            place.refuse(
                f"has the class `{struct.shape.owner.__name__}`, which checks its values itself ({found}), and a model "
                "on columns never makes an instance. Write bounds with msgspec.Meta or pydantic's Field(ge=...), or a "
                "model on rows."
            )


def _structs(reading: Reading) -> list[StructReading]:
    found: list[StructReading] = []
    if reading.struct is not None:
        found.append(reading.struct)
        for member in reading.struct.members:
            found += _structs(member.reading)
    if reading.item is not None:
        found += _structs(reading.item)
    return found
