"""twofold.connect: a served model that is called like the model."""

from __future__ import annotations

import asyncio
import inspect
import math
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

import twofold
from tests.compare.servers import Served, answer
from tests.compare.servers import serving as tiny_server
from tests.realtime import models
from tests.realtime.serving import serving
from twofold._client import Answer, Client
from twofold._errors import (
    DeadlineExceeded,
    ModelFailed,
    RowFailure,
    RowsDoNotFit,
    RowsFailed,
    Unreachable,
    UsageError,
    WorkerLost,
)
from twofold._wire.links import ThreadLink


class Inner(msgspec.Struct):
    at: datetime
    words: list[str | None]


class Rich(msgspec.Struct, kw_only=True):
    number: int
    wide: float
    narrow: np.float32
    text: str
    raw: bytes
    moment: datetime
    wall: Annotated[datetime, msgspec.Meta(tz=False)]
    day: date
    kind: Literal["a", "b"]
    vector: Annotated[npt.NDArray[np.float32], twofold.Shape(3)]
    inner: Inner
    row_id: int = msgspec.field(name="row id")
    maybe: float | None = None


@twofold.model
def echo(row: Rich) -> Rich:
    return row


@dataclass
class Two:
    a: int
    b: str = "x"


@twofold.model
def two(a: int, b: str = "x") -> Two:
    return Two(a, b)


RICH: dict[str, Any] = {
    "number": np.int32(-7),
    "wide": 0.1,
    "narrow": np.float32(0.1),
    "text": 'ü"\n',
    "raw": b"\x00\xff",
    "moment": datetime(2026, 11, 1, 12, 30, 0, 5, UTC),
    "wall": datetime(2026, 11, 1, 12, 30),
    "day": date(2026, 11, 1),
    "kind": "b",
    "vector": np.array([1.5, math.nan, -0.1], np.float32),
    "inner": {"at": np.datetime64("2026-11-01T00:00:00"), "words": ("a", None)},
    "row id": 3,
    "maybe": math.inf,
}


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(models.parity) as served:
        yield served.port


@pytest.fixture
def client(port: int) -> Iterator[Client]:
    with twofold.connect(f"http://127.0.0.1:{port}") as client:
        yield client


@contextmanager
def client_of(model: Any, **options: Any) -> Iterator[Client]:
    with serving(model, **options) as served, twofold.connect(f"http://127.0.0.1:{served.port}") as client:
        yield client


def redirect(client: Client, port: int) -> None:
    """From now on it asks what listens there."""
    client._connections.address = replace(client._connections.address, port=port)


class TestCalls:
    def test_a_row_by_position_by_name_or_as_a_whole(self, client: Client):
        assert client(7) == client(number=7) == client({"number": 7.0}) == client(np.int64(7)) == models.parity(7)
        assert client.name == "parity"
        assert client.signature == twofold.load(models.parity).signature
        assert "parity" in repr(client)

    def test_the_signature_is_shown(self, client: Client):
        assert str(inspect.signature(client)) == "(number: int) -> str"
        with client_of(two) as asked:
            assert str(inspect.signature(asked)) == "(a: int, b: str = 'x') -> twofold._client.answer.Answer"

    def test_names_that_python_cannot_write_and_defaults_between(self):
        with client_of(echo) as asked:
            shown = inspect.signature(asked).parameters
            assert list(shown)[-1] == "fields"
            assert "row id" not in shown
            assert asked(**RICH)["row id"] == 3

    def test_every_type_there_and_back(self):
        with client_of(echo) as asked:
            (expected,) = twofold.batch(echo, [RICH])
            found = asked(RICH)
            assert repr(found) == repr(expected)  # NaN is not equal to itself
            assert repr(asked.batch([RICH])) == repr([expected])
            assert found["moment"] == RICH["moment"]
            assert found["narrow"] == RICH["narrow"]

    def test_instances_are_rows(self):
        with client_of(two) as asked:
            assert asked(Two(1, "z")) == {"a": 1, "b": "z"}
            assert asked(1) == asked(a=1) == Answer(a=1, b="x")
            assert asked(1, "y").b == "y"
            assert asked(1, b="y") == asked({"a": 1, "b": "y"})
            with pytest.raises(AttributeError, match="the answer has no 'c'; it has a, b"):
                asked(1).c  # noqa: B018

    def test_calls_that_python_refuses(self):
        with client_of(two) as asked:
            with pytest.raises(TypeError, match="takes 2 positional arguments"):
                asked(1, "x", 2)
            with pytest.raises(TypeError, match="several values for the argument 'a'"):
                asked(1, a=2)


