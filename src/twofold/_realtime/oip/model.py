"""One served model as the Open Inference Protocol sees it: its metadata, and requests from columns to answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec
import numpy as np
import pyarrow as pa

from twofold._columns import Batch
from twofold._errors import RowFailure, RowsDoNotFit
from twofold._realtime.batcher import Answers, Ticket
from twofold._realtime.limits import Refused
from twofold._realtime.oip.answers import OutputWriter
from twofold._realtime.oip.errors import OipError, error_of_failures, error_of_refusal
from twofold._realtime.oip.one_row import OneRow
from twofold._realtime.oip.tensors import Array, Column, TensorSpec, tensor_of
from twofold._realtime.service import Service
from twofold._runner import Result
from twofold._signature.misfit import field_errors

__all__ = ["PLATFORM", "Inputs", "OipModel", "server_metadata", "shortened_deadline"]

PLATFORM: Final = "twofold"
ERRORS_NAMED: Final = 10


def server_metadata(version: str, extensions: Sequence[str]) -> dict[str, Any]:
    return {"name": PLATFORM, "version": version, "extensions": list(extensions)}


def shortened_deadline(deadline_s: float | None, timeout: object) -> float | None:
    """With the request's parameter `timeout`, in microseconds (0: none). Raises OipError."""
    if not isinstance(timeout, int) or isinstance(timeout, bool) or not 0 <= timeout < 1 << 63:
        raise OipError("bad_request", "The parameter timeout is a whole number of microseconds.")
    if not timeout:
        return deadline_s
    return timeout / 1e6 if deadline_s is None else min(deadline_s, timeout / 1e6)


