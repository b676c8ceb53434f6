"""Binding: between canonical rows and the objects that one user's function takes and gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from twofold._signature.construct import Answering, compile_call, compile_row_call, struct_row_from_user
from twofold._signature.containers import Container
from twofold._signature.reading import Reading, StructReading
from twofold._signature.types import Field

if TYPE_CHECKING:
    from twofold._columns import Batch
    from twofold._signature.results import Answers

__all__ = ["Binding", "Parameter", "Row"]

Row = tuple[Any, ...]


class Parameter:
    """One parameter of a function on rows."""

    __slots__ = ("field", "keyword_only", "name", "reading")

    def __init__(self, name: str, keyword_only: bool, field: Field, reading: Reading) -> None:
        self.name = name
        self.keyword_only = keyword_only
        self.field = field
        self.reading = reading


class Binding:
    """How one function is called, and what becomes of its answers.

    On rows the function is called once per row with the user's own values; a check of a class of the user's that
    refuses them (a pydantic validator, a ValueError in `__post_init__`) raises BadRow: the row is at fault. On columns
    it is called once per batch with its container of choice: see `present`.

    form, container: "rows" and "", or "columns" and one of numpy, pandas, polars, arrow
    inputs, outputs: the fields of ONE row, in both forms
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Field, ...]
    form: Literal["rows", "columns"]
    is_async: bool
    streams: bool
    """the function yields its answer in pieces: texts whose sum is the one output"""
    result: Callable[[Any], Row]
    """rows: what the function gave -> its canonical values, not yet held against `outputs` (the Signature does)"""

    def __init__(
        self,
        parameters: tuple[Parameter, ...] | StructReading,
        answer: Reading,
        *,
        container: Container = "",
        is_async: bool = False,
        row_keyword: str = "",
        streams: bool = False,
    ) -> None:
        self._parameters = parameters
        self._answer = answer
        self._container = container
        self._row_keyword = row_keyword
        self._answers: Answers | None = None
        self.form = "columns" if container else "rows"
        self.is_async = is_async
        self.streams = streams
        if isinstance(parameters, StructReading):
            self.inputs = parameters.fields
        else:
            self.inputs = tuple(p.field for p in parameters)
        if answer.struct is not None and not answer.nullable:
            self.outputs = answer.struct.fields
            self.result = struct_row_from_user(answer.struct)
        else:
            self.outputs = (Field("prediction", answer.type, answer.nullable, constraints=answer.constraints),)
            self.result = _one_value(answer)

    @property
    def container(self) -> Literal["", "numpy", "pandas", "polars", "arrow"]:
        container = self._container
        return "arrow" if container == "table" or container == "record_batch" else container

    def caller(self, function: Callable[..., Any], answering: Answering | None = None) -> Callable[[Row], Any]:
        """The function as one that takes a canonical row (form "rows"). Compiled here, so ask once per model.

        The result is what the user's function returns (a coroutine where it is async), or the row that `answering`
        makes of it. Raises BadRow, before the call, where a class of the user's refuses the row.
        """
        if not isinstance(self._parameters, StructReading):
            parameters = [(p.name, p.keyword_only, p.reading) for p in self._parameters]
            return compile_call(function, parameters, answering)
        if self._row_keyword:
            inner, keyword = function, self._row_keyword
            return compile_row_call(lambda value: inner(**{keyword: value}), self._parameters, answering)
        return compile_row_call(function, self._parameters, answering)

    @property
    def passes_values(self) -> bool:
        """Whether the function takes the canonical values of a row as they are, one after the other."""
        parameters = self._parameters
        return not isinstance(parameters, StructReading) and not any(
            p.keyword_only or p.reading.to_user for p in parameters
        )

    def present(self, batch: Batch) -> Any:
        """The inputs of `batch` in the container that the function asks for (form "columns")."""
        from twofold._signature.present import present

        return present(self._container, self.inputs, batch)

    def results(self, value: Any, n_rows: int) -> Batch:
        """What a function on columns gave as a Batch of `outputs`.

        Raises WrongResult for another number of rows, missing or unknown columns, or values of another type.
        """
        answers = self._answers
        if answers is None:
            from twofold._signature.results import Answers

            answers = self._answers = Answers(self.outputs, self._answer, self.result)
        return answers.batch(value, n_rows)


def _one_value(answer: Reading) -> Callable[[Any], Row]:
    from_user = answer.from_user
    if from_user is None:
        return lambda value: (value,)
    convert = from_user
    return lambda value: (None if value is None else convert(value),)