class TestBatch:
    def test_rows_in_order(self, client: Client):
        numbers = [n for n in range(2500) if n not in (13, 66)]
        assert client.batch(numbers) == list(map(models.parity, numbers))
        assert client.batch({"number": n} for n in numbers[:3]) == ["Even", "Odd", "Even"]
        assert client.batch([]) == []

    def test_rows_that_fail_leave_the_others_their_answers(self, client: Client):
        with pytest.raises(RowsFailed, match="2 of 2000 rows have no answer; the first is row 13: bad_row") as caught:
            client.batch(66 if n == 1500 else 2 if n == 66 else n for n in range(2000))
        assert caught.value.failures[13] == RowFailure("bad_row", "thirteen brings bad luck")
        assert caught.value.answers[12:15] == ["Even", None, "Even"]

    def test_rows_that_do_not_fit_are_named_before_anything_is_sent(self, client: Client):
        with pytest.raises(RowsDoNotFit) as caught:
            client.batch([1, "two", 3, None])
        assert [(error.row, error.field) for error in caught.value.errors] == [(1, "number"), (3, "number")]

    def test_what_the_server_refuses_is_named_by_its_place_in_the_whole(self, client: Client):
        client._write = lambda row: b'{"number": "%d"}' % row[0] if row[0] == 1800 else b'{"number": %d}' % row[0]
        with pytest.raises(RowsDoNotFit) as caught:
            client.batch(range(100, 2000))
        assert [error.row for error in caught.value.errors] == [1700]


class TestErrors:
    def test_of_the_row(self, client: Client):
        with pytest.raises(RowsDoNotFit, match="number: expected int64") as caught:
            client("seven")
        assert [(error.field, error.got) for error in caught.value.errors] == [("number", '"seven"')]
        with pytest.raises(twofold.RowsDoNotFit, match="missing"):
            client()
        with pytest.raises(twofold.BadRow, match="thirteen brings bad luck"):
            client(13)

    def test_of_the_model(self, client: Client):
        with pytest.raises(ModelFailed, match="sixty-six is too much for me") as caught:
            client(66)
        assert caught.value.code == "model_failed"
        assert client.url in str(caught.value)
        assert client(8) == "Even"

    def test_of_the_deadline(self):
        with client_of(models.one_at_a_time, deadline_s=0.1) as asked, pytest.raises(DeadlineExceeded):
            asked(2000)

    def test_of_the_clock_here(self, client: Client):
        async def stuck(body, served):
            await asyncio.sleep(5)
            return b""

        with tiny_server(stuck) as (port, _):
            redirect(client, port)
            client.close()
            with pytest.raises(DeadlineExceeded, match=r"gave no answer within 0.2 s.*timeout_s="):
                client.within(0.2)(7)

    def test_of_the_clock_here_told_to_the_server(self):
        with serving(models.one_at_a_time) as served:
            asked = twofold.connect(f"127.0.0.1:{served.port}", timeout_s=0.3)
            with pytest.raises(DeadlineExceeded):
                asked(1500)

    def test_of_the_size(self):
        with client_of(models.parity, max_body_bytes=1000) as asked:
            with pytest.raises(twofold.RequestFailed) as caught:
                asked.batch(range(100, 1000))
            assert caught.value.code == "body_too_large"
            assert caught.value.data["status"] == 413
            assert asked(7) == "Odd"

    @pytest.mark.parametrize("url", ["ftp://localhost", "http://", "http://a b", "localhost:99999999", "http://h/?q=1"])
    def test_what_is_no_url(self, url: str):
        with pytest.raises((UsageError, Unreachable)):
            twofold.connect(url)

    def test_nobody_there(self):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            port = listening.getsockname()[1]
        with pytest.raises(Unreachable, match=f"nobody answers at http://127.0.0.1:{port}: the connection was refused"):
            twofold.connect(f"http://127.0.0.1:{port}")
        with pytest.raises(Unreachable, match=r"nobody answers at http://no-such-host\.invalid"):
            twofold.connect("http://no-such-host.invalid")

    @pytest.mark.parametrize(
        "sent",
        [
            answer(b"{}"),
            answer(b"no such page", "404 Not Found"),
            answer(b'{"openapi": "3.1.0", "info": {"title": "x", "version": "1"}}'),
            b"SSH-2.0-OpenSSH\r\n",
        ],
    )
    def test_somebody_else_there(self, sent: bytes):
        async def handler(body, served):
            return sent

        with tiny_server(handler) as (port, _), pytest.raises(Unreachable, match="Check the address"):
            twofold.connect(f"http://127.0.0.1:{port}", timeout_s=5)

    def test_somebody_between(self, client: Client):
        async def handler(body, served):
            return answer(b"<h1>Bad gateway</h1>", "502 Bad Gateway")

        with tiny_server(handler) as (port, _):
            client.close()
            redirect(client, port)
            with pytest.raises(twofold.RequestFailed, match="answered 502 Bad Gateway") as caught:
                client(7)
            assert caught.value.code == "http_502"
            client.close()


