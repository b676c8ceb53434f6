"""The plain protocol in pieces: `POST /predict` with `Accept: text/event-stream`, of a model that yields.

    data: {"prediction":"Hel"}            each piece, under the name of the output; joined they are the answer
    data: {"prediction":"lo"}

    event: end                            the answer is complete
    data: {"pieces":2}                    and "usage", where the model counts

    event: error                          it breaks off: problem details, as of an answer that fails
    data: {"title":…,"code":"model_failed",…}

A client that does not ask for events gets the answer at once, as JSON.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.requests import Request

from twofold._errors import RowFailure
from twofold._realtime.http.bodies import read_content
from twofold._realtime.http.events import EventsResponse, event
from twofold._realtime.http.media import JSON, media_type
from twofold._realtime.http.plain import PlainJson
from twofold._realtime.http.problems import Answer, Refusal, json_bytes, problem_of_failure, problem_of_refusal, written
from twofold._realtime.http.responses import deadline_s, request_id
from twofold._realtime.limits import Refused
from twofold._realtime.service import Service
from twofold._usage import Usage

__all__ = ["streamed"]


async def streamed(service: Service, request: Request) -> EventsResponse:
    """The answer as events. Raises Refusal for what is no row of the model."""
    within_s = deadline_s(request)
    content_type = media_type(request.headers.get("content-type", "")).name
    if content_type != JSON:
        raise Refusal(
            "unsupported_media_type",
            f"A stream answers one row as JSON: send content-type: application/json, not {content_type[:100]!r}.",
        )
    body = await read_content(request, service.limits.max_body_bytes)
    rows, many = PlainJson(service).read(body, lambda: request_id(request))
    if many:
        raise Refusal(
            "row_does_not_fit",
            "A stream is the answer to one row. Send an object, or ask for application/json, which takes a list.",
        )
    return EventsResponse(service, rows[0], _PlainWords(service, request), within_s)


class _PlainWords:
    def __init__(self, service: Service, request: Request) -> None:
        self._service = service
        self._request = request
        self._encode = service.signature.encode_row
        self._pieces = 0

    def piece(self, text: str) -> bytes:
        self._pieces += 1
        return event(self._encode((text,)))

    def end(self, usage: Usage | None) -> bytes:
        said: dict[str, Any] = {"pieces": self._pieces}
        if usage is not None:
            said["usage"] = asdict(usage)
        return event(json_bytes(said), b"end")

    def broken(self, failure: RowFailure) -> bytes:
        _, body = written(self.failed(failure), self._service.version, request_id(self._request).encode())
        return event(body, b"error")

    def failed(self, failure: RowFailure) -> Answer:
        return problem_of_failure(failure, 1)

    def refused(self, refused: Refused) -> Answer:
        return problem_of_refusal(refused)
