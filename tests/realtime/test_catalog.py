"""Several models in one server: each under its name, the first also at `/predict`."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import twofold
from tests.realtime import models
from tests.realtime.serving import Served, ask, ask_once, connect, get, post, serving
from twofold._errors import UsageError
from twofold._realtime.backends import InlineBackend
from twofold._realtime.catalog import Catalog
from twofold._realtime.service import Service
from twofold._runner import Runner


@pytest.fixture(scope="module", params=[True, False], ids=["lane", "app"])
def two(request: pytest.FixtureRequest) -> Iterator[Served]:
    with serving(models.parity, models.payment, fast_lane=request.param) as served:
        yield served


PAYMENT = '{"amount": 50, "currency": "EUR", "items": []}'


def test_each_model_answers_under_its_name(two: Served):
    with connect(two.port) as sock:
        for _ in range(2):  # the second head is a remembered one
            assert ask(sock, post('{"number": 7}')).json == {"prediction": "Odd"}
            assert ask(sock, post('{"number": 7}', path="/models/parity/predict")).json == {"prediction": "Odd"}
            reply = ask(sock, post(PAYMENT, path="/models/payment/predict"))
            assert reply.json == {"score": 0.5, "label": "EUR"}
            assert ask(sock, post(PAYMENT, path="/models/%70ayment/predict")).status == 200
            assert ask(sock, post(PAYMENT)).status == 422


def test_the_version_is_that_of_the_model_that_answers(two: Served):
    for path, version in (
        ("/predict", "0123456789ab"),
        ("/models/parity/predict", "0123456789ab"),
        ("/models/payment/predict", "0123456789ac"),
    ):
        assert ask_once(two.port, post("{", path=path)).headers["model-version"] == version
        assert ask_once(two.port, get(path)).headers["model-version"] == version
    assert ask_once(two.port, get("/health/live")).headers["model-version"] == "0123456789ab"


def test_what_there_is(two: Served):
    listed = ask_once(two.port, get("/models")).json["models"]
    assert [model["name"] for model in listed] == ["parity", "payment"]
    assert [model["default"] for model in listed] == [True, False]
    payment = ask_once(two.port, get("/models/payment")).json
    assert payment["version"] == "0123456789ac"
    assert [field["name"] for field in payment["inputs"]] == ["amount", "currency", "items", "note", "express"]
    assert payment["predict"] == "/models/payment/predict"


@pytest.mark.parametrize("path", ["/models/fraud", "/models/fraud/predict"])
def test_a_name_that_is_not_there(two: Served, path: str):
    request = post("{}", path=path) if path.endswith("predict") else get(path)
    reply = ask_once(two.port, request)
    assert (reply.status, reply.code) == (404, "not_found")
    assert "The models here are parity, payment" in reply.json["detail"]


def test_the_description_covers_all(two: Served):
    document = ask_once(two.port, get("/openapi.json")).json
    assert {"/predict", "/models/parity/predict", "/models/payment/predict"} <= set(document["paths"])
    body = document["paths"]["/models/payment/predict"]["post"]["requestBody"]["content"]["application/json"]
    name = body["schema"]["oneOf"][0]["$ref"].rpartition("/")[2]
    assert "currency" in document["components"]["schemas"][name]["properties"]
    ids = [
        operation["operationId"]
        for item in document["paths"].values()
        for operation in item.values()
        if "operationId" in operation
    ]
    assert len(set(ids)) == len(ids)


def test_a_server_is_ready_when_all_its_models_are(two: Served):
    two.catalog["payment"].ready = False
    try:
        assert ask_once(two.port, get("/health/ready")).status == 503
    finally:
        two.catalog["payment"].ready = True


def test_a_name_is_used_once():
    model = twofold.load(models.parity)
    service = Service(model.signature, "1", model.name, InlineBackend(Runner(model)))
    with pytest.raises(UsageError, match="Two models have the name 'parity'"):
        Catalog([service, service])
    with pytest.raises(UsageError, match="no model"):
        Catalog([])
