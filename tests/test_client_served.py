"""The client against real servers: pieces, keys, TLS, several models, deadlines."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import twofold
import twofold.testing
from tests.certificates import Certificates
from tests.cli.commands import PARITY
from tests.cli.commands import twofold as command
from tests.examples.modes import TWOFOLD
from twofold._client import Client
from twofold._errors import DeadlineExceeded, ModelFailed, UsageError


@twofold.model
def spell(word: str) -> Iterator[str]:
    for letter in word:
        if letter == "?":
            raise ValueError("that is no letter")
        yield letter


@twofold.model
def slow(seconds: float) -> str:
    time.sleep(seconds)
    return "done"


class TestPieces:
    def test_as_they_are_made(self):
        with twofold.testing.serve(spell) as served:
            assert list(served.client.stream("twofold")) == list("twofold")
            assert served.client("twofold") == "twofold"
            coming = served.client.stream("ab?")
            assert [next(coming), next(coming)] == ["a", "b"]
            with pytest.raises(ModelFailed, match="that is no letter"):
                next(coming)

    def test_in_an_event_loop(self):
        async def main(client: Client) -> list[list[str]]:
            async def spelt(word: str) -> list[str]:
                return [letter async for letter in client.astream(word)]

            async with client:
                return list(await asyncio.gather(*map(spelt, ["ab", "cde", ""])))

        with twofold.testing.serve(spell) as served:
            assert asyncio.run(main(served.client)) == [["a", "b"], ["c", "d", "e"], []]

    def test_a_model_that_does_not_yield(self):
        with twofold.testing.serve(slow) as served:
            assert list(served.client.stream(0.0)) == ["done"]


def test_the_deadline_of_the_client_is_the_servers():
    with twofold.testing.serve(slow) as served:
        began = time.monotonic()
        with pytest.raises(DeadlineExceeded):
            served.client.within(0.2)(0.6)
        assert time.monotonic() - began < 0.55


def test_keys_tls_and_several_models(tmp_path: Path, certificates: Certificates):
    """The whole way: `twofold serve` in worker processes, the client, and `twofold bench`."""
    half_py, parity_py, ca = tmp_path / "half.py", tmp_path / "parity.py", certificates.authority
    parity_py.write_text(PARITY)
    half_py.write_text("import twofold\n\n@twofold.model\ndef half(x: float) -> float:\n    return x / 2\n")
    (tmp_path / "keys.txt").write_text("first\nsecond\n")
    tls = ["--tls-certificate", certificates.server, "--tls-key", certificates.key]
    safety = ["--api-key", tmp_path / "keys.txt", *tls]
    words = ["serve", parity_py, f"half={half_py}", "--port", "0", "--workers", "1", *safety]
    process = subprocess.Popen([*TWOFOLD, *map(str, words)], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        said = process.stderr.readline()
        url = said.split()[-1]
        assert url.startswith("https://"), said
        with pytest.raises(twofold.RequestFailed) as caught:
            twofold.connect(url, ca=ca)
        assert caught.value.data["status"] == 401
        with twofold.connect(url, ca=ca, api_key="second") as parity:
            assert (parity.name, parity(7)) == ("parity", "Odd")
        with twofold.connect(url, ca=ca, api_key="first", model="half") as half:
            assert (half.name, half(3.0), len(half.version)) == ("half", 1.5, 12)
            assert half.version != parity.version
        with pytest.raises(UsageError, match=r"serves no model 'third'\. It serves parity, half"):
            twofold.connect(url, ca=ca, api_key="first", model="third")
        done = command(
            "bench", url, "--ca", ca, "--name", "half", "--rate", "100", "--duration", "0.5", "--json", cwd=tmp_path,
            env={"TWOFOLD_API_KEY": "second"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert (found["model"], found["version"], found["errors"]) == ("half", half.version, {})
        assert found["answered"] == found["offered"] > 10
        idle = twofold.connect(url, ca=ca, api_key="first")  # which a drain does not wait for
        process.terminate()
        process.communicate(timeout=10)
        idle.close()
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == 0
