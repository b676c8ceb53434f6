"""What the kernel says of processes that it killed for want of memory, and what a server makes of it."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import twofold
from twofold._errors import RowFailure
from twofold._model import Model
from twofold._profile import profile_path
from twofold._realtime import memory_kills as module
from twofold._realtime.learning import Learning
from twofold._realtime.memory_kills import memory_kills
from twofold._realtime.model_process import ProcessBackend
from twofold._realtime.service import Service

TOKEN = "a token of 32 characters or so"

# Dies as a process does that the kernel kills when more than 8 rows come together: the count is one more by then.
GREEDY = """
import os, signal
from dataclasses import dataclass
from pathlib import Path
import numpy as np
import twofold

COUNTS = Path(__file__).with_name("memory.events")

@dataclass
class Row:
    number: int

@twofold.model(row=Row, result=int)
def greedy(rows: dict[str, np.ndarray]) -> np.ndarray:
    numbers = rows["number"]
    if len(numbers) > 8:
        kills = int(COUNTS.read_text().split()[-1]) + 1
        COUNTS.write_text(f"oom_kill {kills}")
        os.kill(os.getpid(), signal.SIGKILL)
    return numbers * 2
"""

MODEL_PROCESS = """
import sys, json
import twofold
from twofold._realtime.model_process import answer_calls
from twofold._runner import Runner
answer_calls(Runner(twofold.load(sys.argv[1])), json.loads(sys.argv[2]), lambda: None)
"""


def test_the_first_file_that_says_it_counts(tmp_path: Path) -> None:
    none, group, machine = tmp_path / "none", tmp_path / "memory.events", tmp_path / "vmstat"
    machine.write_text("nr_free_pages 5\noom_kill 7\n")
    assert memory_kills((none, machine)) == 7
    group.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert memory_kills((none, group, machine)) == 2  # the machine's are those of others, too
    group.write_text("low 0\n")  # an old kernel
    assert memory_kills((group, machine)) == 7
    group.write_text("oom_kill many\n")
    assert memory_kills((none, group)) == 0
    assert memory_kills() >= 0


@pytest.mark.parametrize(
    ("groups", "file"),
    [
        ("0::/system.slice/twofold.service\n", "system.slice/twofold.service/memory.events"),
        ("9:name=systemd:/x\n4:memory:/pods/one\n0::/\n", "memory/pods/one/memory.oom_control"),
        ("0::/../elsewhere\n", "memory.events"),  # what a container sees of its own name may lead nowhere
    ],
)
def test_the_own_group_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, groups: str, file: str) -> None:
    (tmp_path / "self").write_text(groups)
    counts = tmp_path / "cgroup" / file
    counts.parent.mkdir(parents=True)
    counts.write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n")
    monkeypatch.setattr(module, "OWN_GROUP", tmp_path / "self")
    monkeypatch.setattr(module, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(module, "COUNTS", (tmp_path / "cgroup" / "memory.events",))
    assert memory_kills() == 4


@pytest.mark.skipif(sys.platform == "win32", reason="needs Unix sockets and SIGKILL")
def test_a_process_that_is_killed_for_memory_halves_the_calls_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE_DIR", str(tmp_path / "cache"))
    counts = tmp_path / "memory.events"
    counts.write_text("low 0\noom 3\noom_kill 3\n")
    monkeypatch.setattr(module, "OWN_GROUP", tmp_path / "none")
    monkeypatch.setattr(module, "COUNTS", (counts,))
    file = tmp_path / "greedy.py"
    file.write_text(GREEDY)
    model = twofold.load(file)
    seen: list[int] = []

    async def main() -> None:
        learning, service, backend = isolated(model)
        learning.begin(service, lambda _: None)
        service.watch(lambda _parts, _began, batch, _result: seen.append(batch.n_rows))
        joined = asyncio.Event()
        backend._on_count = lambda n: joined.set() if n else joined.clear()
        address = await backend.listen(str(tmp_path / "socket"))
        assert await asked_of(service, address, 16, joined) == {"worker_lost"}
        assert service.profile.most_rows == 8
        seen.clear()
        assert await asked_of(service, address, 16, joined) == set()
        assert max(seen) <= 8
        learning.end()
        await backend.close()

    asyncio.run(main())
    assert profile_path(model.version).exists()
    _, service, _ = isolated(model)  # the next start
    assert service.profile.most_rows == 8


def isolated(model: Model) -> tuple[Learning, Service, ProcessBackend]:
    learning = Learning(model.version, isolated=True)
    backend = ProcessBackend(model.signature.output_schema, TOKEN, on_count=lambda _: None, on_hung=lambda _: None)
    return learning, Service(model.signature, model.version, "greedy", backend, profile=learning.profile), backend


async def asked_of(service: Service, address: dict[str, Any], n_rows: int, joined: asyncio.Event) -> set[str]:
    """Ask a new model process for so many rows in one call, if they may be in one; the codes of those that failed."""
    file = sys.modules["greedy"].__file__
    process = subprocess.Popen([sys.executable, "-c", MODEL_PROCESS, str(file), json.dumps(address)])
    async with asyncio.timeout(30):
        await joined.wait()
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        service.submit([(n,) for n in range(n_rows)], answer.set_result)
        found = await answer
    if process.poll() is None and not any(isinstance(one, RowFailure) for one in found):
        assert found == [(2 * n,) for n in range(n_rows)]
        process.terminate()
    process.wait(10)
    return {one.code for one in found if isinstance(one, RowFailure)}
