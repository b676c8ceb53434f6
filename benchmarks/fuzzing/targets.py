"""The kinds of requests: for each protocol, how one is made, by the models that are served."""

from __future__ import annotations

import gzip
import json
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from benchmarks.fuzzing.columns import arrow_bodies, csv_bodies, npy_bodies
from benchmarks.fuzzing.mutations import JSON, Sent, bent, mutated, spoilt_text, with_headers

__all__ = ["ROWS", "Make", "http_targets", "oip_requests"]

Make = Callable[[random.Random], Sent]

MESSAGES = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "a b c"}]
ROWS: dict[str, dict[str, Any]] = {
    "mixed": {"number": 1, "share": 0.5, "text": "a", "tags": ["x"]},
    "payment": {
        "currency": "EUR",
        "kind": "card",
        "at": "2024-05-06T07:08:09Z",
        "day": "2024-05-06",
        "items": [{"name": "pen", "price": 1.5, "count": 2}],
        "local": "2024-05-06T07:08:09",
        "note": None,
        "receipt": "aGk=",
    },
    "wine": {"acid": 0.5, "sugar": 2.0, "year": 1999},
    "brightness": {"pixels": [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]},
    "size": {"image": "aGVsbG8="},
    "story": {"prompt": "a b c", "most": 2},
    "chat": {"messages": MESSAGES, "max_tokens": 3, "stop": ["x"]},
}
ARROW = "application/vnd.apache.arrow.stream"
NPY = "application/x-npy"


def http_targets(inputs: Mapping[str, Sequence[Mapping[str, Any]]], marker: str) -> dict[str, Make]:
    """`inputs`: of each model as the Open Inference Protocol describes them; `marker`: see `npy_bodies`."""
    columns = _Columns(marker)
    makes = {
        "JSON": _plain,
        "Arrow": columns.arrow,
        ".npy": columns.npy,
        "CSV": columns.csv,
        "packed": columns.packed,
        "raw bytes": _raw,
        "events": _events,
        "chat": _chat,
        "OIP JSON": _Oip(inputs).json,
        "OIP binary": _Oip(inputs).binary,
    }
    return {name: lambda chance, make=make: with_headers(make(chance), chance) for name, make in makes.items()}  # type: ignore[misc]


def _path(model: str, chance: random.Random) -> str:
    return "/predict" if model == "mixed" and chance.random() < 0.5 else f"/models/{model}/predict"


def _plain(chance: random.Random) -> Sent:
    model = chance.choice(list(ROWS))
    row = ROWS[model]
    return Sent(
        _path(model, chance), spoilt_text(chance.choice([row, [row, row], [row]]), chance), {"Content-Type": JSON}
    )


def _raw(chance: random.Random) -> Sent:
    body = chance.randbytes(chance.choice([0, 1, 100, 5000]))
    return Sent(
        "/models/size/predict",
        body,
        {"Content-Type": chance.choice(["image/png", "application/octet-stream", "", "text/csv"])},
    )


def _events(chance: random.Random) -> Sent:
    model = chance.choice(["story", "story", "chat", "mixed"])
    headers = {"Content-Type": JSON, "Accept": chance.choice(["text/event-stream", "text/event-stream;q=0.1, */*"])}
    return Sent(_path(model, chance), spoilt_text(ROWS[model], chance), headers)


def _chat(chance: random.Random) -> Sent:
    asked = {
        **ROWS["chat"],
        "model": "chat",
        "stream": chance.random() < 0.4,
        "stream_options": {"include_usage": True},
        "max_completion_tokens": 3,
        "n": 1,
        "tools": [],
        "response_format": {"type": "text"},
        "temperature": 0.5,
    }
    if chance.random() < 0.3:
        asked["messages"] = [
            {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "text": 1}]}
        ]
    return Sent("/v1/chat/completions", spoilt_text(asked, chance, 0.04), {"Content-Type": JSON})