class TestConnections:
    def test_one_is_kept_open(self):
        async def handler(body, served):
            return answer(b'{"prediction": "x"}')

        with client_of(models.parity) as asked, tiny_server(handler) as (port, seen):
            asked.close()
            redirect(asked, port)
            assert [asked(n) for n in range(5)] == ["x"] * 5
            assert seen.connections == 1
            asked.close()
            assert asked(1) == "x"
            assert seen.connections == 2
            asked.close()

    def test_each_thread_gets_its_own_answers(self, client: Client):
        barrier = threading.Barrier(8)

        def ask(first: int) -> bool:
            barrier.wait()
            numbers = [100 + first + n for n in range(100)]
            return [client(n) for n in numbers] == list(map(models.parity, numbers))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(8)))

    def test_one_that_the_server_has_ended_is_not_used(self, client: Client):
        assert client(7) == "Odd"
        (connection,) = client._connections._idle
        assert isinstance(connection, ThreadLink)
        connection.sock.shutdown(socket.SHUT_RD)  # what an end of the other side looks like
        assert client(7) == "Odd"
        assert client._connections._idle[0] is not connection

    def test_a_server_that_ends_within_a_request(self, client: Client):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            client.close()
            redirect(client, listening.getsockname()[1])

            def hang_up() -> None:
                with listening.accept()[0] as sock:
                    sock.recv(100_000)

            thread = threading.Thread(target=hang_up)
            thread.start()
            with pytest.raises(WorkerLost, match="ended before the answer was there"):
                client(7)
            thread.join()

    @pytest.mark.parametrize("later", [False, True])
    def test_one_that_ends_as_the_request_comes_is_made_again_once(self, client: Client, later: bool):
        """The server has answered on it before, and ends it when it idles: at this very moment."""

        async def handler(body: bytes, served: Served) -> bytes:
            return b"" if len(served.bodies) in ends else answer(b'{"prediction": "x"}')

        async def ask_twice() -> list[str]:
            async with client:
                return [await client.acall(1), await client.acall(2)]

        with tiny_server(handler) as (port, seen):
            client.close()
            redirect(client, port)
            ends = {2}
            assert (asyncio.run(ask_twice()) if later else [client(1), client(2)]) == ["x", "x"]
            assert (seen.connections, len(seen.bodies)) == (2, 3)
            ends = {5, 6}
            with pytest.raises(WorkerLost):
                asyncio.run(ask_twice()) if later else [client(1), client(2), client(3)]
            client.close()

    def test_a_path_before_the_routes(self):
        asked: list[bytes] = []

        def serve_one(listening: socket.socket) -> None:
            with listening.accept()[0] as sock:
                asked.append(sock.recv(100_000))
                sock.sendall(answer(b"{}"))

        with socket.create_server(("127.0.0.1", 0)) as listening:
            thread = threading.Thread(target=serve_one, args=(listening,))
            thread.start()
            with pytest.raises(Unreachable):
                twofold.connect(f"http://127.0.0.1:{listening.getsockname()[1]}/models/a b/")
            thread.join()
        assert asked[0].startswith(b"GET /models/a%20b/openapi.json HTTP/1.1\r\nHost: 127.0.0.1:")
