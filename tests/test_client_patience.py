"""What a client does when the server is busy, in threads and in event loops; deadlines, keys and TLS."""

from __future__ import annotations

import asyncio
import random
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import twofold
from tests.certificates import Certificates
from tests.compare.servers import answer
from tests.realtime import models
from tests.realtime.serving import serving
from tests.scripted import GOOD, Scripted, busy
from twofold._client import Client
from twofold._errors import DeadlineExceeded, RowsFailed, Unreachable, UsageError
from twofold._wire.exchange import Reply
from twofold._wire.patience import pause_s


@pytest.fixture(params=["thread", "loop"])
def ask(request: pytest.FixtureRequest) -> Any:
    """Calls a client, and ends it."""

    def in_thread(client: Client, *args: Any) -> Any:
        with client:
            return client(*args)

    def in_loop(client: Client, *args: Any) -> Any:
        async def main() -> Any:
            async with client:
                return await client.acall(*args)

        return asyncio.run(main())

    return in_thread if request.param == "thread" else in_loop


def test_a_busy_server_is_asked_again_when_it_says(ask: Any):
    with Scripted([busy("429 Too Many Requests", "overloaded", "Retry-After: 1"), GOOD]) as server:
        assert ask(twofold.connect(server.url), 7) == "Odd"
        assert 1.0 <= server.at_s[1] - server.at_s[0] < 2.0


def test_without_a_word_after_a_pause(ask: Any):
    with Scripted([busy(), busy("503 Service Unavailable", "not_ready"), answer(b"", "503 Busy"), GOOD]) as server:
        assert ask(twofold.connect(server.url), 7) == "Odd"
        assert len(server.heads) == 4


def test_so_often_and_no_more(ask: Any):
    with Scripted([busy()]) as server:
        with pytest.raises(twofold.RequestFailed, match="too much to do") as caught:
            ask(twofold.connect(server.url, retries=2), 7)
        assert caught.value.code == "overloaded"
        assert len(server.heads) == 3


def test_never_beyond_the_timeout(ask: Any):
    with Scripted([busy("429 Too Many Requests", "overloaded", "Retry-After: 5")]) as server:
        began = time.monotonic()
        with pytest.raises(twofold.RequestFailed, match="too much to do"):
            ask(twofold.connect(server.url, timeout_s=2), 7)
        assert time.monotonic() - began < 1
        assert len(server.heads) == 1


def test_a_row_whose_process_ended_is_asked_again_once(ask: Any):
    lost = busy("503 Service Unavailable", "worker_lost")
    with Scripted([lost]) as server:
        with pytest.raises(twofold.RequestFailed) as caught:
            ask(twofold.connect(server.url), 7)
        assert caught.value.code == "worker_lost"
        assert len(server.heads) == 2


def test_the_server_is_told_how_long_there_is(ask: Any):
    with Scripted([busy("503 Busy", "not_ready", "Retry-After: 1"), GOOD]) as server:
        assert ask(twofold.connect(server.url, timeout_s=9).within(3.0), 7) == "Odd"
        first, second = (int(re.findall(r"X-Deadline-Ms: (\d+)", head)[0]) for head in server.heads)
        assert 2900 <= first <= 3000
        assert first - 1400 <= second <= first - 990


def test_the_key_is_sent(ask: Any, monkeypatch: pytest.MonkeyPatch):
    with Scripted([GOOD]) as server:
        ask(twofold.connect(server.url, api_key="mine"), 7)
        monkeypatch.setenv("TWOFOLD_API_KEY", "from the environment")
        ask(twofold.connect(server.url), 7)
        keys = [re.findall(r"Authorization: (.*)\r", head) for head in server.heads]
        assert keys == [["Bearer mine"], ["Bearer from the environment"]]
        with pytest.raises(UsageError, match="printable"):
            twofold.connect(server.url, api_key="two\r\nlines")


