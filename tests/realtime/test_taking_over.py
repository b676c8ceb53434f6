"""A generation that takes over, and one of its processes that ends at a bad moment: real processes, moved by hand."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.processes import wait_for
from tests.served import serving
from twofold._model import model_ref
from twofold._options import ServeOptions
from twofold._realtime.generation import Generation
from twofold._realtime.place import Premises, workers_of
from twofold._supervisor import end_workers

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")

PID = "import os, twofold\n@twofold.model\ndef pid(n: int) -> int:\n    return os.getpid()\n"


def step(generation: Generation, events: queue.SimpleQueue[Any], until: Callable[[], bool]) -> None:
    """Give the generation what its processes say, and the time, until this is so."""
    until_s = time.monotonic() + 20
    while not until():
        assert time.monotonic() < until_s, [place.state for place in generation.places]
        generation.check(time.monotonic(), slept=False, hold=lambda _: False)
        try:
            worker, message = events.get(timeout=0.02)
        except queue.Empty:
            continue
        for place in list(generation.places):
            if place.worker is worker:
                if message is None:
                    generation.ended(place)
                elif "beat" not in message:
                    generation.take(place, message)


def test_a_process_that_ends_once_the_generation_is_open_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "pid.py"
    file.write_text(PID)
    events: queue.SimpleQueue[Any] = queue.SimpleQueue()
    options = ServeOptions(port=0, workers=2, layout="inline")
    premises = Premises([("", model_ref(file).to_json())], options, events)
    premises.sockets.listen()
    generation = Generation(premises, patient=False)
    try:
        generation.begin()
        step(generation, events, lambda: generation.measured)
        generation.lay_out(frozenset())
        step(generation, events, lambda: generation.prepared)
        generation.open()
        first = generation.places[0].worker
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        step(generation, events, lambda: generation.places[0].worker is not first)
        step(generation, events, lambda: generation.complete)
        assert len(generation.places) == 2
        assert generation.failure == ""
    finally:
        end_workers(workers_of(generation.places))
        premises.close()


@pytest.mark.parametrize("broken", ["raise ValueError('no licence')\n", "import os\nos._exit(7)\n"])
@pytest.mark.parametrize("workers", [1, 2])
def test_another_layout_that_cannot_start_ends_nothing(tmp_path: Path, broken: str, workers: int) -> None:
    """A crash moves the model to model processes; the file is broken by then: what serves goes on, what ended is
    started again."""
    file = tmp_path / "pid.py"
    file.write_text(PID)
    with serving(file, "--workers", str(workers)) as server:
        answered: set[int] = set()

        def all_answer() -> bool:
            answered.add(server.ask({"n": 1})[1]["prediction"])
            return len(answered) == workers

        wait_for(all_answer)
        before = sorted(answered)
        file.write_text(broken)
        os.kill(before[0], signal.SIGKILL)
        wait_for(lambda: server.said("failed, and nothing changes"))
        assert server.process.poll() is None
        if workers > 1:
            assert server.ask({"n": 1}) == (200, {"prediction": before[1]})
        file.write_text(PID)
        wait_for(lambda: len(server.workers("model")) == workers and not server.workers("front"))
        status, answer = wait_for(lambda: server.ask({"n": 1}))
        assert (status, answer["prediction"] in server.workers()) == (200, True)
        assert server.stop() == 0
