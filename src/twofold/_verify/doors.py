"""The protocols of a server, each as a way to ask many rows: how a request is written, how its answer is read."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from twofold._columns import Batch
from twofold._errors import Unreachable
from twofold._signature import Field, Float, Signature
from twofold._verify.asking import Answer, Row
from twofold._wire.exchange import problem_code

if TYPE_CHECKING:
    from twofold._realtime.http.media import Form

__all__ = ["DOORS", "Door", "Reply", "ask_through", "doors_for"]

FAILED_ROWS = "twofold-failed-rows"
INFERENCE_HEADER = "Inference-Header-Content-Length"
ROWS_A_REQUEST = 64
UNNAMED = Answer(b"", "*")
"""Failed, and the protocol does not say why in a word."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    headers: http.client.HTTPMessage
    body: bytes


@dataclass(frozen=True)
class Door:
    """`rows` a request, on so many `connections` at once. `path`: of a model's name. `write`: rows -> headers and body.
    `read`: the reply to n rows that all have answers -> the JSON of each."""

    name: str
    rows: int
    connections: int
    path: Callable[[str], str]
    write: Callable[[Signature, list[Row]], tuple[dict[str, str], bytes]]
    read: Callable[[Signature, Reply, int], list[bytes]]


def _predict(_: str) -> str:
    return "/predict"


def _infer(name: str) -> str:
    return f"/v2/models/{quote(name, safe='')}/infer"


# ---- JSON


def _json_texts(signature: Signature, rows: list[Row]) -> list[bytes]:
    return [json.dumps(signature.json_row(signature.inputs, row)).encode() for row in rows]


def _write_one(signature: Signature, rows: list[Row]) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json"}, _json_texts(signature, rows)[0]


def _read_one(_: Signature, reply: Reply, __: int) -> list[bytes]:
    return [reply.body]


def _write_list(signature: Signature, rows: list[Row]) -> tuple[dict[str, str], bytes]:
    return {"Content-Type": "application/json"}, b"[" + b",".join(_json_texts(signature, rows)) + b"]"


def _read_list(_: Signature, reply: Reply, __: int) -> list[bytes]:
    import msgspec

    return [bytes(item) for item in msgspec.json.decode(reply.body, type=list[msgspec.Raw])]


# ---- columns


def _as_outputs(signature: Signature) -> Signature:
    """Inputs are written as a server writes outputs."""
    return Signature((), signature.inputs)


def _bulk(form: Form) -> Callable[[Signature, list[Row]], tuple[dict[str, str], bytes]]:
    def write(signature: Signature, rows: list[Row]) -> tuple[dict[str, str], bytes]:
        from twofold._realtime.http.bulk_write import bulk_answer
        from twofold._runner import Result

        result = Result(Batch.from_rows(signature.input_schema, rows))
        return {"Content-Type": form, "Accept": form}, bulk_answer(_as_outputs(signature), form, result).body

    return write


def _read_bulk(form: Form) -> Callable[[Signature, Reply, int], list[bytes]]:
    def read(signature: Signature, reply: Reply, _: int) -> list[bytes]:
        from twofold._realtime.http.bulk_read import read_bulk

        answers = Signature(signature.outputs, signature.outputs)
        return answers.encode_rows(read_bulk(reply.body, form, answers, 1 << 40))

    return read


# ---- Open Inference Protocol


def _write_tensors(signature: Signature, rows: list[Row]) -> tuple[dict[str, str], bytes]:
    from twofold._realtime.oip.answers import OutputWriter
    from twofold._realtime.oip.tensors import tensor_of

    batch = Batch.from_rows(signature.input_schema, rows)
    heads, contents = [], []
    for at, field in enumerate(signature.inputs):
        writer = OutputWriter(tensor_of(field), at)
        row_shape, content = writer.binary(batch)
        size = {"binary_data_size": len(content)}
        shape = [len(rows), *row_shape]
        heads.append({"name": field.name, "datatype": writer.spec.datatype, "shape": shape, "parameters": size})
        contents.append(content)
    request: dict[str, Any] = {"inputs": heads, "parameters": {"binary_data_output": True}}
    if any(map(_is_null_or_nan, signature.outputs)):
        request["outputs"] = [
            {"name": field.name, "parameters": {"binary_data": not _is_null_or_nan(field)}}
            for field in signature.outputs
        ]
    head = json.dumps(request).encode()
    headers = {"Content-Type": "application/octet-stream", INFERENCE_HEADER: str(len(head))}
    return headers, b"".join([head, *contents])


