"""The plain JSON protocol: a body in, an answer out. The fast lane and the app both call this, and only this."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

from twofold._errors import NotJson, RowFailure, RowsDoNotFit
from twofold._realtime.batcher import Ticket
from twofold._realtime.http.problems import (
    CONTENT_TYPE,
    Answer,
    Client,
    failure_item,
    json_bytes,
    problem,
    problem_of_failure,
    problem_of_refusal,
)
from twofold._realtime.limits import Refused
from twofold._realtime.service import Service

__all__ = ["PlainJson"]

ERRORS_SHOWN = 10

LOG = logging.getLogger("twofold")


class PlainJson:
    """One row (an object) answers an object; a list of rows answers a list of the same length."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._decode_row = service.signature.decode_row
        self._decode = service.signature.decode
        self._texts = service.signature.encode_rows
        self._submit = service.submit

    def begin(self, body: bytes, client: Client, deadline_s: float | None = None) -> Ticket | None:
        """Answer a request body. None: the client has its answer; else it will, unless the ticket is cancelled."""
        try:
            if body[:1] == b"{":
                rows, many = [self._decode_row(body)], False
            else:
                rows, many = self._decode(body)
        except NotJson as error:
            client.respond(problem("not_json", error.message))
            return None
        except RowsDoNotFit as error:
            client.respond(problem("row_does_not_fit", error.message, error.errors[:ERRORS_SHOWN]))
            return None
        except RecursionError:
            client.respond(problem("not_json", "The body is nested too deeply."))
            return None
        except Exception:
            LOG.exception("request %s: its body could not be read", client.identify())
            client.respond(problem("internal_error", "The body could not be read; the server's log says why."))
            return None
        if not rows:
            client.succeed(b"[]")
            return None
        done = partial(_answer_many if many else _answer_one, client)
        try:
            return self._submit(rows, done, answers=self._texts, deadline_s=deadline_s, n_bytes=len(body))
        except Refused as refused:
            client.respond(problem_of_refusal(refused))
            return None


def _answer_one(client: Client, results: Sequence[Any]) -> None:
    result = results[0]
    if type(result) is bytes:
        client.succeed(result)
    else:
        client.respond(problem_of_failure(result, 1))


def _answer_many(client: Client, results: Sequence[Any]) -> None:
    """Rows on which the model fails leave the others their answers (200). A deadline is the request's as a whole
    (504), and so is a lost process that had all of the rows (503)."""
    failures = [result for result in results if type(result) is not bytes]
    codes = {failure.code for failure in failures}
    if "deadline_exceeded" in codes:
        late = next(failure for failure in failures if failure.code == "deadline_exceeded")
        client.respond(problem_of_failure(late, len(results)))
    elif codes == {"worker_lost"} and len(failures) == len(results):
        client.respond(problem_of_failure(failures[0], len(results)))
    else:
        texts = [_text(result) for result in results] if failures else results
        text = b"[" + b",".join(texts) + b"]"
        if failures:
            headers = ((b"twofold-failed-rows", str(len(failures)).encode()),)
            client.respond(Answer(200, CONTENT_TYPE, headers, text))
        else:
            client.succeed(text)


def _text(result: bytes | RowFailure) -> bytes:
    return result if isinstance(result, bytes) else json_bytes(failure_item(result))
