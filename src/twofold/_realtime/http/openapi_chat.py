"""The OpenAI-compatible paths in the OpenAPI document, where a model answers chats."""

from __future__ import annotations

from typing import Any

from twofold._realtime.catalog import Catalog
from twofold._realtime.http.openapi_parts import TERMS, Json, headers, page

__all__ = ["chat_paths"]

MESSAGE: Json = {
    "type": "object",
    "properties": {"role": {"type": "string"}, "content": {}},
    "required": ["role"],
}
ERROR: Json = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"enum": ["invalid_request_error", "rate_limit_error", "server_error"]},
                "param": {"type": ["string", "null"]},
                "code": {"type": "string"},
            },
            "required": ["message", "type", "param", "code"],
        }
    },
    "required": ["error"],
}
STATUSES = ("400", "401", "404", "408", "413", "415", "429", "431", "500", "503", "504")


def chat_paths(catalog: Catalog) -> Json:
    names = [name for name, service in catalog.items() if service.chat]
    if not names:
        return {}
    anything: Json = {"type": "object"}
    one = page("One of them.", "application/json", anything, _errors("401", "404"))
    name: Json = {"name": "name", "in": "path", "required": True, "schema": {"enum": names}}
    return {
        "/v1/chat/completions": {"post": _completion(names)},
        "/v1/models": {"get": page("The models that answer chats.", "application/json", anything, _errors("401"))},
        "/v1/models/{name}": {"get": {**one, "parameters": [name]}},
    }


def _completion(names: list[str]) -> Json:
    asked: Json = {
        "type": "object",
        "description": "As of OpenAI; every input of the model is taken by its name.",
        "properties": {
            "model": {"enum": [*names, None]},
            "messages": {"type": "array", "minItems": 1, "items": MESSAGE},
            "stream": {"type": ["boolean", "null"]},
        },
        "required": ["messages"],
    }
    answers: Json = {
        "application/json": {"schema": {"type": "object"}},
        "text/event-stream": {"schema": {"description": "chat.completion.chunk objects, and [DONE]."}},
    }
    about = "A chat.completion; with `stream` chat.completion.chunk objects as Server-Sent Events."
    return {
        "operationId": "complete_chat",
        "summary": "Answer a chat, as OpenAI's API does",
        "parameters": TERMS,
        "requestBody": {"required": True, "content": {"application/json": {"schema": asked}}},
        "responses": {"200": {"description": about, "headers": headers(), "content": answers}, **_errors(*STATUSES)},
    }


def _errors(*statuses: str) -> dict[str, Any]:
    error: Json = {
        "description": "An error as OpenAI's API words it.",
        "headers": headers(),
        "content": {"application/json": {"schema": ERROR}},
    }
    return dict.fromkeys(statuses, error)
