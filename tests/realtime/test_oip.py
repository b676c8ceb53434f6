"""The Open Inference Protocol over REST, against a server in a thread: bytes of HTTP in and out."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest

import twofold
from tests.realtime import models
from tests.realtime.oip_asks import ROW, error, infer, outputs, row, same, tensor
from tests.realtime.serving import Served, ask_once, get, serving
from twofold._realtime.http.problems import PROBLEMS
from twofold._realtime.oip.errors import STATUSES


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with serving(same, models.parity, models.long_answers) as found:
        yield found


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
