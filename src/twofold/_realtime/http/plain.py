"""The plain JSON protocol: a body in, an answer out. The fast lane and the app both call this, and only this."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

from twofold._errors import NotJson, RowFailure, RowsDoNotFit
from twofold._realtime.batcher import Ticket
from twofold._realtime.http.bodies import too_many_rows
from twofold._realtime.http.problems import (
    CONTENT_TYPE,
    ERRORS_SHOWN,
    FAILED_ROWS,
    MAX_ROWS,
    Answer,
    Client,
    Refusal,
    failure_item,
    json_bytes,
    problem,
    problem_of_failure,
    problem_of_refusal,
)
from twofold._realtime.limits import Refused
from twofold._realtime.service import Service

__all__ = ["PlainJson", "failure_of_all", "json_list", "unreadable", "unwritten"]

NOTHING = Answer(200, CONTENT_TYPE, (), b"[]")

LOG = logging.getLogger("twofold")


class PlainJson:
    """One row (an object) answers an object; a list of rows answers a list of the same length."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._decode_row = service.signature.decode_row
        self._decode = service.signature.decode
        self._texts = service.signature.encode_rows
        self._queue = service.queue

    def begin(self, body: bytes, client: Client, deadline_s: float | None = None) -> Ticket | None:
        """Answer a request body. None: the client has its answer; else it will, unless the ticket is cancelled."""
        try:
            if body[:1] == b"{":
                rows, many = [self._decode_row(body)], False
            else:
                rows, many = self._decode(body)
        except Exception as error:
            client.respond(unreadable(error, client.identify).answer)
            return None
        if many and not 0 < len(rows) <= MAX_ROWS:
            client.respond(NOTHING if not rows else too_many_rows().answer)
            return None
        done = partial(_answer_many if many else _answer_one, client)
        try:
            return self._queue(rows, self._texts, done, deadline_s, len(body))
        except Refused as refused:
            client.respond(problem_of_refusal(refused))
            return None

    def row(self, value: object) -> tuple[Any, ...]:
        """A row that did not come as JSON. Raises Refusal."""
        try:
            return self.service.signature.row(value)
        except RowsDoNotFit as error:
            raise Refusal("row_does_not_fit", error.message, error.errors[:ERRORS_SHOWN]) from None

    def begin_row(self, row: tuple[Any, ...], client: Client, deadline_s: float | None, n_bytes: int) -> Ticket | None:
        """Answer one row as one that came as JSON."""
        done = partial(_answer_one, client)
        try:
            return self._queue([row], self._texts, done, deadline_s, n_bytes)
        except Refused as refused:
            client.respond(problem_of_refusal(refused))
            return None

    def read(self, body: bytes, identify: Callable[[], str]) -> tuple[list[tuple[Any, ...]], bool]:
        """The rows of a body, and whether they are a list. Raises Refusal."""
        try:
            return self._decode(body)
        except Exception as error:
            raise unreadable(error, identify) from None


def unreadable(error: Exception, identify: Callable[[], str]) -> Refusal:
    """What the sender of a body is told that could not be read."""
    if isinstance(error, Refusal):
        return error
    if isinstance(error, NotJson):
        return Refusal("not_json", error.message)
    if isinstance(error, RowsDoNotFit):
        return Refusal("row_does_not_fit", error.message, error.errors[:ERRORS_SHOWN])
    if isinstance(error, RecursionError):
        return Refusal("not_json", "The body is nested too deeply.")
    LOG.error("a body could not be read", exc_info=error, extra={"request_id": identify()})
    return Refusal("internal_error", "The body could not be read; the server's log says why.")


def unwritten(error: Exception, identify: Callable[[], str]) -> Answer:
    """What is answered where the answer could not be written."""
    LOG.error("an answer could not be written", exc_info=error, extra={"request_id": identify()})
    return problem("internal_error", "The answer could not be written; the server's log says why.")


def _answer_one(client: Client, results: Sequence[Any]) -> None:
    result = results[0]
    if type(result) is bytes:
        client.succeed(result)
    else:
        client.respond(problem_of_failure(result, 1))


def _answer_many(client: Client, results: Sequence[Any]) -> None:
    """Rows on which the model fails leave the others their answers (200), unless the request as a whole has failed."""
    failures = [result for result in results if type(result) is not bytes]
    if not failures:
        client.succeed(json_list(results))
    elif (whole := failure_of_all(failures, len(results))) is not None:
        client.respond(problem_of_failure(whole, len(results)))
    else:
        headers = ((FAILED_ROWS, str(len(failures)).encode()),)
        client.respond(Answer(200, CONTENT_TYPE, headers, json_list(map(_text, results))))


def failure_of_all(failures: Sequence[RowFailure], n_rows: int) -> RowFailure | None:
    """Why a request with these failing rows failed as a whole. A deadline is the request's (504), and so is a lost
    process that had all of the rows (503)."""
    late = next((failure for failure in failures if failure.code == "deadline_exceeded"), None)
    if late is None and len(failures) == n_rows and {failure.code for failure in failures} == {"worker_lost"}:
        return failures[0]
    return late


def json_list(texts: Iterable[bytes]) -> bytes:
    return b"[" + b",".join(texts) + b"]"


def _text(result: bytes | RowFailure) -> bytes:
    return result if isinstance(result, bytes) else json_bytes(failure_item(result))
