"""What a request is answered when its rows were lost on the way: a process that ended, a deadline that passed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

import twofold
from tests.realtime import models
from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._realtime.http.plain import PlainJson
from twofold._realtime.http.problems import Answer
from twofold._realtime.service import Service
from twofold._runner import Result, Runner

SIGNATURE = twofold.load(models.parity).signature


class LosingBackend:
    """Computes rows, and loses those whose number is negative."""

    inline = True
    call_rows: int | None = None
    free = places = 1

    def __init__(self, code: str) -> None:
        self.on_free: Callable[[], None] = lambda: None
        self.on_held: Callable[[int, float], None] = lambda _rows, _seconds: None
        self.longest_s = 0.0
        self._code = code
        self._runner = Runner(twofold.load(models.parity))

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        rows = batch.rows()
        lost = {at: RowFailure(self._code, "it went away") for at, (number,) in enumerate(rows) if number < 0}
        kept = [row for at, row in enumerate(rows) if at not in lost]
        done(Result(self._runner.run(Batch.from_rows(batch.schema, kept)).outputs, lost))


def ask(code: str, body: bytes) -> Answer:
    class Client:
        def __init__(self) -> None:
            self.answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def succeed(self, body: bytes) -> None:
            self.respond(Answer(200, b"application/json", (), body))

        def identify(self) -> str:
            return "1"

        def respond(self, answer: Answer) -> None:
            self.answer.set_result(answer)

    async def main() -> Answer:
        client = Client()
        PlainJson(Service(SIGNATURE, "v", "parity", LosingBackend(code))).begin(body, client)
        return await client.answer

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("code", "body", "status"),
    [
        ("worker_lost", b'{"number": -1}', 503),
        ("worker_lost", b'[{"number": -1}, {"number": -2}]', 503),
        ("worker_lost", b'[{"number": -1}, {"number": 2}]', 200),
        ("deadline_exceeded", b'{"number": -1}', 504),
        ("deadline_exceeded", b'[{"number": -1}, {"number": 2}]', 504),
        ("something_new", b'{"number": -1}', 500),
    ],
)
def test_status(code: str, body: bytes, status: int):
    answer = ask(code, body)
    assert answer.status == status
    if status == 200:
        assert answer.headers == ((b"twofold-failed-rows", b"1"),)
        lost, even = answer.body.split(b"},{")
        assert b'"code":"worker_lost"' in lost
        assert even == b'"prediction":"Even"}]'
    else:
        assert answer.content_type == b"application/problem+json"
        assert b"it went away" in answer.body
