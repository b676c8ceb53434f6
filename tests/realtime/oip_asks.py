"""What the tests of the Open Inference Protocol ask: a model of every kind of field, and a row of it."""

from __future__ import annotations

import datetime as dt
import json
import struct
from typing import Any, Literal

import msgspec

import twofold
from tests.realtime import models
from tests.realtime.serving import Reply, Served, ask_once, post


class Everything(msgspec.Struct):
    flag: bool
    small: int
    share: float
    text: str
    data: bytes
    day: dt.date
    at: dt.datetime
    kind: Literal["a", "b"]
    tags: list[str]
    grid: list[list[int]]
    maybe: int | None
    perhaps: float | None
    more: models.Verdict
    extra: int = 5


@twofold.model
def same(row: Everything) -> Everything:
    if row.text == "bad":
        raise twofold.BadRow("this text is bad")
    return row


def infer(served: Served, request: Any, *headers: str, model: str = "same") -> Reply:
    body = request if isinstance(request, bytes) else json.dumps(request).encode()
    return ask_once(served.port, post(body, *headers, path=f"/v2/models/{model}/infer"))


def tensor(name: str, datatype: str, data: list[Any], shape: list[int] | None = None) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape or [len(data)], "data": data}


ROW = {
    "flag": tensor("flag", "BOOL", [True]),
    "small": tensor("small", "INT64", [7]),
    "share": tensor("share", "FP64", [0.5]),
    "text": tensor("text", "BYTES", ["héllo"]),
    "data": tensor("data", "BYTES", ["AAE="]),
    "day": tensor("day", "BYTES", ["2026-01-02"]),
    "at": tensor("at", "BYTES", ["2026-01-02T03:04:05Z"]),
    "kind": tensor("kind", "BYTES", ["a"]),
    "tags": tensor("tags", "BYTES", ["x", "y"], [1, 2]),
    "grid": tensor("grid", "INT64", [1, 2, 3, 4], [1, 2, 2]),
    "maybe": tensor("maybe", "BYTES", ["3"]),
    "perhaps": tensor("perhaps", "FP64", [None]),
    "more": tensor("more", "BYTES", ['{"score":1.5,"label":"l"}']),
    "extra": tensor("extra", "INT64", [6]),
}


def row(**changed: dict[str, Any] | None) -> dict[str, Any]:
    inputs = {**ROW, **changed}
    return {"inputs": [value for value in inputs.values() if value is not None]}


def error(reply: Reply) -> str:
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json) == ["error"]
    return str(reply.json["error"])


def outputs(reply: Reply) -> dict[str, dict[str, Any]]:
    assert reply.status == 200, reply.body
    return {output["name"]: output for output in reply.json["outputs"]}


def element(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


CONTENTS = {
    "flag": b"\1",
    "small": struct.pack("<q", 7),
    "share": struct.pack("<d", 0.5),
    "text": element("héllo".encode()),
    "data": element(b"\0\1"),
    "day": element(b"2026-01-02"),
    "at": element(b"2026-01-02T03:04:05Z"),
    "kind": element(b"a"),
    "tags": element(b"x") + element(b"y"),
    "grid": struct.pack("<4q", 1, 2, 3, 4),
    "maybe": element(b"3"),
    "perhaps": struct.pack("<d", float("nan")),
    "more": element(b'{"score":1.5,"label":"l"}'),
    "extra": struct.pack("<q", 6),
}
