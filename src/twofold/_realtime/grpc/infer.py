"""ModelInfer: the tensors of a request in, the tensors of the answer out. Raw contents answer raw, typed typed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from google.protobuf.message import DecodeError

from twofold._columns import Batch
from twofold._realtime.batcher import Ticket
from twofold._realtime.counters import Counters
from twofold._realtime.grpc.calls import Unit
from twofold._realtime.grpc.messages import Message, message_class
from twofold._realtime.oip.answers import OutputWriter
from twofold._realtime.oip.errors import OipError
from twofold._realtime.oip.model import Inputs, OipModel, shortened_deadline
from twofold._realtime.oip.one_row import one_binaries
from twofold._realtime.oip.tensors import TensorSpec

__all__ = ["Infer"]

Request: Final = message_class("ModelInferRequest")
Response: Final = message_class("ModelInferResponse")

# the field of InferTensorContents that holds the elements of a datatype; FP16 has none
CONTENTS: Final = {
    "BOOL": "bool_contents",
    **dict.fromkeys(("INT8", "INT16", "INT32"), "int_contents"),
    "INT64": "int64_contents",
    **dict.fromkeys(("UINT8", "UINT16", "UINT32"), "uint_contents"),
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
ID_TAG: Final = b"\x1a"  # of ModelInferResponse: field 3, bytes follow
RAW_TAG: Final = b"\x32"  # field 6


class Infer:
    """Answers infer calls to all models."""

    def __init__(self, models: dict[str, OipModel]) -> None:
        self._models = {name: _ModelInfer(model) for name, model in models.items()}

    def __call__(self, message: bytes, unit: Unit, deadline_s: float | None) -> Ticket | None:
        try:
            request = Request.FromString(message)
        except DecodeError:
            unit.fail(3, "The message is no inference.ModelInferRequest.")
            return None
        found = self._models.get(request.model_name)
        try:
            if found is None:
                listed = ", ".join(self._models)
                raise OipError(
                    "not_found", f"There is no model {request.model_name[:100]!r}. The models here are {listed}."
                )
            unit.service = found.service
            return found.begin(request, unit, deadline_s, len(message))
        except OipError as error:
            if found is not None:
                found.counters.ended(error.code)
            unit.fail(error.grpc_code, str(error))
        except RecursionError:
            unit.fail(3, "A JSON text in the message is nested too deeply.")
        return None


class _ModelInfer:
    def __init__(self, model: OipModel) -> None:
        self._model = model
        self.service = model.service
        self.counters = model.service.counters
        self._schema = model.service.signature.output_schema
        # all but the id and the contents of the answer to one row, where its shape is known
        self._one_head = self._head(model.writers, 1).SerializeToString()
        self._one_answers = one_binaries(model.writers, lambda content: b"".join(_field(RAW_TAG, content)))

    def begin(self, request: Message, unit: Unit, deadline_s: float | None, n_bytes: int) -> Ticket:
        model = self._model
        if request.model_version:
            model.check_version(request.model_version)
        raw = request.raw_input_contents
        tensors = request.inputs
        usual = model.fixed and raw and not request.outputs
        if usual and not request.parameters and (row := model.one_row.of_bytes(tensors, raw)) is not None:
            return self._ask_one(request, row, unit, deadline_s, n_bytes)
        inputs = Inputs(model)
        if raw and len(raw) != len(tensors):
            raise OipError(
                "bad_request", f"There are {len(tensors)} inputs and {len(raw)} raw_input_contents: each input has one."
            )
        for at, tensor in enumerate(tensors):
            shape = list(tensor.shape)
            spec = inputs.add(tensor.name, tensor.datatype, shape)
            if not raw:
                inputs.put(spec.name, spec.from_elements(_typed(spec, tensor), shape))
            elif tensor.HasField("contents"):
                raise OipError("bad_request", f"The input {spec.name!r} has contents, and raw_input_contents, too.")
            else:
                inputs.put(spec.name, spec.from_bytes(raw[at], shape))
        if request.parameters and request.parameters["timeout"].WhichOneof("parameter_choice") is not None:
            deadline_s = shortened_deadline(deadline_s, _number(request.parameters["timeout"]))
        if usual and inputs.n_rows <= 1:
            return self._ask_one(request, inputs.read_row(), unit, deadline_s, n_bytes)
        answer = _Answer(self, unit, request.id, self._chosen(request.outputs), bool(raw))
        if inputs.n_rows <= 1:
            return model.ask_row(
                inputs.read_row(), answer.finish_row, answers=Batch.rows, deadline_s=deadline_s, n_bytes=n_bytes
            )
        return model.ask(inputs.read_batch(), answer.finish, deadline_s=deadline_s, n_bytes=n_bytes)

    def _ask_one(
        self, request: Message, row: tuple[Any, ...], unit: Unit, deadline_s: float | None, n_bytes: int
    ) -> Ticket:
        """One row, and all outputs with raw contents. (The fields of a message may come in any order.)"""
        head = self._one_head
        if request.id:
            head = b"".join((head, *_field(ID_TAG, request.id.encode())))
        done = partial(_answer_one, self.counters, unit, head)
        return self._model.ask_row(row, done, answers=self._one_answers, deadline_s=deadline_s, n_bytes=n_bytes)

    def _chosen(self, outputs: Sequence[Message]) -> Sequence[OutputWriter]:
        if not outputs:
            return self._model.writers
        for output in outputs:
            if output.parameters and "classification" in output.parameters:
                raise OipError("bad_request", f"The output {output.name!r}: classification is not an extension here.")
        return self._model.chosen(output.name for output in outputs)

    def _head(self, writers: Sequence[OutputWriter], n_rows: int) -> Message:
        head = Response(model_name=self._model.name, model_version=self._model.version)
        for writer in writers:
            spec = writer.spec
            head.outputs.add(name=spec.name, datatype=spec.datatype, shape=[n_rows, *spec.row_shape])
        return head

    def rows(self, writers: Sequence[OutputWriter], request_id: str, raw: bool, outputs: Batch) -> bytes:
        answer = Response(model_name=self._model.name, model_version=self._model.version, id=request_id)
        for writer in writers:
            spec = writer.spec
            if raw:
                row_shape, content = writer.binary(outputs)
                answer.raw_output_contents.append(content)
                answer.outputs.add(name=spec.name, datatype=spec.datatype, shape=[outputs.n_rows, *row_shape])
                continue
            field = CONTENTS.get(spec.datatype)
            if field is None:
                raise OipError(
                    "unanswerable", f"The output {spec.name!r} is {spec.datatype}, which only raw contents can hold: "
                    "send the inputs raw, or choose other outputs.",
                )  # fmt: skip
            found = writer.elements(outputs)
            added = answer.outputs.add(name=spec.name, datatype=spec.datatype, shape=[outputs.n_rows, *found.row_shape])
            flat = found.flat if isinstance(found.flat, list) else found.flat.tolist()
            getattr(added.contents, field).extend(flat)
        serialized: bytes = answer.SerializeToString()
        return serialized

    @property
    def schema(self) -> Any:
        return self._schema


class _Answer:
    """An answer on its way."""

    __slots__ = ("_id", "_model", "_raw", "_unit", "_writers")

    def __init__(
        self, model: _ModelInfer, unit: Unit, request_id: str, writers: Sequence[OutputWriter], raw: bool
    ) -> None:
        self._model = model
        self._unit = unit
        self._id = request_id
        self._writers = writers
        self._raw = raw

    def finish_row(self, result: Any) -> None:
        self.finish(Batch.from_rows(self._model.schema, [result]) if type(result) is tuple else result)

    def finish(self, outputs: Batch | OipError) -> None:
        if not isinstance(outputs, OipError):
            try:
                answer = self._model.rows(self._writers, self._id, self._raw, outputs)
            except OipError as error:
                outputs = error
            else:
                self._succeed(answer)
                return
        self._fail(outputs)

    def _succeed(self, answer: bytes) -> None:
        self._model.counters.succeeded()
        self._unit.succeed(answer)

    def _fail(self, error: OipError) -> None:
        self._model.counters.ended(error.code)
        self._unit.fail(error.grpc_code, str(error))


def _answer_one(counters: Counters, unit: Unit, head: bytes, result: Any) -> None:
    if type(result) is bytes:
        counters.succeeded()
        unit.succeed(head + result)
    else:
        counters.ended(result.code)
        unit.fail(result.grpc_code, str(result))


def _typed(spec: TensorSpec, tensor: Message) -> list[Any]:
    """The elements of an input with typed contents."""
    wanted = CONTENTS.get(spec.datatype)
    if wanted is None:
        raise OipError("bad_request", f"The input {spec.name!r} is {spec.datatype}, which only raw contents can hold.")
    if "shared_memory_region" in tensor.parameters:
        raise OipError("bad_request", f"The input {spec.name!r}: shared memory is not an extension here.")
    for field, _ in tensor.contents.ListFields():
        if field.name != wanted:
            raise OipError("bad_request", f"The elements of {spec.name!r} stand in {field.name}, not in {wanted}.")
    return list(getattr(tensor.contents, wanted))


def _number(parameter: Message) -> object:
    return getattr(parameter, parameter.WhichOneof("parameter_choice"))


def _field(tag: bytes, value: bytes) -> tuple[bytes, bytes, bytes]:
    """A field of bytes as protobuf writes it."""
    length = len(value)
    if length < 0x80:
        return tag, bytes((length,)), value
    varint = bytearray()
    while length > 0x7F:
        varint.append(length & 0x7F | 0x80)
        length >>= 7
    varint.append(length)
    return tag, bytes(varint), value
