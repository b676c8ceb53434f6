"""What a Service has learned is there at the next start."""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

import pytest

import twofold
from tests.realtime.test_service import asked
from twofold._profile import Profile, profile_path
from twofold._realtime.backends import InlineBackend
from twofold._realtime.learning import Learning, seconds_to_lay_out_by
from twofold._realtime.service import Service
from twofold._runner import Runner

VERSION = "0123456789ab"


@twofold.model
def sleepy(milliseconds: int) -> int:
    time.sleep(milliseconds / 1000)
    return milliseconds


def learning_of(
    told: list[float], *, isolated: bool = False, one_row_s: float | None = None
) -> tuple[Service, Learning]:
    model = twofold.load(sleepy)
    learning = Learning(VERSION, one_row_s, isolated=isolated)
    backend = InlineBackend(Runner(model))
    service = Service(model.signature, VERSION, model.name, backend, profile=learning.profile)
    learning.begin(service, told.append)
    return service, learning


def test_a_slow_row_is_told_and_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE_DIR", str(tmp_path))

    async def main() -> None:
        told: list[float] = []
        (service, learning), (_, other) = learning_of(told, one_row_s=0.0001), learning_of(told, one_row_s=0.0001)
        assert service.profile.seconds_for(1) == 0.0001
        for _ in range(3):
            await asked(service, 6)
        assert len(told) == 1
        async with asyncio.timeout(10):  # a thread writes it
            while seconds_to_lay_out_by(VERSION, 0.0001) != 0.005:
                await asyncio.sleep(0.01)
        learning.end()
        other.profile.learn(1, 0.0001)
        other.end()
        assert seconds_to_lay_out_by(VERSION, 0.0001) == 0.005
        assert seconds_to_lay_out_by(VERSION, None) is None

        _, quick = learning_of(told, isolated=True)
        for _ in range(40):
            quick.profile.learn(1, 0.0002)
        quick.end()
        assert seconds_to_lay_out_by(VERSION, 0.0001) == 0.0001
        assert Profile.read(profile_path(VERSION)).seconds_for(1) == pytest.approx(0.0002)

    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a disk that takes its time is a pipe that nobody reads")
def test_requests_do_not_wait_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE_DIR", str(tmp_path))
    path = profile_path(VERSION)
    path.parent.mkdir(parents=True)
    disk = path.with_name(f"{path.name}.{os.getpid()}")
    os.mkfifo(disk)

    async def main() -> None:
        told: list[float] = []
        service, _ = learning_of(told, one_row_s=0.0001)
        for _ in range(3):
            await asked(service, 6)
        assert len(told) == 1
        assert await asked(service, 1) == [(1,)]
        written = await asyncio.get_running_loop().run_in_executor(None, disk.read_text)
        assert json.loads(written)["slow"] is True

    asyncio.run(main())
