"""Which answers are allowed: those that the server's own OpenAPI document declares, and no failure of the server."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from typing import Any

from benchmarks.fuzzing.mutations import JSON, Sent
from benchmarks.fuzzing.wire import Reply, Wire

__all__ = ["Rules", "check_good", "get_json", "oip_inputs"]

GOOD: list[tuple[Sent, Any]] = [
    (
        Sent("/predict", b'{"number": 1, "share": null, "text": "abc", "tags": []}', {"Content-Type": JSON}),
        {"prediction": "abc"},
    ),
    (Sent("/models/wine/predict", b"acid,sugar,year\n1,2,3\n", {"Content-Type": "text/csv", "Accept": JSON}), [6.0]),
    (Sent("/models/size/predict", b"12345", {"Content-Type": "image/png"}), {"prediction": 5}),
    (
        Sent(
            "/v1/chat/completions",
            b'{"messages": [{"role": "user", "content": "a b"}]}',
            {"Content-Type": JSON},
        ),
        None,
    ),
]


def get_json(port: int, path: str) -> Any:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def oip_inputs(port: int) -> dict[str, list[dict[str, Any]]]:
    """The inputs of all models that the Open Inference Protocol can describe."""
    names = get_json(port, "/v2/models")["models"]
    return {name: get_json(port, f"/v2/models/{name}")["inputs"] for name in names}


class Rules:
    def __init__(self, openapi: Mapping[str, Any]) -> None:
        self._declared = {
            path: {int(status): set(answer["content"]) for status, answer in item["post"]["responses"].items()}
            for path, item in openapi["paths"].items()
            if "post" in item
        }

    def broken(self, sent: Sent, reply: Reply) -> str:
        """What is wrong with the answer; "": nothing."""
        declared = self._declared[sent.path]
        if reply.status not in declared:
            return f"{reply.status} is not declared of {sent.path}"
        if reply.content_type not in declared[reply.status]:
            return f"{reply.content_type} is not declared of {sent.path}, {reply.status}"
        hurried = "X-Deadline-Ms" in sent.headers or b"timeout" in sent.body
        if reply.status >= 500 and not (reply.status == 504 and hurried):
            return f"the server failed: {reply.status}"
        return ""


def check_good(wire: Wire) -> None:
    """Raises AssertionError unless requests that are known to be good are answered rightly."""
    for sent, expected in GOOD:
        reply = wire.ask(sent.written())
        assert reply.status == 200, (sent, reply)
        found = json.loads(reply.body)
        if expected is None:
            found, expected = found["choices"][0]["message"]["content"], "ab"
        elif isinstance(expected, list):
            found = [row["prediction"] for row in found]
        assert found == expected, (sent, reply)
