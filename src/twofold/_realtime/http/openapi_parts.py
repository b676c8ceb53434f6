"""The parts of an OpenAPI document that the protocols share: schemas, headers, responses."""

from __future__ import annotations

from typing import Any

from twofold._realtime.http.problems import PROBLEMS

__all__ = [
    "HEADERS",
    "TERMS",
    "Json",
    "headers",
    "page",
    "predict_problems",
    "problem_response",
    "ref",
    "schemas",
    "titled",
]

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
REQUEST_ID: Json = {
    "description": "The request's own X-Request-Id; an error, or an answer with failed rows, has one in any case.",
    "schema": {"type": "string", "maxLength": 128},
}
HEADERS: Json = {"ModelVersion": MODEL_VERSION, "FailedRows": FAILED_ROWS, "RequestId": REQUEST_ID}
TERMS: list[Json] = [
    {
        "name": "X-Deadline-Ms",
        "in": "header",
        "description": "Milliseconds that the answer is worth waiting for; it can only shorten the server's deadline.",
        "schema": {"type": "integer", "minimum": 1, "maximum": 999999999},
    },
    {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Is given back with the answer, and stands in errors and logs. Up to 128 visible ASCII "
        "characters without quotation marks and backslashes; another one is ignored.",
        "schema": {"type": "string"},
    },
]


def schemas() -> Json:
    """The schemas that do not depend on a model."""
    return {"FailedRow": FAILED_ROW, "FieldError": FIELD_ERROR, "Problem": _problem_schema()}


def predict_problems() -> Json:
    """Status -> response, for all that can go wrong with a prediction."""
    responses: Json = {}
    for status in sorted({row.status for row in PROBLEMS.values() if row.predict}):
        codes = [row.code for row in PROBLEMS.values() if row.status == status and row.predict]
        responses[str(status)] = problem_response(status, *codes)
    return responses


def headers() -> Json:
    return {
        "Model-Version": {"$ref": "#/components/headers/ModelVersion"},
        "X-Request-Id": {"$ref": "#/components/headers/RequestId"},
    }


def ref(schema: str) -> Json:
    return {"$ref": f"#/components/schemas/{schema}"}


def titled(schema: Json, title: str, description: str) -> Json:
    shown = {key: value for key, value in schema.items() if key != "$schema"}
    return {"title": title, "description": description, **shown}


def problem_response(status: int, *codes: str) -> Json:
    response: Json = {
        "description": "; ".join(f"`{code}`: {PROBLEMS[code].title}" for code in codes),
        "headers": headers(),
        "content": {"application/problem+json": {"schema": ref("Problem")}},
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
            "errors": {"type": "array", "items": ref("FieldError"), "maxItems": 10},
            "request_id": {"type": "string", "description": "As in the header X-Request-Id."},
        },
        "required": ["type", "title", "status", "detail", "code", "errors", "request_id"],
    }


def page(description: str, content_type: str, schema: Json, others: Json | None = None) -> Json:
    response = {"description": description, "headers": headers(), "content": {content_type: {"schema": schema}}}
    return {"summary": description, "responses": {"200": response, **(others or {})}}
