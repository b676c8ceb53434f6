"""A model that is served elsewhere, asked row by row: in plain JSON, or by the Open Inference Protocol."""

from __future__ import annotations

import http.client
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import SplitResult, urlsplit

import msgspec

from twofold._columns import Batch
from twofold._errors import Unreachable, UsageError
from twofold._signature import Signature
from twofold._verify.asking import Answer, Row
from twofold._verify.outside import Outside, outputs_in_common, translated

__all__ = ["of_url"]

NARROWER = {"FP16": "<f2", "FP32": "<f4"}


def of_url(signature: Signature, url: str, rows: Sequence[Row], timeout_s: float) -> Outside:
    """The answers of what listens at `url`, to each row alone.

    A path with `/v2/models/NAME` speaks the Open Inference Protocol; any other takes a row as a JSON object and
    answers with one (no path: /predict). The API key is that of the environment, TWOFOLD_API_KEY.
    """
    parts = urlsplit(url if "://" in url else f"http://{url}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"--against {url}: this is not the URL of a server. It looks like http://127.0.0.1:8000.")
    server = _Server(url, parts, timeout_s)
    try:
        return _of_oip(server, signature, rows) if "/v2/models/" in parts.path else _of_json(server, signature, rows)
    finally:
        server.connection.close()


class _Server:
    def __init__(self, url: str, parts: SplitResult, timeout_s: float) -> None:
        kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self.url = url
        self.path = parts.path.rstrip("/")
        self.connection = kind(parts.hostname or "", parts.port, timeout=timeout_s)
        key = os.environ.get("TWOFOLD_API_KEY", "")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        try:
            self.connection.request(method, path, body or None, self._headers)
            answer = self.connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unreachable(f"{self.url} gave no answer: {error}. Is the server running?", url=self.url) from error


def _failed(status: int) -> Answer:
    """Which error it is called there does not matter."""
    return Answer(b"", f"*{status}")


def _of_json(server: _Server, signature: Signature, rows: Sequence[Row]) -> Outside:
    replies = []
    for row in rows:
        body = json.dumps(signature.json_row(signature.inputs, row)).encode()
        replies.append(server.ask("POST", server.path or "/predict", body))
    texts = [_object(body) if status == 200 else None for status, body in replies]
    first = next((found for found in texts if found), None)
    if first is None:
        status, body = replies[0]
        raise Unreachable(
            f"{server.url} answered no row with a JSON object: {status}, {body[:200].decode(errors='replace')!r}. "
            "Is this the path of its predictions?",
            url=server.url,
        )
    common = outputs_in_common(signature, list(first), server.url)
    chosen = _chosen(signature, common)
    answers = {
        at: _failed(replies[at][0]) if found is None else _translated(found, common, chosen)
        for at, found in enumerate(texts)
    }
    return Outside(f"against {server.url}", chosen, answers)


def _chosen(signature: Signature, common: Mapping[str, str]) -> Signature:
    wanted = set(common.values())
    return Signature(signature.inputs, tuple(field for field in signature.outputs if field.name in wanted))


def _translated(texts: Mapping[str, bytes], common: Mapping[str, str], chosen: Signature) -> Answer:
    return translated({common[name]: text for name, text in texts.items() if name in common}, chosen)


def _object(body: bytes) -> dict[str, bytes] | None:
    """The JSON text of each value of an object; a bare value, or a list of one, is an object's only one."""
    try:
        raw = msgspec.json.decode(body, type=dict[str, msgspec.Raw] | list[msgspec.Raw] | float | int | str | bool)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    if isinstance(raw, dict):
        return {name: bytes(text) for name, text in raw.items()}
    if isinstance(raw, list):
        return {"": bytes(raw[0])} if len(raw) == 1 else None
    return {"": body}


# ---- Open Inference Protocol


def _of_oip(server: _Server, signature: Signature, rows: Sequence[Row]) -> Outside:
    path = server.path.removesuffix("/infer")
    status, body = server.ask("GET", path)
    try:
        metadata = json.loads(body)
        inputs = {tensor["name"]: tensor for tensor in metadata["inputs"]}
        outputs = [tensor["name"] for tensor in metadata["outputs"]]
    except (ValueError, KeyError, TypeError):
        raise Unreachable(f"{server.url}{'' if status == 200 else f' answered {status}:'} no such model.") from None
    common = outputs_in_common(signature, outputs, server.url)
    chosen = _chosen(signature, common)
    answers: dict[int, Answer] = {}
    for at, row in enumerate(rows):
        status, body = server.ask("POST", f"{path}/infer", _infer_body(signature, row, inputs))
        answers[at] = _failed(status) if status != 200 else _from_tensors(body, common, chosen)
    arrived = [_as_typed(signature, row, inputs) for row in rows]
    return Outside(f"against {server.url}", chosen, answers, arrived)


def _infer_body(signature: Signature, row: Row, inputs: Mapping[str, Any]) -> bytes:
    """One row, in the datatypes and shapes that the server names."""
    from twofold._realtime.oip.answers import OutputWriter
    from twofold._realtime.oip.tensors import tensor_of

    batch = Batch.from_rows(signature.input_schema, [row])
    tensors = []
    for at, field in enumerate(signature.inputs):
        writer = OutputWriter(tensor_of(field), at)
        row_shape, texts = writer.json_data(batch)
        theirs = inputs.get(field.name, {})
        shape = [1, *row_shape]
        if not row_shape and len(theirs.get("shape", ())) == 2:
            shape = [1, 1]
        head = {"name": field.name, "datatype": theirs.get("datatype", writer.spec.datatype), "shape": shape}
        tensors.append(json.dumps(head)[:-1].encode() + b',"data":[' + texts + b"]}")
    return b'{"inputs":[' + b",".join(tensors) + b"]}"


def _from_tensors(body: bytes, common: Mapping[str, str], chosen: Signature) -> Answer:
    texts: dict[str, bytes] = {}
    fields = {field.name: field for field in chosen.outputs}
    for tensor in json.loads(body)["outputs"]:
        name = common.get(tensor["name"])
        if name is None:
            continue
        texts[name] = _value_text(tensor, fields[name])
    return translated(texts, chosen)


def _value_text(tensor: Mapping[str, Any], field: Any) -> bytes:
    """The JSON text of the only row of a tensor."""
    from twofold._realtime.oip.tensors import tensor_of

    spec = tensor_of(field)
    data = tensor["data"]
    if spec.element == "json" and data and isinstance(data[0], str):
        return data[0].encode()
    if not spec.row_shape:
        while isinstance(data, list) and len(data) == 1:
            data = data[0]
        return json.dumps(data).encode()
    shape = list(tensor["shape"][1:])
    flat = data
    while flat and isinstance(flat[0], list):
        flat = [item for inner in flat for item in inner]
    for size in reversed(shape[1:]):
        flat = [flat[at : at + size] for at in range(0, len(flat), size)]
    return json.dumps(flat).encode()


def _as_typed(signature: Signature, row: Row, inputs: Mapping[str, Any]) -> Row:
    """The row in the datatypes of the server, where these are narrower floats than ours."""
    import numpy as np

    found = []
    for field, value in zip(signature.inputs, row, strict=True):
        dtype = NARROWER.get(inputs.get(field.name, {}).get("datatype", ""))
        if dtype is None or value is None or not isinstance(value, float | list):
            found.append(value)
        else:
            found.append(np.asarray(value, np.dtype(dtype)).astype(np.float64).tolist())
    return tuple(found)
