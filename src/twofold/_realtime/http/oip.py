"""Open Inference Protocol over REST: the body of an infer request in, the answer out.

JSON, or JSON followed by binary content (the binary tensor data extension), or binary content alone. The fast lane and
the routes both call this, and only this.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from twofold._columns import Batch
from twofold._errors import NotJson
from twofold._realtime.batcher import Ticket
from twofold._realtime.http.problems import CONTENT_TYPE, Answer, Client, json_bytes
from twofold._realtime.oip.answers import OutputWriter
from twofold._realtime.oip.errors import OipError
from twofold._realtime.oip.model import Inputs, OipModel, shortened_deadline
from twofold._realtime.oip.tensors import InexactNumbers, TensorSpec
from twofold._signature.decode import decode_exactly

__all__ = ["BINARY_HEADER", "BINARY_TYPE", "OipRest", "oip_answer", "one_answers"]

BINARY_HEADER: Final = b"inference-header-content-length"
BINARY_TYPE: Final = b"application/octet-stream"
LOG = logging.getLogger("twofold")

_encode = msgspec.json.Encoder().encode


class _Input(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | msgspec.UnsetType = msgspec.UNSET
    parameters: dict[str, Any] | None = None


class _Output(msgspec.Struct, gc=False):
    name: str
    parameters: dict[str, Any] | None = None


class _Request(msgspec.Struct, gc=False):
    inputs: list[_Input]
    id: str | None = None
    parameters: dict[str, Any] | None = None
    outputs: list[_Output] | None = None


_decoder = msgspec.json.Decoder(_Request)


class _Wanted:
    """What the answer should hold: `outputs` and, for each, whether as binary content."""

    __slots__ = ("id", "outputs")

    def __init__(self, request_id: str | None, outputs: Sequence[tuple[OutputWriter, bool]]) -> None:
        self.id = request_id
        self.outputs = outputs


class OipRest:
    """Infer requests to one model."""

    def __init__(self, model: OipModel) -> None:
        self.model = model
        self._start = b'{"model_name":%b,"model_version":%b,' % (_encode(model.name), _encode(model.version))
        self._one_answers = one_answers(model) if model.fixed else None
        self._schema = model.service.signature.output_schema

    def begin(
        self, body: bytes, client: Client, deadline_s: float | None = None, *, json_bytes: int | None = None
    ) -> Ticket | None:
        """Answer a request body, the first `json_bytes` of which are JSON (None: all; 0: it is all of one tensor).

        None: the client has its answer; else it will, unless the ticket is cancelled.
        """
        try:
            if json_bytes is None:
                return self._json(body, b"", client, deadline_s)
            if not 0 <= json_bytes <= len(body):
                raise OipError(
                    "bad_request",
                    f"Inference-Header-Content-Length is {json_bytes}, and the body has {len(body)} bytes.",
                )
            if json_bytes == 0:
                return self._raw(body, client, deadline_s)
            return self._json(body[:json_bytes], memoryview(body)[json_bytes:], client, deadline_s)
        except OipError as error:
            client.respond(oip_answer(error))
        except RecursionError:
            client.respond(oip_answer(OipError("bad_request", "The body is nested too deeply.")))
        except Exception:
            LOG.exception("an infer request could not be read", extra={"request_id": client.identify()})
            message = "The request could not be read; the server's log says why."
            client.respond(oip_answer(OipError("internal_error", message)))
        return None

    def _json(
        self, text: bytes, content: bytes | memoryview, client: Client, deadline_s: float | None
    ) -> Ticket | None:
        try:
            return self._ask(_decoder.decode(text), content, client, deadline_s, len(text) + len(content))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, InexactNumbers):
            request = _decode_exactly(text)
        return self._ask(request, content, client, deadline_s, len(text) + len(content))

    def _ask(
        self, request: _Request, content: bytes | memoryview, client: Client, deadline_s: float | None, n_bytes: int
    ) -> Ticket:
        usual = self._one_answers is not None and not request.outputs and not request.parameters
        if usual and not content and (row := self.model.one_row.of_json(request.inputs)) is not None:
            return self._ask_one(request, row, client, deadline_s, n_bytes)
        inputs = Inputs(self.model)
        at = 0
        for tensor in request.inputs:
            name, shape, parameters = tensor.name, tensor.shape, tensor.parameters
            spec = inputs.add(name, tensor.datatype, shape)
            if parameters and "binary_data_size" in parameters:
                size = _binary_size(spec, tensor, len(content) - at)
                inputs.put(name, spec.from_bytes(content[at : at + size], shape))
                at += size
            elif isinstance(tensor.data, msgspec.UnsetType):
                raise OipError("bad_request", f"The input {name!r} has neither data nor binary_data_size.")
            else:
                inputs.put(name, spec.from_json(tensor.data, shape))
        if at != len(content):
            raise OipError("bad_request", f"The body has {len(content) - at} bytes more than its inputs say.")
        if request.parameters:
            deadline_s = shortened_deadline(deadline_s, request.parameters.get("timeout", 0))
        if usual and inputs.n_rows <= 1:
            return self._ask_one(request, inputs.read_row(), client, deadline_s, n_bytes)
        return self._ask_wanted(inputs, self._wanted(request), client, deadline_s, n_bytes)

    def _ask_one(
        self, request: _Request, row: tuple[Any, ...], client: Client, deadline_s: float | None, n_bytes: int
    ) -> Ticket:
        """One row, and all outputs in JSON."""
        assert self._one_answers is not None
        start = self._start if request.id is None else self._start + b'"id":%b,' % _encode(request.id)
        done = partial(_answer_one, client, start)
        return self.model.ask_row(row, done, answers=self._one_answers, deadline_s=deadline_s, n_bytes=n_bytes)

    def _raw(self, body: bytes, client: Client, deadline_s: float | None) -> Ticket:
        """A body that is the content of the only input: one row of it."""
        if len(self.model.inputs) != 1:
            raise OipError(
                "bad_request", "Binary content without JSON is for models with one input. Send the JSON before it."
            )
        (spec,) = self.model.inputs.values()
        inputs = Inputs(self.model)
        inputs.add(spec.name, spec.datatype, shape := _raw_shape(spec, len(body)))
        column = spec.from_bytes(body, shape) if spec.element == "number" else spec.from_elements([body], shape)
        inputs.put(spec.name, column)
        outputs = [(writer, True) for writer in self.model.writers]
        return self._ask_wanted(inputs, _Wanted(None, outputs), client, deadline_s, len(body))

    def _wanted(self, request: _Request) -> _Wanted:
        binary = _flag(request.parameters, "binary_data_output", False)
        if not request.outputs:
            return _Wanted(request.id, [(writer, binary) for writer in self.model.writers])
        writers = self.model.chosen(output.name for output in request.outputs)
        for output in request.outputs:
            if output.parameters and output.parameters.get("classification"):
                raise OipError("bad_request", f"The output {output.name!r}: classification is not an extension here.")
        flags = [_flag(output.parameters, "binary_data", binary) for output in request.outputs]
        return _Wanted(request.id, list(zip(writers, flags, strict=True)))

    def _ask_wanted(
        self, inputs: Inputs, wanted: _Wanted, client: Client, deadline_s: float | None, n_bytes: int
    ) -> Ticket:
        if inputs.n_rows <= 1:

            def finish_row(result: Any) -> None:
                row = result if isinstance(result, OipError) else Batch.from_rows(self._schema, [result])
                self._finish(wanted, client, row)

            row = inputs.read_row()
            return self.model.ask_row(row, finish_row, answers=Batch.rows, deadline_s=deadline_s, n_bytes=n_bytes)
        finish: Callable[[Batch | OipError], None] = partial(self._finish, wanted, client)
        return self.model.ask(inputs.read_batch(), finish, deadline_s=deadline_s, n_bytes=n_bytes)

    def _finish(self, wanted: _Wanted, client: Client, outputs: Batch | OipError) -> None:
        if isinstance(outputs, OipError):
            client.respond(oip_answer(outputs))
            return
        try:
            answer = self._composed(wanted, outputs)
        except OipError as error:
            answer = oip_answer(error)
        client.respond(answer)

    def _composed(self, wanted: _Wanted, outputs: Batch) -> Answer:
        items: list[bytes] = []
        contents: list[bytes] = []
        for writer, binary in wanted.outputs:
            spec = writer.spec
            if binary:
                row_shape, content = writer.binary(outputs)
                contents.append(content)
                data = b'"parameters":{"binary_data_size":%d}' % len(content)
            else:
                row_shape, texts = writer.json_data(outputs)
                data = b'"data":[%b]' % texts
            items.append(_output_head(spec, [outputs.n_rows, *row_shape]) + data + b"}")
        named = b"" if wanted.id is None else b'"id":%b,' % _encode(wanted.id)
        text = self._start + named + b'"outputs":[%b]}' % b",".join(items)
        if not contents:
            return Answer(200, CONTENT_TYPE, (), text)
        headers = ((BINARY_HEADER, str(len(text)).encode()),)
        return Answer(200, BINARY_TYPE, headers, b"".join([text, *contents]))


def oip_answer(error: OipError) -> Answer:
    headers = ((b"retry-after", str(error.retry_after).encode()),) if error.retry_after else ()
    return Answer(error.status, CONTENT_TYPE, headers, json_bytes({"error": str(error)}), error.code)


def _answer_one(client: Client, start: bytes, result: Any) -> None:
    if type(result) is bytes:
        client.succeed(start + result)
    else:
        client.respond(oip_answer(result))


def _output_head(spec: TensorSpec, shape: Sequence[int]) -> bytes:
    head = {"name": spec.name, "datatype": spec.datatype, "shape": shape}
    return _encode(head)[:-1] + b","


def one_answers(model: OipModel) -> Callable[[Batch], list[bytes]]:
    """outputs -> for each row, the end of the JSON answer to a request of this row alone, from `"outputs"` on."""
    heads = [_output_head(writer.spec, [1, *writer.spec.row_shape]) + b'"data":[' for writer in model.writers]
    columns = [writer.one_texts() for writer in model.writers]
    if len(columns) == 1:
        start, texts_of = b'"outputs":[' + heads[0], columns[0]
        return lambda outputs: [start + text + b"]}]}" for text in texts_of(outputs)]
    template = b'"outputs":[' + b",".join(head.replace(b"%", b"%%") + b"%b]}" for head in heads) + b"]}"
    if not columns:
        return lambda outputs: [template] * outputs.n_rows
    return lambda outputs: [template % row for row in zip(*[column(outputs) for column in columns], strict=True)]


def _decode_exactly(text: bytes) -> _Request:
    try:
        return msgspec.convert(decode_exactly(text), _Request)
    except NotJson as error:
        raise OipError("bad_request", f"The body is not JSON: {error.data['reason']}.") from None
    except msgspec.ValidationError as error:
        raise OipError("bad_request", f"The body is no infer request: {error}.") from None


def _flag(parameters: dict[str, Any] | None, name: str, otherwise: bool) -> bool:
    value = otherwise if parameters is None else parameters.get(name, otherwise)
    if not isinstance(value, bool):
        raise OipError("bad_request", f"The parameter {name} is true or false.")
    return value


def _binary_size(spec: TensorSpec, tensor: _Input, left: int) -> int:
    """How many of the `left` bytes of content belong to this input."""
    size = (tensor.parameters or {})["binary_data_size"]
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise OipError("bad_request", f"The input {spec.name!r}: binary_data_size is a number of bytes.")
    if not isinstance(tensor.data, msgspec.UnsetType):
        raise OipError("bad_request", f"The input {spec.name!r} has both data and binary_data_size.")
    if size > left:
        raise OipError(
            "bad_request",
            f"The input {spec.name!r} has a binary_data_size of {size}; {left} bytes are left in the body.",
        )
    return size


def _raw_shape(spec: TensorSpec, n_bytes: int) -> list[int]:
    """The shape of one row that is the whole body; its one open size follows from the number of bytes."""
    if spec.row_shape.count(-1) > 1 or (spec.element != "number" and spec.row_shape):
        raise OipError("bad_request", f"The input {spec.name!r} has a shape that the size of the body does not tell.")
    known = 1
    for size in spec.row_shape:
        known *= abs(size)
    count = n_bytes // spec.dtype.itemsize if spec.element == "number" else 1
    return [1, *(count // known if size == -1 else size for size in spec.row_shape)]
