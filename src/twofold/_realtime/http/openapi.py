"""The OpenAPI 3.1 description of the served models, made from their Signatures and the table of problems."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import quote

from twofold._realtime.catalog import Catalog
from twofold._realtime.http.access import OPEN
from twofold._realtime.http.media import ARROW, CSV, JSON, NPY, answer_forms, only_bytes
from twofold._realtime.http.openapi_chat import chat_paths
from twofold._realtime.http.openapi_oip import oip_paths, oip_schemas
from twofold._realtime.http.openapi_parts import (
    HEADERS,
    TERMS,
    Json,
    headers,
    page,
    predict_problems,
    problem_response,
    ref,
    schemas,
    titled,
)
from twofold._realtime.service import Service
from twofold._version import __version__

__all__ = ["openapi"]


def openapi(catalog: Catalog) -> Json:
    """The whole document, JSON-ready."""
    service = catalog.default
    paths = {path: item for protocol in PATHS for path, item in protocol(catalog).items()}
    for path, item in paths.items():
        for operation in item.values():
            if path in OPEN:
                operation["security"] = []
            else:
                operation["responses"].setdefault("401", problem_response(401, "unauthorized"))
    several = f" Beside it: {', '.join(list(catalog)[1:])}." if len(catalog) > 1 else ""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": service.name,
            "version": service.version,
            "summary": f"The model {service.name}, served by twofold {__version__}.{several}",
            "description": "Send one row and get one answer, or a list of rows and get a list of answers.",
            # complete, where a schema is not: what `twofold.connect` makes its client of
            "x-twofold-signature": service.signature.to_json(),
        },
        "paths": paths,
        "security": [{}, {"key": []}],  # a server has keys or not
        "components": {
            "schemas": {**_model_schemas(catalog), **schemas(), **oip_schemas()},
            "headers": HEADERS,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }


def _model_paths(catalog: Catalog) -> Json:
    paths: Json = {"/predict": {"post": _predict(catalog.default, 0)}}
    paths["/models"] = {"get": page("The models that are served.", "application/json", {"type": "object"})}
    for at, service in enumerate(catalog.values()):
        path = f"/models/{quote(service.name, safe='')}"
        about = f"The version, inputs and outputs of {service.name}."
        paths[path] = {"get": page(about, "application/json", {"type": "object"})}
        own = {"operationId": f"predict_{at}", "x-twofold-signature": service.signature.to_json()}
        own["x-twofold-version"] = service.version
        paths[f"{path}/predict"] = {"post": {**_predict(service, at), **own}}
    return paths


def _health_paths(_: Catalog) -> Json:
    return {
        "/health/live": {"get": _health("live", "The server process answers.", {})},
        "/health/ready": {
            "get": _health("ready", "New requests may come here.", {"503": problem_response(503, "not_ready")})
        },
    }


def _metrics_paths(_: Catalog) -> Json:
    about = "Counts and times of all processes, for Prometheus; with --metrics-port on that port only."
    return {"/metrics": {"get": page(about, "text/plain", {"type": "string"})}}


def _pages(_: Catalog) -> Json:
    return {
        "/openapi.json": {"get": page("This document.", "application/json", {"type": "object"})},
        "/docs": {"get": page("This document, to read.", "text/html", {"type": "string"})},
        "/": {"get": page("A form that sends a row.", "text/html", {"type": "string"})},
    }


COLUMNS = {
    ARROW: "An Arrow IPC stream, a column for each field.",
    NPY: "A .npy file: a column for each field in order, or fields with their names; rows alone where there is one.",
    CSV: "CSV in UTF-8; the first line has the names of the fields.",
}

# Each protocol describes its paths.
PATHS: tuple[Callable[[Catalog], Json], ...] = (
    _model_paths,
    chat_paths,
    oip_paths,
    _health_paths,
    _metrics_paths,
    _pages,
)


def _schema_names(at: int) -> tuple[str, str]:
    """The names of the schemas of a model's row and answer, by its place in the catalog."""
    return ("Row", "Answer") if at == 0 else (f"Row{at}", f"Answer{at}")


def _model_schemas(catalog: Catalog) -> Json:
    found: Json = {}
    for at, service in enumerate(catalog.values()):
        row, answer = _schema_names(at)
        of = "" if len(catalog) == 1 else f" of {service.name}"
        found[row] = titled(service.signature.json_schema("inputs"), row, f"The input of one row{of}.")
        found[answer] = titled(service.signature.json_schema("outputs"), answer, f"The output of one row{of}.")
    return found


def _predict(service: Service, at: int) -> Json:
    row, answer = map(ref, _schema_names(at))
    failed = ref("FailedRow")
    body: Json = {"schema": {"oneOf": [row, {"type": "array", "items": row}]}}
    if service.example is not None:
        example = service.signature.json_row(service.signature.inputs, service.example)
        body["examples"] = {
            "row": {"summary": "One row", "value": example},
            "list": {"summary": "A list of rows", "value": [example]},
        }
    answers: Json = {"oneOf": [answer, {"type": "array", "items": {"oneOf": [answer, failed]}}]}
    return {
        "operationId": "predict",
        "summary": "Predict" if at == 0 else f"Predict with {service.name}",
        "description": "A list with a row that does not fit is refused as a whole (422), naming up to ten rows. Rows "
        "on which the model fails leave the others their answers: 200, with an `error` item in their place.",
        "parameters": TERMS,
        "requestBody": {"required": True, "content": {"application/json": body, **_other_bodies(service)}},
        "responses": {
            "200": {
                "description": "One answer for one row; for a list, a list of the same length and order.",
                "headers": {**headers(), "Twofold-Failed-Rows": {"$ref": "#/components/headers/FailedRows"}},
                "content": {
                    "application/json": {"schema": answers},
                    **{
                        form: {"schema": _columns(form)}
                        for form in answer_forms(service.signature, JSON)
                        if form != JSON
                    },
                    **(_events() if service.streams else {}),
                },
            },
            **predict_problems(),
        },
    }


def _other_bodies(service: Service) -> Json:
    """What a model reads beside JSON: bulk, or the bytes of the only field."""
    if only_bytes(service.signature):
        about = "The value of the field, as it is; under any type but application/json."
        return {"application/octet-stream": {"schema": {"type": "string", "format": "binary", "description": about}}}
    return {form: {"schema": _columns(form)} for form in (ARROW, NPY, CSV)}


def _columns(form: str) -> Json:
    return {"type": "string", "format": "binary", "description": COLUMNS[form]}


def _events() -> Json:
    """Of a model that yields, for those who ask for it."""
    about = "Server-Sent Events: each piece of the answer to one row, then `end`, or `error` with problem details."
    return {"text/event-stream": {"schema": {"description": about}}}


def _health(word: str, meaning: str, others: Json) -> Json:
    schema = {"type": "object", "properties": {"status": {"const": word}}, "required": ["status"]}
    return page(meaning, "application/json", schema, others)