def test_a_model_by_its_name(ask: Any):
    with Scripted([GOOD]) as server:
        client = twofold.connect(server.url, model="parity")
        assert (client.name, client.version, client.example) == ("parity", "0" * 12, None)
        assert ask(client, 7) == "Odd"
        assert server.heads[0].startswith("POST /models/parity/predict HTTP/1.1\r\n")
        with pytest.raises(UsageError, match=r"serves no model 'fraud'\. It serves parity"):
            twofold.connect(server.url, model="fraud")
        with twofold.connect(server.url) as first:
            assert first.example == {"number": 7}


@pytest.fixture
def secure(certificates: Certificates) -> Iterator[Scripted]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.both)
    with Scripted([GOOD], context) as server:
        yield server


def test_tls(ask: Any, secure: Scripted, certificates: Certificates):
    client = twofold.connect(secure.url, ca=certificates.authority)
    assert client(7) == client(7) == "Odd"
    assert ask(client, 7) == "Odd"


def test_a_certificate_that_nobody_vouches_for(secure: Scripted):
    with pytest.raises(Unreachable, match=r"certificate is not trusted \(.*issuer.*ca="):
        twofold.connect(secure.url)


def test_an_authority_that_cannot_be_read(tmp_path: Path):
    with pytest.raises(UsageError, match="cannot be read as certificates"):
        twofold.connect("https://127.0.0.1:1", ca=tmp_path / "none.pem")


class TestInALoop:
    def test_answers_go_to_who_asked(self):
        async def main(client: Client) -> None:
            async with client:
                numbers = [100 + n for n in range(200)]
                for _ in range(2):  # the second time on the connections of the first
                    found = await asyncio.gather(*(client.acall(n) for n in numbers))
                    assert found == list(map(models.parity, numbers))
                assert await client.abatch(range(100, 1300)) == list(map(models.parity, range(100, 1300)))

        with serving(models.parity) as served:
            asyncio.run(main(twofold.connect(f"http://127.0.0.1:{served.port}")))

    def test_failures_are_those_of_a_thread(self):
        async def main(client: Client) -> None:
            async with client:
                with pytest.raises(twofold.BadRow):
                    await client.acall(13)
                with pytest.raises(RowsFailed) as caught:
                    await client.abatch([2, 13])
                assert caught.value.answers == ["Even", None]

        with serving(models.parity) as served:
            asyncio.run(main(twofold.connect(f"http://127.0.0.1:{served.port}")))

    def test_the_clock_and_a_cancellation(self):
        async def main(client: Client) -> None:
            async with client:
                with pytest.raises(DeadlineExceeded):
                    await client.within(0.2).acall(1500)
                task = asyncio.create_task(client.acall(1500))
                await asyncio.sleep(0.1)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await client.acall(1) == "done"

        with serving(models.one_at_a_time) as served:
            asyncio.run(main(twofold.connect(f"http://127.0.0.1:{served.port}")))

    def test_one_loop_after_the_other(self):
        with serving(models.parity) as served:
            client = twofold.connect(f"http://127.0.0.1:{served.port}")

            async def main() -> str:
                async with client:
                    return str(await client.acall(7))

            assert asyncio.run(main()) == asyncio.run(main()) == client(7)
            client.close()


@pytest.mark.parametrize(
    ("status", "headers", "attempt", "low", "high"),
    [
        (429, {"retry-after": "2"}, 0, 2.0, 2.5),
        (503, {"retry-after": "2"}, 3, 2.0, 2.5),
        (503, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0, 0.0, 0.0),
        (429, {}, 0, 0.0, 0.1),
        (429, {"retry-after": "soon"}, 20, 0.0, 5.0),
        (429, {"retry-after": "²"}, 20, 0.0, 5.0),
    ],
)
def test_pauses(status: int, headers: dict[str, str], attempt: int, low: float, high: float):
    found = [pause_s(Reply(status, "", headers, b""), attempt) for _ in range(20)]
    assert all(pause is not None and low <= pause <= high for pause in found)
    assert high == low or len(set(found)) > 1


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(random, "random", lambda: 1.0)
    found = [pause_s(Reply(503, "", {}, b""), attempt) for attempt in range(8)]
    assert found == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])


@pytest.mark.parametrize("status", [200, 400, 422, 500, 502, 504])
def test_what_is_not_asked_again(status: int):
    assert pause_s(Reply(status, "", {"retry-after": "1"}, b""), 0) is None