class _Columns:
    """Bodies in columns: from a stock of good and strange ones, bent."""

    def __init__(self, marker: str) -> None:
        chance = random.Random(0)
        rows = {name: row for name, row in ROWS.items() if name != "size"}
        self._arrow = {name: arrow_bodies(row, chance) for name, row in rows.items()}
        self._npy = {name: npy_bodies(len(row), marker) for name, row in rows.items()}
        self._csv = {name: csv_bodies(row) for name, row in rows.items()}

    def _of(self, stock: Mapping[str, Sequence[bytes]], kind: str, chance: random.Random) -> Sent:
        model = chance.choice(list(stock))
        body = bent(bent(chance.choice(stock[model]), chance, 0.5), chance, 0.3)
        headers = {"Content-Type": kind}
        if chance.random() < 0.3:
            headers["Accept"] = chance.choice([JSON, ARROW, NPY, "text/csv"])
        return Sent(_path(model, chance), body, headers)

    def arrow(self, chance: random.Random) -> Sent:
        return self._of(self._arrow, ARROW, chance)

    def npy(self, chance: random.Random) -> Sent:
        return self._of(self._npy, NPY, chance)

    def csv(self, chance: random.Random) -> Sent:
        return self._of(self._csv, "text/csv", chance)

    def packed(self, chance: random.Random) -> Sent:
        """Any of them, or JSON, compressed, and bent once more."""
        sent = chance.choice([self.arrow, self.npy, self.csv, _plain, _chat])(chance)
        coding = chance.choice(["gzip", "zstd"])
        body = gzip.compress(sent.body, 1) if coding == "gzip" else pa.Codec("zstd").compress(sent.body, asbytes=True)
        if chance.random() < 0.1:
            body += body
        return Sent(sent.path, bent(body, chance), {**sent.headers, "Content-Encoding": coding})


VALUES: dict[str, list[Any]] = {
    "BOOL": [True, False],
    "BYTES": ["a", "", "2024-05-06", "EUR", '{"name": "a", "price": 1}', "[]"],
}
FORMATS = {"INT64": "q", "INT32": "i", "FP64": "d", "FP32": "f", "BOOL": "?", "UINT8": "B"}


def oip_requests(inputs: Sequence[Mapping[str, Any]], chance: random.Random) -> tuple[dict[str, Any], list[bytes]]:
    """A request that is good but for some of its texts, and the same inputs as binary content."""
    n_rows = chance.choice([1, 1, 2])
    tensors, contents = [], []
    for described in inputs:
        shape = [n_rows, *(chance.choice([1, 2]) if size < 0 else size for size in described["shape"][1:])]
        count = 1
        for size in shape:
            count *= size
        datatype = described["datatype"]
        data = [chance.choice(VALUES.get(datatype, [0, 1, 2])) for _ in range(count)]
        if datatype == "BYTES":
            contents.append(b"".join(struct.pack("<I", len(text)) + text.encode() for text in data))
        else:
            contents.append(struct.pack(f"<{count}{FORMATS[datatype]}", *data))
        tensors.append({"name": described["name"], "datatype": datatype, "shape": shape, "data": data})
    asked: dict[str, Any] = {"inputs": tensors}
    if chance.random() < 0.3:
        asked |= {
            "id": "1",
            "outputs": [{"name": "prediction"}],
            "parameters": {"timeout": 0, "binary_data_output": True},
        }
    return asked, contents


class _Oip:
    def __init__(self, inputs: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        self._inputs = inputs

    def json(self, chance: random.Random) -> Sent:
        model = chance.choice(list(self._inputs))
        asked, _ = oip_requests(self._inputs[model], chance)
        return Sent(f"/v2/models/{model}/infer", spoilt_text(asked, chance, 0.02), {"Content-Type": JSON})

    def binary(self, chance: random.Random) -> Sent:
        model = chance.choice(list(self._inputs))
        asked, contents = oip_requests(self._inputs[model], chance)
        for tensor, content in zip(asked["inputs"], contents, strict=True):
            del tensor["data"]
            tensor["parameters"] = {"binary_data_size": len(content)}
        asked.setdefault("parameters", {})["binary_data_output"] = True
        text = json.dumps(mutated(asked, chance, 0.02)).encode()
        length = len(text) if chance.random() > 0.1 else chance.choice([0, 1, len(text) + 1, 10**9])
        headers = {"Inference-Header-Content-Length": str(length), "Content-Type": "application/octet-stream"}
        return Sent(f"/v2/models/{model}/infer", bent(text + b"".join(contents), chance), headers)
