"""Bodies that nobody would send: the server answers each of them, in time, and never with an undeclared failure.

    python -m benchmarks.fuzz [--bodies 200000] [--seconds 600] [--seed 1]

A target makes bodies out of good ones (cut, doubled, with bytes and values exchanged) and knows which answers are
allowed: those that the routes declare, no 500 among them, as the model of the script fails on no row.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import struct
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import twofold

__all__ = ["TARGETS", "Target", "fuzz", "fuzz_grpc", "mutated"]

ANSWERS_WITHIN_S = 10.0
MODEL = """
import twofold


@twofold.model
def mixed(number: int, share: float | None, text: str, tags: list[str], extra: int = 5) -> str:
    return text[:10]
"""
TEXTS = ["NaN", "", "x" * 300, "\u00e9\ud800"]
VALUES: list[Any] = [None, True, -1, 0, 7, 2**63, 10**400, 1.5, *TEXTS, [], {}, [[]], [7], {"a": 1}]
NAMES = ["number", "share", "text", "tags", "extra", "id", "inputs", "outputs", "parameters", "data", "shape", "name"]


@dataclass(frozen=True)
class Target:
    """One kind of body: where it goes, and how one is made."""

    path: str
    make: Callable[[random.Random], tuple[bytes, dict[str, str]]]
    allowed: frozenset[int] = frozenset((200, 400, 413, 415, 422, 429))


def _tensor(name: str, datatype: str, data: list[Any], *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [len(data), *shape], "data": data}


def _request() -> dict[str, Any]:
    inputs = [
        _tensor("number", "INT64", [1, 2]),
        _tensor("share", "FP64", [0.5, None]),
        _tensor("text", "BYTES", ["a", "b"]),
        {"name": "tags", "datatype": "BYTES", "shape": [2, 1], "data": ["x", "y"]},
    ]
    return {"id": "1", "inputs": inputs, "outputs": [{"name": "prediction"}], "parameters": {"priority": 0}}


def mutated(value: Any, chance: random.Random, odds: float = 0.08) -> Any:
    """The value with some of its parts exchanged, left out, renamed or doubled."""
    if chance.random() < odds:
        return chance.choice(VALUES)
    if isinstance(value, dict):
        found = {}
        for key, inner in value.items():
            if chance.random() < odds / 2:
                continue
            found[chance.choice(NAMES) if chance.random() < odds / 2 else key] = mutated(inner, chance, odds)
        return found
    if isinstance(value, list):
        found_list = [mutated(inner, chance, odds) for inner in value if chance.random() > odds / 2]
        return found_list * 2 if chance.random() < odds / 2 else found_list
    if isinstance(value, int) and not isinstance(value, bool) and chance.random() < odds:
        return chance.choice([-1, 0, 1, 3, 2**31, 2**63, 10**9])
    return value


def _bent(body: bytes, chance: random.Random) -> bytes:
    """The body, one time in three with bytes exchanged, cut or doubled."""
    if not body or chance.random() > 0.34:
        return body
    at = chance.randrange(len(body))
    how = chance.randrange(3)
    if how == 0:
        return body[:at]
    return body[:at] + (bytes((chance.randrange(256),)) if how == 1 else body[at : at + 9] * 2) + body[at + 1 :]


def _text(value: Any) -> bytes:
    return json.dumps(value).encode()


def _plain(chance: random.Random) -> tuple[bytes, dict[str, str]]:
    row = {"number": 1, "share": 0.5, "text": "a", "tags": ["x"]}
    return _bent(_text(mutated(chance.choice([row, [row, row]]), chance)), chance), {"content-type": "application/json"}


def _oip_json(chance: random.Random) -> tuple[bytes, dict[str, str]]:
    return _bent(_text(mutated(_request(), chance, 0.02)), chance), {"content-type": "application/json"}


def _oip_binary(chance: random.Random) -> tuple[bytes, dict[str, str]]:
    element = struct.pack("<I", 1) + b"a"
    contents = [struct.pack("<2q", 1, 2), struct.pack("<2d", 0.5, 1.5), element * 2, element * 2]
    request = _request()
    for tensor, content in zip(request["inputs"], contents, strict=True):
        del tensor["data"]
        tensor["parameters"] = {"binary_data_size": len(content)}
    request["parameters"]["binary_data_output"] = True
    text = _text(mutated(request, chance, 0.03))
    length = len(text) if chance.random() > 0.1 else chance.choice([0, 1, len(text) + 1, 10**9])
    headers = {"inference-header-content-length": str(length), "content-type": "application/octet-stream"}
    return _bent(text + b"".join(contents), chance), headers


TARGETS: dict[str, Target] = {
    "plain JSON": Target("/predict", _plain),
    "OIP JSON": Target("/v2/models/mixed/infer", _oip_json),
    "OIP binary": Target("/v2/models/mixed/infer", _oip_binary),
}


def fuzz(port: int, target: Target, bodies: int, seed: int, until: float) -> Counter[int]:
    """How often each status came. Raises AssertionError for an answer that is not allowed, or none in time."""
    chance = random.Random(seed)
    statuses: Counter[int] = Counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWERS_WITHIN_S)
    for _ in range(bodies):
        if time.monotonic() > until:
            break
        body, headers = target.make(chance)
        try:
            connection.request("POST", target.path, body, headers)
            answer = connection.getresponse()
            said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise AssertionError(f"no answer ({error!r}) to {headers} {body!r}") from error
        statuses[answer.status] += 1
        assert answer.status in target.allowed, f"{answer.status} {said[:300]!r} to {headers} {body!r}"
    connection.close()
    return statuses


def fuzz_grpc(address: str, calls: int, seed: int, until: float) -> Counter[str]:
    """The same of gRPC: messages of valid, bent and random bytes. Needs grpcio."""
    import grpc

    from twofold._realtime.grpc.messages import message_class

    chance = random.Random(seed)
    allowed = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "RESOURCE_EXHAUSTED"}
    statuses: Counter[str] = Counter()
    element = struct.pack("<I", 1) + b"a"
    tensors = [("number", "INT64", [2]), ("share", "FP64", [2]), ("text", "BYTES", [2]), ("tags", "BYTES", [2, 1])]
    good = message_class("ModelInferRequest")(
        model_name="mixed",
        inputs=[{"name": name, "datatype": datatype, "shape": shape} for name, datatype, shape in tensors],
        raw_input_contents=[struct.pack("<2q", 1, 2), struct.pack("<2d", 0.5, 1.5), element * 2, element * 2],
    ).SerializeToString()
    with grpc.insecure_channel(address) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer", bytes, bytes)
        for _ in range(calls):
            if time.monotonic() > until:
                break
            message = good
            for _ in range(chance.randrange(4)):
                message = _bent(message, chance)
            ended = infer.future(message, timeout=ANSWERS_WITHIN_S)
            status = ended.code().name
            assert status in allowed, f"{status} {ended.details()} to {message!r}"
            statuses[status] += 1
    return statuses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bodies", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    each = options.bodies // (len(TARGETS) + 1)
    until = time.monotonic() + options.seconds
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "mixed.py"
        file.write_text(MODEL)
        with twofold.serve(file, background=True, workers=1, layout="inline", grpc_port=0) as served:
            port = int(served.url.rpartition(":")[2])
            for name, target in TARGETS.items():
                print(f"{name}: {dict(fuzz(port, target, each, options.seed, until))}", flush=True)
            assert served.grpc_address is not None
            print(f"gRPC: {dict(fuzz_grpc(served.grpc_address, each, options.seed, until))}", flush=True)


if __name__ == "__main__":
    main()