def _is_null_or_nan(field: Field) -> bool:
    """Binary content has NaN for a null: such an answer is read from JSON, which has both."""
    return field.nullable and isinstance(field.type, Float)


def _read_tensors(signature: Signature, reply: Reply, n_rows: int) -> list[bytes]:
    from twofold._realtime.oip.tensors import tensor_of

    at = int(reply.headers.get(INFERENCE_HEADER, len(reply.body)))
    specs = {field.name: tensor_of(field) for field in signature.outputs}
    columns: dict[str, Any] = {}
    for tensor in json.loads(reply.body[:at])["outputs"]:
        if "data" in tensor:
            columns[tensor["name"]] = tensor["data"]
            continue
        size = tensor["parameters"]["binary_data_size"]
        column = specs[tensor["name"]].from_bytes(reply.body[at : at + size], tensor["shape"])
        columns[tensor["name"]] = column if isinstance(column, list) else column.tolist()
        at += size
    answers = Signature(signature.outputs, signature.outputs)
    return answers.encode_rows(answers.read_columns(columns, n_rows).batch)


ARROW: Form = "application/vnd.apache.arrow.stream"
CSV: Form = "text/csv"

DOORS = (
    Door("HTTP JSON", 1, 8, _predict, _write_one, _read_one),
    Door("HTTP JSON lists", ROWS_A_REQUEST, 1, _predict, _write_list, _read_list),
    Door("OIP binary", ROWS_A_REQUEST, 1, _infer, _write_tensors, _read_tensors),
    Door("HTTP Arrow", ROWS_A_REQUEST, 1, _predict, _bulk(ARROW), _read_bulk(ARROW)),
    Door("HTTP CSV", ROWS_A_REQUEST, 1, _predict, _bulk(CSV), _read_bulk(CSV)),
)


def doors_for(signature: Signature) -> tuple[Door, ...]:
    """The doors that take such rows: columns need fields, and a model of bytes alone takes its bodies as they are."""
    from twofold._realtime.http.media import only_bytes

    if only_bytes(signature) is not None or not signature.inputs or not signature.outputs:
        return DOORS[:2]
    return DOORS


# ---- asking


def ask_through(
    door: Door, url: str, name: str, signature: Signature, rows: Sequence[Row], timeout_s: float
) -> list[Answer]:
    """The answer to each row, through one door of the server at `url`, where the model is called `name`.

    Raises Unreachable where the server does not answer.
    """
    parts = urlsplit(url)
    mine = threading.local()
    opened: list[http.client.HTTPConnection] = []

    def ask(some: list[Row]) -> list[Answer]:
        if not hasattr(mine, "connection"):
            mine.connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=timeout_s)
            opened.append(mine.connection)
        return _asked(door, mine.connection, door.path(name), signature, some)

    pieces = [list(rows[start : start + door.rows]) for start in range(0, len(rows), door.rows)]
    try:
        with ThreadPoolExecutor(door.connections, thread_name_prefix="twofold-verify") as pool:
            return [answer for answers in pool.map(ask, pieces) for answer in answers]
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{url} gave no answer through {door.name}: {error}", url=url) from error
    finally:
        for connection in opened:
            connection.close()


def _asked(
    door: Door, connection: http.client.HTTPConnection, path: str, signature: Signature, rows: list[Row]
) -> list[Answer]:
    from twofold._realtime.oip.errors import OipError

    try:
        headers, body = door.write(signature, rows)
    except OipError:  # rows unlike in shape are no one tensor
        return _one_by_one(door, connection, path, signature, rows)
    connection.request("POST", path, body, headers)
    answer = connection.getresponse()
    reply = Reply(answer.status, answer.headers, answer.read())
    if reply.status == 200 and FAILED_ROWS not in reply.headers:
        return [Answer(text) for text in door.read(signature, reply, len(rows))]
    if len(rows) > 1:
        return _one_by_one(door, connection, path, signature, rows)
    code = problem_code(reply.body) or _code_of_item(reply)
    return [Answer(b"", code) if code else UNNAMED]


def _code_of_item(reply: Reply) -> str:
    """Why the only row of a list in JSON has no answer."""
    from twofold._client.replies import failure_in

    if reply.status != 200 or reply.headers.get_content_type() != "application/json":
        return ""
    failure = failure_in(json.dumps(json.loads(reply.body)[0]).encode())
    return "" if failure is None else failure.code


def _one_by_one(
    door: Door, connection: http.client.HTTPConnection, path: str, signature: Signature, rows: list[Row]
) -> list[Answer]:
    """Rows of which some have no answer."""
    return [answer for row in rows for answer in _asked(door, connection, path, signature, [row])]
