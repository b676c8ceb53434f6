"""What a client sees of a served model: routes, statuses, problems, the description of it all, the pages."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import pytest

from tests.realtime import models
from tests.realtime.serving import VERSION, Served, ask, ask_once, chunked, connect, get, post, serving
from twofold._realtime.http.problems import PROBLEMS

JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def parity() -> Iterator[Served]:
    with serving(models.parity, max_body_bytes=1 << 20) as served:
        yield served


@pytest.fixture(scope="module")
def payment() -> Iterator[Served]:
    with serving(models.payment) as served:
        yield served


@pytest.fixture
def client(parity: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{parity.port}") as client:
        yield client


def predict(client: httpx.Client, body: str | bytes) -> httpx.Response:
    return client.post("/predict", content=body, headers=JSON)


def test_one_row_answers_an_object(client: httpx.Client):
    answer = predict(client, '{"number": 7}')
    assert answer.status_code == 200
    assert answer.json() == {"prediction": "Odd"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["model-version"] == VERSION
    assert "twofold-failed-rows" not in answer.headers


def test_a_list_answers_a_list_in_order(client: httpx.Client):
    rows = [{"number": n} for n in range(20, 40)]
    answer = predict(client, json.dumps(rows))
    assert answer.json() == [{"prediction": "Even" if n % 2 == 0 else "Odd"} for n in range(20, 40)]
    assert predict(client, "[]").json() == []
    assert predict(client, '[{"number": 7}]').json() == [{"prediction": "Odd"}]


def test_a_long_list_is_cut_into_calls_and_keeps_its_order(client: httpx.Client):
    rows = [{"number": n} for n in range(100, 5100)]
    answer = predict(client, json.dumps(rows)).json()
    assert [item["prediction"] for item in answer] == ["Even", "Odd"] * 2500


def test_rows_on_which_the_model_fails_leave_the_others_their_answers(client: httpx.Client):
    answer = predict(client, '[{"number": 66}, {"number": 7}, {"number": 13}]')
    assert answer.status_code == 200
    assert answer.headers["twofold-failed-rows"] == "2"
    failed, odd, refused = answer.json()
    assert odd == {"prediction": "Odd"}
    assert failed["error"]["code"] == "model_failed"
    assert "sixty-six is too much for me" in failed["error"]["message"]
    assert refused == {"error": {"code": "bad_row", "message": "thirteen brings bad luck"}}


def test_every_row_of_a_list_may_fail(client: httpx.Client):
    answer = predict(client, '[{"number": 66}, {"number": 13}]')
    assert answer.status_code == 200
    assert [item["error"]["code"] for item in answer.json()] == ["model_failed", "bad_row"]


def check_problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["model-version"] == VERSION
    body: dict[str, Any] = answer.json()
    assert body["status"] == status
    assert body["code"] == code
    assert PROBLEMS[code].status == status
    assert body["title"] == PROBLEMS[code].title
    assert body["detail"]
    for error in body["errors"]:
        assert list(error) == ["row", "field", "expected", "got", "message"]
    return body


def test_the_models_failure_is_a_500_without_its_traceback(client: httpx.Client):
    body = check_problem(predict(client, '{"number": 66}'), 500, "model_failed")
    assert "ValueError: sixty-six is too much for me" in body["detail"]
    assert "Traceback" not in str(body)


def test_a_bad_row_is_a_422_with_the_models_words(client: httpx.Client):
    body = check_problem(predict(client, '{"number": 13}'), 422, "bad_row")
    assert body["detail"] == "thirteen brings bad luck"


@pytest.mark.parametrize("text", ["", "{", "{'number': 7}", '{"number": NaN}', '{"number": 7} x', "[{}", "\x00", "nul"])
def test_what_is_not_json_is_a_400(client: httpx.Client, text: str):
    check_problem(predict(client, text), 400, "not_json")


@pytest.mark.parametrize(
    ("text", "field", "row"),
    [
        ('{"number": "7"}', "number", 0),
        ('{"number": 7.5}', "number", 0),
        ('{"number": true}', "number", 0),
        ('{"number": null}', "number", 0),
        ('{"number": 9223372036854775808}', "number", 0),
        ("{}", "number", 0),
        ('{"number": 7, "nummer": 7}', "nummer", 0),
        ('[{"number": 7}, {"number": "x"}]', "number", 1),
        ("7", "", 0),
    ],
)
def test_a_row_that_does_not_fit_is_a_422_naming_the_field(client: httpx.Client, text: str, field: str, row: int):
    body = check_problem(predict(client, text), 422, "row_does_not_fit")
    (error,) = body["errors"]
    assert (error["field"], error["row"]) == (field, row)
    assert error["message"]


def test_up_to_ten_rows_are_named_and_nothing_is_computed(client: httpx.Client):
    rows: list[dict[str, object]] = [{"number": n} for n in range(30)]
    for n in range(5, 25):
        rows[n] = {"number": "x" * 200}
    body = check_problem(predict(client, json.dumps(rows)), 422, "row_does_not_fit")
    assert [error["row"] for error in body["errors"]] == list(range(5, 15))
    assert all(len(error["got"]) <= 100 for error in body["errors"])


def test_an_integer_written_as_a_float_is_an_integer(client: httpx.Client):
    assert predict(client, '{"number": 7.0}').json() == {"prediction": "Odd"}
    assert predict(client, '{"number": 9007199254740993.0}').json() == {"prediction": "Odd"}


def test_methods_and_paths(client: httpx.Client):
    for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"):
        answer = client.request(method, "/predict")
        assert answer.status_code == 405
        assert answer.headers["allow"] == "POST"
    check_problem(client.get("/predict"), 405, "method_not_allowed")
    answer = client.post("/health/live")
    check_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "GET, HEAD"
    body = check_problem(client.get("/nothing"), 404, "not_found")
    assert "/predict" in body["detail"]
    check_problem(client.post("/predict/"), 404, "not_found")


def test_a_body_of_another_type_is_a_415(client: httpx.Client):
    for content_type in ("text/html", "application/x-www-form-urlencoded", "application/jsonx", ""):
        answer = client.post("/predict", content='{"number": 7}', headers={"content-type": content_type})
        body = check_problem(answer, 415, "unsupported_media_type")
        assert "application/json" in body["detail"]
    answer = client.post("/predict", content=b"x", headers={**JSON, "content-encoding": "br"})
    assert "gzip" in check_problem(answer, 415, "unsupported_media_type")["detail"]
    assert answer.headers["accept-encoding"] == "gzip, zstd"


def test_a_large_body_is_refused_before_it_is_read(parity: Served):
    with connect(parity.port) as sock:
        reply = ask(sock, post(b"", "Content-Length: 99999999999"))
        assert (reply.status, reply.code) == (413, "body_too_large")
        assert "--max-body" in reply.json["detail"]
        assert "1 MiB" in reply.json["detail"]
    with connect(parity.port) as sock:  # and in chunks, as soon as there are too many
        head = post(b"", "Transfer-Encoding: chunked")
        reply = ask(sock, head + chunked(b"[" + b" " * (1 << 20) + b"]")[:-5])
        assert (reply.status, reply.code) == (413, "body_too_large")
        sock.sendall(b"0\r\n\r\n")
        assert ask(sock, post('{"number": 7}')).status == 200


def test_a_refused_body_without_end_does_not_keep_the_server_busy(parity: Served):
    with connect(parity.port) as sock:
        assert ask(sock, post(b"", "Content-Length: 99999999999")).status == 413
        with pytest.raises(OSError):  # noqa: PT012
            for _ in range(1000):
                sock.sendall(b" " * (1 << 20))


def test_health(client: httpx.Client, parity: Served):
    assert client.get("/health/live").json() == {"status": "live"}
    assert client.get("/health/ready").json() == {"status": "ready"}
    assert client.head("/health/ready").status_code == 200
    parity.service.ready = False
    try:
        check_problem(client.get("/health/ready"), 503, "not_ready")
        assert client.get("/health/live").status_code == 200
    finally:
        parity.service.ready = True


def test_structs_options_and_floats(payment: Served):
    with httpx.Client(base_url=f"http://127.0.0.1:{payment.port}") as client:
        row = '{"amount": 12.5, "currency": "EUR", "items": ["a"]}'
        assert predict(client, row).json() == {"score": 0.125, "label": "EUR"}
        assert predict(client, '{"amount": "Infinity", "currency": "USD", "items": []}').json()["score"] == "Infinity"
        body = check_problem(
            predict(client, '{"amount": -1, "currency": "GBP", "items": [7]}'), 422, "row_does_not_fit"
        )
        assert {error["field"] for error in body["errors"]} <= {"amount", "currency", "items", "items[0]", "items.0"}


class TestDescription:
    def test_it_is_valid_and_names_what_the_server_does(self, client: httpx.Client, payment: Served):
        for port in (client.base_url.port, payment.port):
            document = httpx.get(f"http://127.0.0.1:{port}/openapi.json").json()
            assert document["openapi"] == "3.1.0"
            check_openapi(document)
            responses = document["paths"]["/predict"]["post"]["responses"]
            assert set(responses) == {"200", *(str(row.status) for row in PROBLEMS.values() if row.predict)}
            for response in responses.values():
                assert "Model-Version" in response["headers"]

    def test_the_examples_fit_and_are_answered(self, payment: Served):
        base = f"http://127.0.0.1:{payment.port}"
        body = httpx.get(f"{base}/openapi.json").json()["paths"]["/predict"]["post"]["requestBody"]
        examples = body["content"]["application/json"]["examples"]
        assert examples["row"]["value"] == {
            "amount": 12.5,
            "currency": "EUR",
            "items": ["book", "pen"],
            "note": None,
            "express": True,
        }
        for example in examples.values():
            assert httpx.post(f"{base}/predict", json=example["value"]).status_code == 200

    def test_a_model_without_example(self):
        with serving(models.long_answers) as served:
            document = ask_once(served.port, get("/openapi.json")).json
            check_openapi(document)
            assert "examples" not in document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]


def check_openapi(document: dict[str, Any]) -> None:
    """What the OpenAPI 3.1 specification requires of the parts that we use; references lead somewhere."""
    assert set(document) == {"openapi", "info", "paths", "security", "components"}
    assert document["info"]["title"]
    assert isinstance(document["info"]["version"], str)
    for path, methods in document["paths"].items():
        assert path.startswith("/")
        for method, operation in methods.items():
            assert method in {"get", "post"}
            assert ("401" in operation["responses"]) == (operation.get("security") != [])
            for status, response in operation["responses"].items():
                assert re.fullmatch("[1-5][0-9][0-9]", status)
                assert response["description"]
                for media in response.get("content", {}).values():
                    assert set(media) <= {"schema", "examples"}
    for kind in document["components"]:
        assert kind in {"schemas", "headers", "securitySchemes"}

    def follow(value: Any) -> None:
        if isinstance(value, dict):
            if isinstance(reference := value.get("$ref"), str):
                found: Any = document
                for part in reference.removeprefix("#/").split("/"):
                    found = found[part]
            for key, item in value.items():
                assert key != "$schema"
                follow(item)
        elif isinstance(value, list):
            for item in value:
                follow(item)

    follow(document)


class _Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        for name in ("src", "href"):
            if link := named.get(name):
                self.links.add(link)
        if identifier := named.get("id"):
            self.ids.add(identifier)


def test_the_pages_work_offline(client: httpx.Client):
    """Whatever the pages refer to is on this server, or in themselves."""
    scripts = []
    ids: set[str] = set()
    for path in ("/", "/docs"):
        page = client.get(path)
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert "default-src 'self'" in page.headers["content-security-policy"]
        links = _Links()
        links.feed(page.text)
        ids |= links.ids
        for link in links.links:
            assert link.startswith(("/", "data:")), link
            if link.startswith("/"):
                found = client.get(link)
                assert found.status_code == 200, link
                if link.endswith(".js"):
                    assert found.headers["content-type"].startswith("text/javascript")
                    scripts.append(found.text)
    assert len(scripts) == 2
    for script in scripts:
        for imported in re.findall(r'from "([^"]+)"', script):
            assert client.get(imported).status_code == 200
        for identifier in re.findall(r'(?:byId|getElementById)\("([^"]+)"\)', script):
            assert identifier in ids
        assert "http://" not in script
        assert "https://" not in script
        assert "innerHTML" not in script


def test_a_keep_alive_connection_serves_many_kinds_of_requests(parity: Served):
    with connect(parity.port) as sock:
        for _ in range(3):
            assert ask(sock, get("/health/live")).status == 200
            assert ask(sock, post('{"number": 8}')).json == {"prediction": "Even"}
            assert ask(sock, post("{")).status == 400
            assert ask(sock, get("/nothing")).status == 404
            assert ask(sock, post('{"number": 66}')).status == 500
