"""Bulk requests: bodies and answers in columns, and what has to do with JSON on one side only.

Columns stay columns on their way to the model and back. What takes long (large bodies, packing and unpacking) happens
in a thread, so that the event loop serves others meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from starlette.requests import Request

from twofold._columns import Batch
from twofold._realtime.batcher import Ticket
from twofold._realtime.http.bodies import read_content, too_many_rows
from twofold._realtime.http.compressed import packed
from twofold._realtime.http.lane_request import BULK_BYTES, Begin
from twofold._realtime.http.media import (
    ARROW,
    BYTES,
    CSV,
    JSON,
    NPY,
    Form,
    MediaType,
    answer_forms,
    best_coding,
    best_form,
    media_type,
    only_bytes,
)
from twofold._realtime.http.plain import PlainJson, unreadable, unwritten
from twofold._realtime.http.problems import (
    MAX_ROWS,
    Answer,
    Client,
    Refusal,
    problem_of_refusal,
)
from twofold._realtime.http.responses import deadline_s, request_id
from twofold._realtime.http.waiting import answered
from twofold._realtime.limits import Refused
from twofold._realtime.service import Service
from twofold._runner import Result

__all__ = ["Bodies"]

T = TypeVar("T")

THREAD_BYTES: Final = BULK_BYTES  # larger bodies are handled in a thread
PACKED_BYTES: Final = 1 << 15  # smaller answers are not worth packing


class Bodies:
    """Requests to one model, in all forms that it reads and answers."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self._plain = PlainJson(service)
        self._only_bytes = only_bytes(service.signature)

    async def answer(self, request: Request) -> Answer:
        """Read, ask, write. Raises Refusal; ClientDisconnect when nobody waits for it any more."""

        within_s = deadline_s(request)
        form = self._form(media_type(request.headers.get("content-type", "")))
        wanted = best_form(request.headers.get("accept"), answer_forms(self.service.signature, form))
        body = await read_content(request, self.service.limits.max_body_bytes)
        if wanted == JSON and form in (JSON, BYTES):
            begin = self._plain.begin if form == JSON else self._begin_bytes
            answer = await answered(request, lambda client: begin(body, client, within_s))
        else:
            batch = await _worked(len(body), partial(self._read, body, form, request))
            result = await self._ask(request, batch, len(body), within_s)
            answer = result if isinstance(result, Answer) else await self._written(wanted, result, request)
        return await _packed(answer, request.headers.get("accept-encoding"), form != JSON or wanted != JSON)

    def lane_translators(self) -> dict[bytes, Begin]:
        """What is hot enough for the fast lane: columns that are answered in the form in which they came."""
        if self._only_bytes is not None:
            return {}

        able = answer_forms(self.service.signature, JSON)
        return {form.encode(): partial(self._begin_bulk, form) for form in (ARROW, NPY) if form in able}

    def _begin_bulk(self, form: Form, body: bytes, client: Client, within_s: float | None) -> Ticket | None:
        from twofold._realtime.http.bulk_read import read_bulk
        from twofold._realtime.http.bulk_write import bulk_answer

        signature = self.service.signature

        def done(result: Result) -> None:
            try:
                answer = bulk_answer(signature, form, result)
            except Exception as error:
                answer = unwritten(error, client.identify)
            client.respond(answer)

        try:
            batch = read_bulk(body, form, signature, self.service.limits.max_body_bytes)
            if batch.n_rows:
                return self.service.submit_batch(batch, done, deadline_s=within_s, n_bytes=len(body))
            done(Result(Batch.from_rows(signature.output_schema, [])))
        except Refused as refused:
            client.respond(problem_of_refusal(refused))
        except Exception as error:
            client.respond(unreadable(error, client.identify).answer)
        return None

    def _form(self, content_type: MediaType) -> Form:
        """What the body holds. Raises Refusal (415) for what this model does not read."""
        name, parameters = content_type
        if self._only_bytes is not None and name != JSON:
            return BYTES
        for form in READ:
            if name == form:
                charset = parameters.get("charset", "utf-8")
                if form in (JSON, CSV) and charset not in ("utf-8", "utf8", "us-ascii"):
                    raise Refusal("unsupported_media_type", f"The text of a body is UTF-8, not {charset[:100]!r}.")
                if form == CSV and parameters.get("header") == "absent":
                    raise Refusal("unsupported_media_type", "CSV needs a first line with the names of its columns.")
                return form
        came = f"not {name[:100]!r}" if name else "and the request names none"
        raise Refusal(
            "unsupported_media_type",
            f"Send the rows as JSON: content-type: application/json, or as {', '.join(READ[1:])}; {came}.",
        )

    def _begin_bytes(self, body: bytes, client: Client, within_s: float | None) -> Ticket | None:
        """A body that is the value of the only input, as it is."""
        return self._plain.begin_row(self._bytes_row(body), client, within_s, len(body))

    def _bytes_row(self, body: bytes) -> tuple[Any, ...]:
        return self._plain.row({self._only_bytes: body})

    def _read(self, body: bytes, form: Form, request: Request) -> Batch:
        signature = self.service.signature
        if form == BYTES:
            return Batch.from_rows(signature.input_schema, [self._bytes_row(body)])
        if form == JSON:
            rows, _ = self._plain.read(body, partial(request_id, request))
            if len(rows) > MAX_ROWS:
                raise too_many_rows()
            return Batch.from_rows(signature.input_schema, rows)
        from twofold._realtime.http.bulk_read import read_bulk

        try:
            return read_bulk(body, form, signature, self.service.limits.max_body_bytes)
        except Exception as error:
            raise unreadable(error, partial(request_id, request)) from None

    async def _ask(self, request: Request, batch: Batch, n_bytes: int, within_s: float | None) -> Result | Answer:
        if not batch.n_rows:
            return Result(Batch.from_rows(self.service.signature.output_schema, []))
        found: list[Result] = []

        def begin(client: Client) -> Ticket | None:
            def done(result: Result) -> None:
                found.append(result)
                client.succeed(b"")

            try:
                return self.service.submit_batch(batch, done, deadline_s=within_s, n_bytes=n_bytes)
            except Refused as refused:
                client.respond(problem_of_refusal(refused))
                return None

        answer = await answered(request, begin)
        return found[0] if found else answer

    async def _written(self, wanted: Form, result: Result, request: Request) -> Answer:
        from twofold._realtime.http.bulk_write import bulk_answer

        size = 32 * (result.outputs.n_rows + len(result.failures))
        try:
            return await _worked(size, partial(bulk_answer, self.service.signature, wanted, result))
        except Exception as error:
            return unwritten(error, partial(request_id, request))


READ: Final[tuple[Form, ...]] = (JSON, ARROW, NPY, CSV)


async def _worked(n_bytes: int, work: Callable[[], T]) -> T:
    """What `work` gives; in a thread, where there is much to do."""
    return await asyncio.to_thread(work) if n_bytes > THREAD_BYTES else work()


async def _packed(answer: Answer, accepted: str | None, bulk: bool) -> Answer:
    coding = best_coding(accepted) if bulk and answer.status == 200 and len(answer.body) >= PACKED_BYTES else None
    if coding is None:
        return answer
    body = await _worked(len(answer.body), partial(packed, answer.body, coding))
    return answer._replace(body=body, headers=(*answer.headers, (b"content-encoding", coding.encode())))
