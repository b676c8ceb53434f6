"""What OpenAPI says of the Open Inference Protocol's routes."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from twofold._realtime.catalog import Catalog
from twofold._realtime.http.openapi_parts import TERMS, Json, headers, page, problem_response, ref
from twofold._realtime.oip.errors import STATUSES
from twofold._realtime.oip.model import OipModel
from twofold._realtime.oip.tensors import DTYPES
from twofold._realtime.service import Service

__all__ = ["oip_paths", "oip_schemas"]

NOT_OF_INFER = (
    "not_ready",
    "request_timeout",
    "headers_too_large",
    "method_not_allowed",
    "not_acceptable",
    "not_found",
)


def oip_paths(catalog: Catalog) -> Json:
    paths: Json = {
        "/v2": {"get": _page("The server, in the Open Inference Protocol.", "OipServer")},
        "/v2/health/live": {"get": _health("The server process answers.")},
        "/v2/health/ready": {"get": _health("New requests may come here.", unready=True)},
        "/v2/models": {"get": _page("The names of the models.", None)},
    }
    for at, service in enumerate(catalog.values()):
        for version in ("", f"/versions/{service.version}"):
            path = f"/v2/models/{quote(service.name, safe='')}{version}"
            paths[path] = {"get": _page(f"The inputs and outputs of {service.name}, as tensors.", "OipModel")}
            paths[f"{path}/ready"] = {"get": _page(f"{service.name} can answer.", None, unready=True)}
            paths[f"{path}/infer"] = {"post": _infer(service, at, versioned=bool(version))}
    return paths


def oip_schemas() -> Json:
    """The schemas of the protocol."""
    named: Json = {"type": "string"}
    shape: Json = {"type": "array", "items": {"type": "integer"}, "description": "The first size is rows; -1: any."}
    datatype: Json = {"type": "string", "enum": [*DTYPES, "BYTES"]}
    described = _object({"name": named, "datatype": datatype, "shape": shape})
    parameters: Json = {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}}
    tensor = _object(
        {"name": named, "datatype": datatype, "shape": shape},
        {"parameters": parameters, "data": {"type": "array", "description": "Flat or nested, row by row."}},
    )
    output = _object({"name": named}, {"parameters": parameters})
    request_id: Json = {"id": {"type": "string"}}
    return {
        "OipServer": _object(
            {"name": named, "version": named, "extensions": {"type": "array", "items": {"type": "string"}}}
        ),
        "OipModel": _object(
            {
                "name": named,
                "versions": {"type": "array", "items": {"type": "string"}},
                "platform": named,
                "inputs": {"type": "array", "items": described},
                "outputs": {"type": "array", "items": described},
            }
        ),
        "OipRequest": _object(
            {"inputs": {"type": "array", "items": tensor}},
            {**request_id, "parameters": parameters, "outputs": {"type": "array", "items": output}},
        ),
        "OipAnswer": _object(
            {"model_name": named, "model_version": named, "outputs": {"type": "array", "items": tensor}}, request_id
        ),
        "OipError": _object({"error": named}),
    }


def _object(required: Json, optional: Json | None = None) -> Json:
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


def _error(status: int) -> Json:
    codes = [code for code, found in STATUSES.items() if found == status]
    return {
        "description": ", ".join(f"`{code}`" for code in codes),
        "headers": headers(),
        "content": {"application/json": {"schema": ref("OipError")}},
    }


def _page(about: str, schema: str | None, *, unready: bool = False) -> Json:
    others = {"401": _error(401)}
    if unready:
        others["503"] = page(about, "application/json", {"type": "object"})["responses"]["200"]
    return page(about, "application/json", {"type": "object"} if schema is None else ref(schema), others)


def _health(about: str, *, unready: bool = False) -> Json:
    shown = _page(about, None, unready=unready)
    del shown["responses"]["401"]
    return shown


def _infer(service: Service, at: int, *, versioned: bool) -> Json:
    body: Json = {"schema": ref("OipRequest")}
    if service.example is not None:
        body["example"] = {"inputs": OipModel(service).example_inputs()}
    binary: Json = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
    statuses = sorted({status for code, status in STATUSES.items() if code not in NOT_OF_INFER})
    length: Json = {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "Bytes of JSON at the start of a body that goes on with binary content.",
        "schema": {"type": "integer", "minimum": 0},
    }
    responses: dict[str, Any] = {
        "200": {
            "description": "The outputs of all rows. A row that fails fails the request, and the error names it.",
            "headers": headers(),
            "content": {"application/json": {"schema": ref("OipAnswer")}, **binary},
        },
        **{str(status): _error(status) for status in statuses},
        # said before it is known which protocol it is
        "408": problem_response(408, "request_timeout"),
        "431": problem_response(431, "headers_too_large"),
    }
    return {
        "operationId": f"infer_{at}{'_version' if versioned else ''}",
        "summary": f"Infer with {service.name}",
        "description": "The Open Inference Protocol: tensors in, tensors out, as JSON or with binary content.",
        "parameters": [*TERMS, length],
        "requestBody": {"required": True, "content": {"application/json": body, **binary}},
        "responses": dict(sorted(responses.items())),
    }
