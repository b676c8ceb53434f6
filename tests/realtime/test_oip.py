"""The Open Inference Protocol over REST, against a server in a thread: bytes of HTTP in and out."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import struct
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
import pytest

import twofold
from tests.realtime import models
from tests.realtime.serving import Reply, Served, ask_once, get, post, serving
from twofold._realtime.http.problems import PROBLEMS
from twofold._realtime.oip.errors import STATUSES


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


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(same, models.parity, models.long_answers) as found:
        yield found


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


# ---- metadata and health


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("/v2/health/live", {"live": True}),
        ("/v2/health/ready", {"ready": True}),
        ("/v2/models", {"models": ["same", "parity", "long_answers"]}),
        ("/v2/models/parity/ready", {"name": "parity", "ready": True}),
    ],
)
def test_health(served: Served, path: str, answer: Any) -> None:
    reply = ask_once(served.port, get(path))
    assert (reply.status, reply.json) == (200, answer)


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_server_metadata(served: Served, path: str) -> None:
    found = ask_once(served.port, get(path)).json
    assert found == {"name": "twofold", "version": twofold.__version__, "extensions": ["binary_tensor_data"]}


def test_model_metadata_says_what_each_field_travels_as(served: Served) -> None:
    found = ask_once(served.port, get("/v2/models/same")).json
    version = served.catalog["same"].version
    assert (found["name"], found["versions"], found["platform"]) == ("same", [version], "twofold")
    shown = {one["name"]: (one["datatype"], one["shape"]) for one in found["inputs"]}
    assert shown == {name: (t["datatype"], [-1] * len(t["shape"])) for name, t in ROW.items()}
    assert found["inputs"] == found["outputs"]
    assert ask_once(served.port, get(f"/v2/models/same/versions/{version}")).json == found


@pytest.mark.parametrize("path", ["", "/ready"])
def test_a_model_or_version_that_is_not_there(served: Served, path: str) -> None:
    reply = ask_once(served.port, get(f"/v2/models/nope{path}"))
    assert (reply.status, error(reply)) == (
        404,
        "There is no model 'nope'. The models here are same, parity, long_answers.",
    )
    reply = ask_once(served.port, get(f"/v2/models/parity/versions/1{path}"))
    assert reply.status == 404
    assert "version" in error(reply)


def test_an_unknown_path_and_a_wrong_method_have_the_protocols_form(served: Served) -> None:
    assert ask_once(served.port, get("/v2/nope")).status == 404
    reply = ask_once(served.port, get("/v2/models/parity/infer"))
    assert (reply.status, reply.headers["allow"]) == (405, "POST")
    assert error(reply) == "/v2/models/parity/infer answers POST, not GET."


def test_not_ready(served: Served) -> None:
    parity = served.catalog["parity"]
    parity.ready = False
    try:
        for path in ("/v2/models/parity/ready", "/v2/health/ready"):
            assert ask_once(served.port, get(path)).status == 503
        assert ask_once(served.port, get("/v2/models/same/ready")).status == 200
    finally:
        parity.ready = True


# ---- infer


def test_every_kind_of_field_both_ways(served: Served) -> None:
    for found in (infer(served, row()), infer(served, row(), "Content-Type: application/vnd.x+json")):
        got = outputs(found)
        assert list(got) == list(ROW)
        for name, sent in ROW.items():
            assert got[name] == sent, name


def test_many_rows_are_what_their_rows_are(served: Served) -> None:
    def doubled(sent: dict[str, Any]) -> dict[str, Any]:
        return {**sent, "shape": [2, *sent["shape"][1:]], "data": sent["data"] * 2}

    got = outputs(infer(served, row(**{name: doubled(sent) for name, sent in ROW.items()})))
    for name, sent in ROW.items():
        assert got[name] == doubled(sent), name


def test_the_id_comes_back_and_the_version_is_told(served: Served) -> None:
    version = served.catalog["parity"].version
    request = {"id": 'a"b', "inputs": [tensor("number", "INT64", [7])], "parameters": {"priority": 1}}
    for changed in (request, {**request, "parameters": {}}):
        found = infer(served, changed, model=f"parity/versions/{version}").json
        assert (found["id"], found["model_name"], found["model_version"]) == ('a"b', "parity", version)
    assert "id" not in infer(served, {"inputs": request["inputs"]}, model="parity").json


def test_outputs_are_chosen_in_the_order_asked_for(served: Served) -> None:
    found = infer(served, {**row(), "outputs": [{"name": "text"}, {"name": "flag"}]})
    assert list(outputs(found)) == ["text", "flag"]


@pytest.mark.parametrize(
    "data", [[1, 2, 3, 4], [[1, 2], [3, 4]], [[[1, 2], [3, 4]]], [[[1, 2.0], [3, 4]]], [1e0, 2, 3, 4]]
)
def test_data_is_nested_or_flat(served: Served, data: list[Any]) -> None:
    found = infer(served, row(grid=tensor("grid", "INT64", data, [1, 2, 2])))
    if data == [[1, 2], [3, 4]]:  # neither
        assert (found.status, error(found)) == (400, "The data of 'grid' is not nested as [1, 2, 2] says.")
    else:
        assert outputs(found)["grid"]["data"] == [1, 2, 3, 4]


def test_scalars_may_be_columns(served: Served) -> None:
    found = infer(served, {"inputs": [tensor("number", "INT64", [[1], [2]], [2, 1])]}, model="parity")
    assert outputs(found)["prediction"] == tensor("prediction", "BYTES", ["Odd", "Even"])


def test_integers_are_exact(served: Served) -> None:
    found = infer(served, row(small=tensor("small", "INT64", [2**53 + 1])))
    assert outputs(found)["small"]["data"] == [2**53 + 1]
    text = json.dumps(row()).replace('"data": [7]', '"data": [9007199254740993.0]')
    assert outputs(infer(served, text.encode()))["small"]["data"] == [2**53 + 1]


def test_an_input_with_a_default_may_be_left_out(served: Served) -> None:
    assert outputs(infer(served, row(extra=None)))["extra"]["data"] == [5]


def test_special_floats(served: Served) -> None:
    found = infer(served, row(share=tensor("share", "FP64", ["NaN"])))
    assert outputs(found)["share"]["data"] == ["NaN"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"small": tensor("small", "INT32", [7])}, "The input 'small' is INT64, not 'INT32'."),
        ({"small": tensor("small", "INT64", [7], [1, 2])}, "The input 'small' has the shape [-1] (-1: any size), not"),
        ({"grid": tensor("grid", "INT64", [1], [1])}, "The input 'grid' has the shape [-1, -1, -1]"),
        ({"small": tensor("small", "INT64", [7], [1, 1, 1])}, "The input 'small' has the shape [-1]"),
        ({"small": tensor("small", "INT64", [], [0])}, "The input 'small' has no rows: its shape is [0]."),
        ({"small": {**tensor("small", "INT64", [7]), "shape": []}}, "The input 'small' has no rows: its shape is []."),
        ({"small": tensor("small", "INT64", [7], [-1])}, "The input 'small' has no rows"),
        ({"small": tensor("small", "INT64", [7, 8], [1])}, "The input 'small' has 2 elements; its shape [1] takes 1."),
        ({"small": tensor("small", "INT64", [7, 8])}, "The inputs have unlike numbers of rows: 'flag' has 1, 'small'"),
        ({"grid": tensor("grid", "INT64", [], [1, 10**9, 0])}, "has more than 1,000,000 rows"),
        ({"small": tensor("small", "INT64", [7.5])}, "row 0: small: expected int64, got 7.5"),
        ({"small": tensor("small", "INT64", [1e400])}, "The body is not JSON"),
        ({"share": tensor("share", "FP64", [True])}, "row 0: share: expected float64, got true"),
        ({"small": tensor("small", "INT64", [None])}, "row 0: small: expected int64, got null"),
        ({"small": None}, "The request lacks the input 'small'."),
        ({"small": None, "flag": None}, "The request lacks the inputs 'flag', 'small'."),
        ({"x": tensor("x", "INT64", [7])}, "The model has no input 'x'. Its inputs: 'flag', 'small',"),
        ({"x": tensor("small", "INT64", [7])}, "The input 'small' is given twice."),
        ({"small": {"name": "small", "datatype": "INT64", "shape": [1]}}, "The input 'small' has neither data nor"),
        ({"small": {"name": "small", "shape": [1], "data": [1]}}, "The body is no infer request: Object missing"),
        ({"more": tensor("more", "BYTES", ["{"])}, "Row 0 of the input 'more' is not JSON: it ends too early."),
        ({"more": tensor("more", "BYTES", [5])}, "Row 0 of the input 'more' is a text that holds JSON, or null."),
        ({"day": tensor("day", "BYTES", ["today"])}, "row 0: day: expected date"),
        ({"data": tensor("data", "BYTES", ["?"])}, "row 0: data: expected bytes"),
        ({"tags": tensor("tags", "BYTES", [["x"], 3], [1, 2])}, "The data of 'tags' is not nested as [1, 2] says."),
        ({"text": tensor("text", "BYTES", ["bad"])}, "this text is bad"),
    ],
)
def test_what_does_not_fit_is_a_400_that_names_it(served: Served, changed: dict[str, Any], said: str) -> None:
    found = infer(served, row(**changed))
    assert found.status == (413 if "1,000,000" in said else 400)
    assert said in error(found)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "The body is not JSON: it is empty."),
        (b"{", "The body is not JSON: it ends too early."),
        (b"[]", "The body is no infer request"),
        (b"{}", "The body is no infer request: Object missing required field `inputs`."),
        (b'{"inputs":[]}', "The request lacks the inputs"),
        (b'{"inputs":3}', "The body is no infer request"),
        (b'{"inputs":[],"id":3}', "The body is no infer request"),
        (b'{"inputs":[' + b"[" * 5000, "The body is not JSON"),
        (b"\xff", "The body is not JSON"),
    ],
)
def test_what_is_no_infer_request(served: Served, body: bytes, said: str) -> None:
    found = infer(served, body)
    assert found.status == 400
    assert said in error(found)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"outputs": [{"name": "x"}]}, "The model has no output 'x'. Its outputs: 'prediction'."),
        ({"outputs": [{"name": "prediction"}] * 2}, "The output 'prediction' is asked for twice."),
        ({"parameters": {"binary_data_output": 1}}, "The parameter binary_data_output is true or false."),
        ({"parameters": {"timeout": "soon"}}, "The parameter timeout is a whole number of microseconds."),
        ({"parameters": {"timeout": 10**400}}, "The parameter timeout is a whole number of microseconds."),
        (
            {"outputs": [{"name": "prediction", "parameters": {"classification": 3}}]},
            "The output 'prediction': classification is not an extension here.",
        ),
    ],
)
def test_wishes_that_cannot_be_met(served: Served, changed: dict[str, Any], said: str) -> None:
    found = infer(served, {"inputs": [tensor("number", "INT64", [7])], **changed}, model="parity")
    assert (found.status, error(found)) == (400, said)


def test_a_failing_row_fails_the_request_and_is_named(served: Served) -> None:
    found = infer(served, {"inputs": [tensor("number", "INT64", [1, 13, 2, 66])]}, model="parity")
    assert found.status == 500
    assert error(found).startswith("2 of 4 rows failed (rows 1, 3); row 3: ValueError: sixty-six is too much for me")
    found = infer(served, {"inputs": [tensor("number", "INT64", [1, 13])]}, model="parity")
    assert (found.status, error(found)) == (400, "1 of 2 rows failed (row 1); row 1: thirteen brings bad luck")


def test_lists_of_unlike_lengths_are_no_tensor() -> None:
    @twofold.model
    def letters(text: str) -> list[str]:
        return list(text)

    with serving(letters) as served:
        found = infer(served, {"inputs": [tensor("text", "BYTES", ["ab", "abc"])]}, model="letters")
        assert found.status == 400
        assert "'prediction' has rows of unlike lengths (2 to 3), which are no tensor" in error(found)
        found = infer(served, {"inputs": [tensor("text", "BYTES", ["ab", "cd"])]}, model="letters")
        assert outputs(found)["prediction"] == tensor("prediction", "BYTES", ["a", "b", "c", "d"], [2, 2])


def test_the_timeout_shortens_the_deadline() -> None:
    with serving(models.many_at_once) as served:
        request = {"inputs": [tensor("milliseconds", "INT64", [2000])], "parameters": {"timeout": 50_000}}
        found = infer(served, request, model="many_at_once")
        assert found.status in (429, 504)
        assert error(found)


def test_a_body_that_is_too_large_or_compressed(served: Served) -> None:
    found = infer(served, b"x", "Content-Length: 99999999999")
    assert found.status == 413
    assert error(found).startswith("The body is larger than 32 MiB.")
    packed = gzip.compress(json.dumps(row()).encode())
    assert outputs(infer(served, packed, "Content-Encoding: gzip"))["small"]["data"] == [7]
    bomb = gzip.compress(b" " * (40 << 20))
    assert infer(served, bomb, "Content-Encoding: gzip").status == 413
    found = infer(served, row(), "Content-Encoding: br")
    assert found.status == 415
    assert error(found)
    assert found.headers["accept-encoding"] == "gzip, zstd"


# ---- binary content


def binary(header: Any, *contents: bytes) -> tuple[bytes, str]:
    text = json.dumps(header).encode()
    return b"".join([text, *contents]), f"Inference-Header-Content-Length: {len(text)}"


def described(name: str, content: bytes) -> dict[str, Any]:
    sent = ROW[name]
    return {
        **{key: sent[key] for key in ("name", "datatype", "shape")},
        "parameters": {"binary_data_size": len(content)},
    }


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


def test_both_ways_give_the_same_answers() -> None:
    bodies = [json.dumps({"inputs": [tensor("number", "INT64", [n])], "id": "x"}).encode() for n in (1, 13, 66)]
    bodies += [b"{}", b"nonsense", json.dumps({"inputs": [tensor("number", "INT64", [1, 2])]}).encode()]
    seen = []
    for fast_lane in (True, False):
        with serving(models.parity, fast_lane=fast_lane) as served:
            found = [infer(served, body, model="parity") for body in bodies]
            seen.append(
                [(reply.status, {**reply.headers, "date": "", "x-request-id": ""}, reply.body) for reply in found]
            )
    assert seen[0] == seen[1]


def test_the_table_knows_every_problem_of_http() -> None:
    assert {code: row.status for code, row in PROBLEMS.items() if STATUSES.get(code) != row.status} == {
        "row_does_not_fit": 422,
        "bad_row": 422,
    }
