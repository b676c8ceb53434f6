"""The one table of what can go wrong over HTTP, and its form: RFC 9457 problem details."""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Protocol

from twofold._errors import FieldError, RowFailure, shorten
from twofold._realtime.limits import Refused

__all__ = [
    "CONNECTION",
    "CONTENT_TYPE",
    "ERRORS_SHOWN",
    "FAILED_ROWS",
    "MAX_ROWS",
    "MESSAGE_CHARACTERS",
    "PARTING_S",
    "PROBLEMS",
    "STOPPING",
    "Answer",
    "Client",
    "Problem",
    "Refusal",
    "code_of",
    "failure_item",
    "json_bytes",
    "new_request_id",
    "parted",
    "problem",
    "problem_of_failure",
    "problem_of_refusal",
    "stopping",
    "written",
]

Headers = tuple[tuple[bytes, bytes], ...]

CONNECTION: Final = "twofold.connection"  # in a scope's extensions: the connection, for the app
CONTENT_TYPE: Final = b"application/json"
PARTING_S: Final = 0.05  # rows of a client that has ended its half, and may be gone, wait no longer than that
FAILED_ROWS: Final = b"twofold-failed-rows"
PROBLEM: Final = b"application/problem+json"

STOPPING: Final = "The server stops, and the request was not answered by then. Ask again: another process may answer."

MESSAGE_CHARACTERS: Final = 2000
ERRORS_SHOWN: Final = 10
MAX_ROWS: Final = 1_000_000  # of one request


class Answer(NamedTuple):
    """A complete answer; content-length and what stands on every answer is added where it is written."""

    status: int
    content_type: bytes
    headers: Headers
    body: bytes
    code: str = "ok"  # of the problem that it tells


class Client(Protocol):
    """Who asked a translator. `succeed` or `respond` is called, once."""

    def succeed(self, body: bytes) -> None:
        """Send a plain 200 with this JSON."""
        ...

    def respond(self, answer: Answer) -> None:
        """Send any answer."""
        ...

    def identify(self) -> str:
        """The request's id, for a log; where it has none, its answer will have the one that is made now."""
        ...


@dataclass(frozen=True, slots=True)
class Problem:
    """One row of the table. `predict`: `POST /predict` may answer so (and says so in OpenAPI)."""

    code: str
    status: int
    title: str
    predict: bool = True


PROBLEMS: dict[str, Problem] = {
    row.code: row
    for row in (
        Problem("bad_request", 400, "The request is not one that this server reads"),
        Problem("not_json", 400, "The body is not JSON"),
        Problem("bad_body", 400, "The body is not what its content type says"),
        Problem("unauthorized", 401, "The request has no key that this server knows"),
        Problem("not_found", 404, "There is no such page", predict=False),
        Problem("method_not_allowed", 405, "The path does not know this method"),
        Problem("not_acceptable", 406, "The answer has none of the forms that Accept names"),
        Problem("request_timeout", 408, "The request did not come to its end in time"),
        Problem("body_too_large", 413, "The body is larger than --max-body allows"),
        Problem("unsupported_media_type", 415, "The body has a type this path does not read"),
        Problem("row_does_not_fit", 422, "A row does not fit the model's signature"),
        Problem("bad_row", 422, "The model refused the row"),
        Problem("overloaded", 429, "The request cannot be answered in time, or more requests wait than may"),
        Problem("headers_too_large", 431, "The request's headers are too large"),
        Problem("model_failed", 500, "The model failed on the row"),
        Problem("internal_error", 500, "The server failed"),
        Problem("worker_lost", 503, "The process that computed the row ended"),
        Problem("not_ready", 503, "The server is not ready"),
        Problem("deadline_exceeded", 504, "The deadline passed before the answer was there"),
    )
}


def json_bytes(value: object) -> bytes:
    """Compact JSON; a lone surrogate (which is not UTF-8) becomes `?`."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")


def problem(code: str, detail: str, errors: Sequence[FieldError] = (), headers: Headers = ()) -> Answer:
    """The answer for a problem of the table. `detail` says what to do; `errors` name rows and fields."""
    row = PROBLEMS[code]
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": row.title,
        "status": row.status,
        "detail": shorten(detail, MESSAGE_CHARACTERS),
        "code": code,
        "errors": [_error_item(error) for error in errors],
    }
    return Answer(row.status, PROBLEM, headers, json_bytes(body), code)


class Refusal(Exception):
    """A request that is answered with a problem of the table, whoever reads it."""

    def __init__(self, code: str, detail: str, errors: Sequence[FieldError] = (), headers: Headers = ()) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.errors = errors
        self.headers = headers

    @property
    def answer(self) -> Answer:
        return problem(self.code, self.detail, self.errors, self.headers)


def parted() -> Refusal:
    """The client has ended its half of the connection, and its rows have left the queue. Whether it reads on, and
    sees this, nobody can tell."""
    return Refusal(
        "bad_request",
        "The client ended its half of the connection while the request waited for the model, which was then not asked. "
        "Keep the connection open until the answer is there.",
    )


def code_of(failure: RowFailure) -> str:
    """The problem of the table that a row failed of."""
    return failure.code if failure.code in PROBLEMS else "model_failed"


def stopping() -> Refusal:
    """The server has been told to stop, and may not wait any longer for this answer."""
    return Refusal("not_ready", STOPPING, headers=((b"retry-after", b"1"),))


def problem_of_failure(failure: RowFailure, n_rows: int) -> Answer:
    """The answer when the request as a whole has failed, for the reason of its (first) row."""
    code = code_of(failure)
    error = FieldError(0, failure.field, "", "", failure.message)
    detail = failure.message or PROBLEMS[code].title
    return problem(code, detail if n_rows == 1 else f"{n_rows} rows: {detail}", [error])


def problem_of_refusal(refused: Refused) -> Answer:
    return problem("overloaded", str(refused), headers=((b"retry-after", str(refused.retry_after).encode()),))


def failure_item(failure: RowFailure) -> dict[str, Any]:
    """What stands in a list of answers in place of a row that failed."""
    shown: dict[str, Any] = failure.to_json()
    shown["message"] = shorten(failure.message, MESSAGE_CHARACTERS)
    return {"error": shown}


def _error_item(error: FieldError) -> dict[str, Any]:
    item = error.to_json()
    item["field"] = shorten(error.field)
    item["got"] = shorten(error.got)
    item["message"] = shorten(error.message, MESSAGE_CHARACTERS)
    return item


def written(answer: Answer, version: str, request_id: bytes) -> tuple[Headers, bytes]:
    """The headers of an answer, in the order in which both ways send them, and its body.

    `version` is the model's. Where the request has no id (b""), an error is given one, and so is an answer with failed
    rows: those the log may tell of.
    """
    body = answer.body
    if answer.status >= 400 or any(name == FAILED_ROWS for name, _ in answer.headers):
        request_id = request_id or new_request_id()
        if answer.content_type == PROBLEM:
            body = b'%b,"request_id":"%b"}' % (body[:-1], request_id)
    named = ((b"x-request-id", request_id),) if request_id else ()
    length = str(len(body)).encode()
    return (
        (b"model-version", version.encode()),
        *named,
        (b"content-type", answer.content_type),
        *answer.headers,
        (b"content-length", length),
    ), body


def new_request_id() -> bytes:
    return secrets.token_hex(8).encode()