class OipModel:
    """A Service, its inputs and outputs as tensors."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.name = service.name
        self.version = service.version
        self.inputs: dict[str, TensorSpec] = {field.name: tensor_of(field) for field in service.signature.inputs}
        self.writers = tuple(OutputWriter(tensor_of(f), at) for at, f in enumerate(service.signature.outputs))
        self.fixed = not any(writer.spec.open for writer in self.writers)
        """No output has an open size: one row of them has always the same shape."""
        self.one_row = OneRow(service.signature, list(self.inputs.values()))
        self._named = {writer.spec.name: writer for writer in self.writers}

    @property
    def metadata(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "versions": [self.version],
            "platform": PLATFORM,
            "inputs": [spec.metadata for spec in self.inputs.values()],
            "outputs": [writer.spec.metadata for writer in self.writers],
        }

    def example_inputs(self) -> list[dict[str, Any]]:
        """The example row of the model (it has one) as the inputs of a JSON request."""
        batch = Batch.from_rows(self.service.signature.input_schema, [self.service.example or ()])
        inputs = []
        for at, spec in enumerate(self.inputs.values()):
            row_shape, texts = OutputWriter(spec, at).json_data(batch)
            shown = {"name": spec.name, "datatype": spec.datatype, "shape": [1, *row_shape]}
            inputs.append({**shown, "data": msgspec.json.decode(b"[%b]" % texts)})
        return inputs

    def check_version(self, version: str) -> None:
        """Raises OipError for a version that is not the one served; "" is any."""
        if version and version != self.version:
            raise OipError(
                "not_found", f"The model {self.name!r} has the version {self.version!r} only, not {version[:50]!r}."
            )

    def input(self, name: str) -> TensorSpec:
        spec = self.inputs.get(name)
        if spec is None:
            listed = ", ".join(map(repr, self.inputs)) or "none"
            raise OipError("bad_request", f"The model has no input {name[:100]!r}. Its inputs: {listed}.")
        return spec

    def chosen(self, names: Iterable[str]) -> list[OutputWriter]:
        """The outputs that were asked for by name, in that order."""
        found: list[OutputWriter] = []
        for name in names:
            writer = self._named.get(name)
            if writer is None:
                listed = ", ".join(map(repr, self._named)) or "none"
                raise OipError("bad_request", f"The model has no output {name[:100]!r}. Its outputs: {listed}.")
            if writer in found:
                raise OipError("bad_request", f"The output {name!r} is asked for twice.")
            found.append(writer)
        return found

    def ask_row(
        self,
        row: tuple[Any, ...],
        done: Callable[[Any], None],
        *,
        answers: Answers,
        deadline_s: float | None,
        n_bytes: int,
    ) -> Ticket:
        """Answer one row; `done` gets its answer in the form that `answers` makes, or an OipError."""

        def finish(results: Sequence[Any]) -> None:
            result = results[0]
            done(error_of_failures({0: result}, 1) if type(result) is RowFailure else result)

        try:
            return self.service.submit([row], finish, answers=answers, deadline_s=deadline_s, n_bytes=n_bytes)
        except Refused as refused:
            raise error_of_refusal(refused) from None

    def ask(
        self, batch: Batch, done: Callable[[Batch | OipError], None], *, deadline_s: float | None, n_bytes: int
    ) -> Ticket:
        """Answer the rows of this batch; `done` gets their outputs, or an OipError when a row has failed."""

        def finish(result: Result) -> None:
            done(error_of_failures(result.failures, batch.n_rows) if result.failures else result.outputs)

        try:
            return self.service.submit_batch(batch, finish, deadline_s=deadline_s, n_bytes=n_bytes)
        except Refused as refused:
            raise error_of_refusal(refused) from None


class Inputs:
    """The inputs of one request, gathered one by one, then read by the Signature."""

    __slots__ = ("_columns", "_model", "n_rows")

    def __init__(self, model: OipModel) -> None:
        self._model = model
        self._columns: dict[str, Column] = {}
        self.n_rows = 0

    def add(self, name: str, datatype: str, shape: Sequence[int]) -> TensorSpec:
        """An input of this datatype and shape comes: the spec that makes its column. Raises OipError."""
        spec = self._model.input(name)
        if name in self._columns:
            raise OipError("bad_request", f"The input {name!r} is given twice.")
        n_rows = spec.rows_of(datatype, shape)
        if not self.n_rows:
            self.n_rows = n_rows
        elif n_rows != self.n_rows:
            first = next(iter(self._columns))
            raise OipError(
                "bad_request",
                f"The inputs have unlike numbers of rows: {first!r} has {self.n_rows}, {name!r} has {n_rows}.",
            )
        return spec

    def put(self, name: str, column: Column) -> None:
        self._columns[name] = column

    def read_row(self) -> tuple[Any, ...]:
        """The one row (`n_rows` is 1). Raises OipError."""
        reader = self._model.service.signature.row_reader()
        given = {
            name: column[0] if type(column) is list else column[0].tolist() for name, column in self._columns.items()
        }
        self._check_missing()
        row, misfits = reader.read(given)
        if misfits:
            raise _misfit(RowsDoNotFit(field_errors(0, misfits)))
        return row

    def read_batch(self) -> Batch:
        """The rows. Raises OipError."""
        self._check_missing()
        if not self.n_rows:
            raise OipError("bad_request", "The request has no inputs.")
        columns: Mapping[str, Any] = {
            name: column if isinstance(column, list) else _as_arrow(column) for name, column in self._columns.items()
        }
        coerced = self._model.service.signature.read_columns(columns, self.n_rows)
        if coerced.misfits:
            raise _misfit(RowsDoNotFit([error for errors in coerced.misfits.values() for error in errors]))
        return coerced.batch

    def _check_missing(self) -> None:
        missing = self._model.service.signature.missing(self._columns)
        if missing:
            some = "input" if len(missing) == 1 else "inputs"
            raise OipError("bad_request", f"The request lacks the {some} {', '.join(map(repr, missing))}.")
        if not self.n_rows and self._model.inputs:
            raise OipError("bad_request", "The request has no inputs: one at least says how many rows there are.")
        self.n_rows = self.n_rows or 1


def _misfit(error: RowsDoNotFit) -> OipError:
    named = [f"row {found.row}: {found.message}" for found in error.errors[:ERRORS_NAMED]]
    more = len(error.errors) - len(named)
    return OipError("row_does_not_fit", "; ".join(named) + (f"; and {more} more" if more else ""))


def _as_arrow(numbers: Array) -> Any:
    """(n, *shape) as an Arrow column, without a copy; a list where a side is 0, which Arrow cannot tell."""
    if 0 in numbers.shape:
        return numbers.tolist()
    column = pa.array(np.ascontiguousarray(numbers).reshape(-1))
    for size in reversed(cast("tuple[int, ...]", numbers.shape[1:])):
        column = pa.FixedSizeListArray.from_arrays(column, size)
    return column
