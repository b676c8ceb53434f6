"""The binary tensor data extension of the Open Inference Protocol over REST."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import pytest

from tests.realtime import models
from tests.realtime.oip_asks import CONTENTS, ROW, element, error, infer, same
from tests.realtime.serving import Served, serving


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(same, models.parity, models.long_answers) as found:
        yield found


def binary(header: Any, *contents: bytes) -> tuple[bytes, str]:
    text = json.dumps(header).encode()
    return b"".join([text, *contents]), f"Inference-Header-Content-Length: {len(text)}"


def described(name: str, content: bytes) -> dict[str, Any]:
    sent = ROW[name]
    return {
        **{key: sent[key] for key in ("name", "datatype", "shape")},
        "parameters": {"binary_data_size": len(content)},
    }


@pytest.mark.parametrize("n_rows", [1, 2])
def test_binary_content_both_ways(served: Served, n_rows: int) -> None:
    contents = {name: content * n_rows for name, content in CONTENTS.items()}
    inputs = [{**described(n, c), "shape": [n_rows, *ROW[n]["shape"][1:]]} for n, c in contents.items()]
    body, header = binary({"inputs": inputs, "parameters": {"binary_data_output": True}}, *contents.values())
    found = infer(served, body, header)
    assert (found.status, found.headers["content-type"]) == (200, "application/octet-stream")
    length = int(found.headers["inference-header-content-length"])
    answer = json.loads(found.body[:length])
    assert [{**output} for output in answer["outputs"]] == inputs
    assert found.body[length:] == b"".join(contents.values())


def test_json_and_binary_mixed(served: Served) -> None:
    inputs = [{**ROW[n]} for n in ROW if n != "grid"] + [described("grid", CONTENTS["grid"])]
    wanted = [{"name": "grid", "parameters": {"binary_data": True}}, {"name": "flag"}]
    body, header = binary({"inputs": inputs, "outputs": wanted}, CONTENTS["grid"])
    found = infer(served, body, header)
    length = int(found.headers["inference-header-content-length"])
    assert [list(output) for output in json.loads(found.body[:length])["outputs"]] == [
        ["name", "datatype", "shape", "parameters"],
        ["name", "datatype", "shape", "data"],
    ]
    assert found.body[length:] == CONTENTS["grid"]


def test_a_body_of_content_alone_is_one_row(served: Served) -> None:
    found = infer(served, struct.pack("<q", 7), "Inference-Header-Content-Length: 0", model="parity")
    assert found.body.endswith(element(b"Odd"))
    found = infer(served, b"x", "Inference-Header-Content-Length: 0", model="parity")
    assert (found.status, error(found)) == (
        400,
        "The input 'number' has 1 bytes of content; its shape [1] of INT64 takes 8.",
    )
    found = infer(served, b"x", "Inference-Header-Content-Length: 0")
    assert "for models with one input" in error(found)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("small", b"\0" * 7, "The input 'small' has 7 bytes of content; its shape [1] of INT64 takes 8."),
        ("flag", b"\2", "The input 'flag' is BOOL: each byte of it is 0 or 1."),
        ("text", element(b"\xff"), "Element 0 of the input 'text' is not UTF-8 (byte 0)."),
        ("text", b"\0\0", "The input 'text' is cut off within element 0 of its content."),
        ("text", b"\5\0\0\0abcd", "The input 'text' is cut off within element 0 of its content."),
        ("text", element(b"a") * 2, "The input 'text' takes 1 elements; its content has more."),
        ("text", b"", "The input 'text' takes 1 elements; its content has 0."),
        ("more", element(b"nope"), "Row 0 of the input 'more' is not JSON"),
    ],
)
def test_content_that_does_not_fit(served: Served, name: str, content: bytes, said: str) -> None:
    inputs = [{**sent} for other, sent in ROW.items() if other != name] + [described(name, content)]
    body, header = binary({"inputs": inputs}, content)
    found = infer(served, body, header)
    assert found.status == 400
    assert said in error(found)


@pytest.mark.parametrize(
    ("size", "content", "length", "said"),
    [
        (8, b"\0" * 9, None, "The body has 1 bytes more than its inputs say."),
        (9, b"\0" * 8, None, "The input 'number' has a binary_data_size of 9; 8 bytes are left"),
        (-1, b"\0" * 8, None, "The input 'number': binary_data_size is a number of bytes."),
        (True, b"\0" * 8, None, "The input 'number': binary_data_size is a number of bytes."),
        (8, b"\0" * 8, "1000", "Inference-Header-Content-Length is 1000, and the body has"),
        (8, b"\0" * 8, "-1", "Inference-Header-Content-Length is a number of bytes, not '-1'."),
        (8, b"\0" * 8, "x", "Inference-Header-Content-Length is a number of bytes, not 'x'."),
        (8, b"\0" * 8, "5", "The body is not JSON"),
    ],
)
def test_sizes_that_are_wrong(served: Served, size: Any, content: bytes, length: str | None, said: str) -> None:
    tensors = [{"name": "number", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": size}}]
    body, header = binary({"inputs": tensors}, content)
    if length is not None:
        header = f"Inference-Header-Content-Length: {length}"
    found = infer(served, body, header, model="parity")
    assert found.status == 400
    assert said in error(found)
