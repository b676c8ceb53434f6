"""What a server's replies say: answers, failed rows, problems, and which model is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, NoReturn
from urllib.parse import quote

import msgspec

from twofold._errors import (
    BadRow,
    DeadlineExceeded,
    FieldError,
    ModelFailed,
    RequestFailed,
    RowFailure,
    RowsDoNotFit,
    Unreachable,
    UsageError,
    WorkerLost,
)
from twofold._signature import Signature
from twofold._wire.exchange import Reply

__all__ = ["Described", "described", "failure_in", "items", "refuse", "route"]

FAILURES: Final[dict[str, type[RequestFailed]]] = {
    kind.code: kind for kind in (ModelFailed, WorkerLost, DeadlineExceeded)
}


@dataclass(frozen=True, slots=True)
class Described:
    """A served model. `example`: a row as JSON, or None."""

    name: str
    version: str
    signature: Signature
    example: dict[str, Any] | None


def route(model: str) -> str:
    """Where a model of this name is asked; "" is the only one, or the first."""
    return f"/models/{quote(model, safe='')}/predict" if model else "/predict"


def described(document: Reply, url: str, model: str) -> Described:
    """The model that the server's OpenAPI document tells of."""
    if document.status in (401, 403):
        refuse(document, "the model", url)
    try:
        found = msgspec.json.decode(document.body) if document.status == 200 else {}
        info, paths = found["info"], found["paths"]
        known = Signature.from_json(info["x-twofold-signature"])
        operation = paths.get(route(model), {}).get("post")
        if model and operation is None:
            names = [path.split("/")[2] for path in paths if path.startswith("/models/") and path.endswith("/predict")]
            raise UsageError(
                f"{url} serves no model {model!r}. It serves {', '.join(names) or info['title']}.", url=url
            )
        operation = operation or {}
        own = operation.get("x-twofold-signature") if model else None
        signature = Signature.from_json(own) if own else known
        version = info["version"] if not model or model == info["title"] else operation.get("x-twofold-version", "")
        return Described(model or info["title"], version, signature, _example(operation))
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError, AttributeError, IndexError):
        raise Unreachable(
            f"what answers at {url} is no twofold server of this version: its /openapi.json does not "
            "describe a model. Check the address.",
            url=url,
        ) from None


def _example(operation: dict[str, Any]) -> dict[str, Any] | None:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    found = content.get("examples", {}).get("row", {}).get("value")
    return found if isinstance(found, dict) else None


def items(reply: Reply, n_rows: int, url: str) -> list[bytes]:
    """The JSON text of each answer of a list."""
    found = [bytes(item) for item in msgspec.json.decode(reply.body, type=list[msgspec.Raw])]
    if len(found) != n_rows:
        raise RequestFailed(f"{url} gave {len(found)} answers to {n_rows} rows.", url=url)
    return found


def failure_in(text: bytes) -> RowFailure | None:
    """What stands in the place of an answer: `{"error": {"code": …, "message": …}}`."""
    found = msgspec.json.decode(text)
    error = found.get("error") if len(found) == 1 else None
    if not isinstance(error, dict) or "code" not in error:
        return None
    return RowFailure(error["code"], error.get("message", ""), field=error.get("field", ""))


def refuse(reply: Reply, name: str, url: str, first_row: int = 0) -> NoReturn:
    """Raise what the server's problem details say. `first_row`: how many rows went before this request."""
    found = _problem(reply)
    if found is None:
        raise RequestFailed(
            f"{url} answered {reply.status} {reply.reason}, which is not an answer of twofold's. "
            "Is something else between here and the server?",
            code=f"http_{reply.status}",
            url=url,
            status=reply.status,
        )
    code, detail = found["code"], found["detail"]
    if code == "row_does_not_fit" and found.get("errors"):
        errors = [FieldError(**{**error, "row": error["row"] + first_row}) for error in found["errors"]]
        raise RowsDoNotFit(errors)
    if code == "bad_row":
        raise BadRow(detail)
    kind = FAILURES.get(code, RequestFailed)
    raise kind(f"{name} at {url}: {detail}", code=code, url=url, status=reply.status)


def _problem(reply: Reply) -> dict[str, Any] | None:
    """Our problem details, or None for an answer of somebody else."""
    try:
        found = msgspec.json.decode(reply.body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if isinstance(found, dict) and {"code", "detail"} <= found.keys() else None
