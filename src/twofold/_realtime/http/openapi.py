"""The OpenAPI 3.1 description of one served model, made from its Signature and the table of problems."""

from __future__ import annotations

from typing import Any

from twofold._realtime.http.problems import PROBLEMS
from twofold._realtime.service import Service
from twofold._version import __version__

__all__ = ["openapi"]

Json = dict[str, Any]

FIELD_ERROR: Json = {
    "type": "object",
    "description": "One value that does not fit its field.",
    "properties": {
        "row": {"type": "integer", "description": "Counts from 0 within the request."},
        "field": {"type": "string", "description": "A dotted path; empty when the row itself is at fault."},
        "expected": {"type": "string"},
        "got": {"type": "string", "maxLength": 100},
        "message": {"type": "string"},
    },
    "required": ["row", "field", "expected", "got", "message"],
}
FAILED_ROW: Json = {
    "type": "object",
    "description": "Stands in a list of answers in the place of a row that failed.",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "code": {"type": "string", "enum": ["bad_row", "model_failed", "worker_lost", "row_does_not_fit"]},
                "message": {"type": "string"},
                "field": {"type": "string"},
            },
            "required": ["code", "message"],
        }
    },
    "required": ["error"],
    "additionalProperties": False,
}
MODEL_VERSION: Json = {
    "description": "The version of the model that answered: 12 hexadecimal digits of its fingerprint.",
    "schema": {"type": "string"},
}
FAILED_ROWS: Json = {
    "description": "How many rows of a list failed; absent when none did.",
    "schema": {"type": "integer", "minimum": 1},
}


def openapi(service: Service) -> Json:
    """The whole document, JSON-ready."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": service.name,
            "version": service.version,
            "summary": f"The model {service.name}, served by twofold {__version__}.",
            "description": "Send one row and get one answer, or a list of rows and get a list of answers.",
            # complete, where a schema is not: what `twofold.connect` makes its client of
            "x-twofold-signature": service.signature.to_json(),
        },
        "paths": {
            "/predict": {"post": _predict(service)},
            "/health/live": {"get": _health("live", "The server process answers.", {})},
            "/health/ready": {
                "get": _health("ready", "New requests may come here.", {"503": _problem_response(503, "not_ready")})
            },
            "/openapi.json": {"get": _page("This document.", "application/json", {"type": "object"})},
            "/docs": {"get": _page("This document, to read.", "text/html", {"type": "string"})},
            "/": {"get": _page("A form that sends a row.", "text/html", {"type": "string"})},
        },
        "components": {
            "schemas": {
                "Row": _titled(service.signature.json_schema("inputs"), "Row", "The input of one row."),
                "Answer": _titled(service.signature.json_schema("outputs"), "Answer", "The output of one row."),
                "FailedRow": FAILED_ROW,
                "FieldError": FIELD_ERROR,
                "Problem": _problem_schema(),
            },
            "headers": {"ModelVersion": MODEL_VERSION, "FailedRows": FAILED_ROWS},
        },
    }


def _predict(service: Service) -> Json:
    row, answer, failed = _ref("Row"), _ref("Answer"), _ref("FailedRow")
    body: Json = {"schema": {"oneOf": [row, {"type": "array", "items": row}]}}
    if service.example is not None:
        example = service.signature.json_row(service.signature.inputs, service.example)
        body["examples"] = {
            "row": {"summary": "One row", "value": example},
            "list": {"summary": "A list of rows", "value": [example]},
        }
    answers: Json = {"oneOf": [answer, {"type": "array", "items": {"oneOf": [answer, failed]}}]}
    responses: Json = {
        "200": {
            "description": "One answer for one row; for a list, a list of the same length and order.",
            "headers": {**_headers(), "Twofold-Failed-Rows": {"$ref": "#/components/headers/FailedRows"}},
            "content": {"application/json": {"schema": answers}},
        }
    }
    for status in sorted({row.status for row in PROBLEMS.values() if row.predict}):
        codes = [row.code for row in PROBLEMS.values() if row.status == status and row.predict]
        responses[str(status)] = _problem_response(status, *codes)
    return {
        "operationId": "predict",
        "summary": "Predict",
        "description": "A list with a row that does not fit is refused as a whole (422), naming up to ten rows. Rows "
        "on which the model fails leave the others their answers: 200, with an `error` item in their place.",
        "requestBody": {"required": True, "content": {"application/json": body}},
        "responses": responses,
    }


def _headers() -> Json:
    return {"Model-Version": {"$ref": "#/components/headers/ModelVersion"}}


def _ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def _titled(schema: Json, title: str, description: str) -> Json:
    shown = {key: value for key, value in schema.items() if key != "$schema"}
    return {"title": title, "description": description, **shown}


def _problem_response(status: int, *codes: str) -> Json:
    response: Json = {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "headers": _headers(),
        "content": {"application/problem+json": {"schema": _ref("Problem")}},
    }
    if status == 405:
        response["headers"]["Allow"] = {"schema": {"type": "string"}, "description": "The methods of this path."}
    if status == 429:
        response["headers"]["Retry-After"] = {
            "schema": {"type": "integer", "minimum": 1},
            "description": "Seconds after which it may be worth trying again.",
        }
    return response


def _problem_schema() -> Json:
    return {
        "type": "object",
        "description": "RFC 9457 problem details.",
        "properties": {
            "type": {"type": "string"},
            "title": {"type": "string"},
            "status": {"type": "integer"},
            "detail": {"type": "string"},
            "code": {"type": "string", "enum": list(PROBLEMS)},
            "errors": {"type": "array", "items": _ref("FieldError"), "maxItems": 10},
        },
        "required": ["type", "title", "status", "detail", "code", "errors"],
    }


def _health(word: str, meaning: str, others: Json) -> Json:
    schema = {"type": "object", "properties": {"status": {"const": word}}, "required": ["status"]}
    return _page(meaning, "application/json", schema, others)


def _page(description: str, content_type: str, schema: Json, others: Json | None = None) -> Json:
    response = {"description": description, "headers": _headers(), "content": {content_type: {"schema": schema}}}
    return {"summary": description, "responses": {"200": response, **(others or {})}}
