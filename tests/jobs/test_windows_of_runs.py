"""Runs and their windows, with a clock that the test owns: stopped, gone on with, late."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.processes import wait_for
from twofold._jobs.by_hand import ask
from twofold._jobs.clock import Clock
from twofold._jobs.job_file import read_jobs
from twofold._jobs.scheduler import Scheduler
from twofold._jobs.store import Store
from twofold._jobs.views import status_view

SLOW = """
import time
import twofold

@twofold.model
def slow(number: int) -> int:
    time.sleep(0.02)
    return number
"""


class SetClock(Clock):
    """It is what time the test says."""

    def __init__(self, text: str) -> None:
        self.at = datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()

    def now(self) -> float:
        return self.at

    def wait(self, seconds: float, wake: threading.Event) -> None:
        self.at += seconds


def test_a_window_closes_and_opens_again(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "n.csv").write_text("number\n" + "".join(f"{n}\n" for n in range(150)))
    (tmp_path / "jobs.toml").write_text(
        '[[job]]\nname = "long"\nmodel = "slow.py"\ninput = "n.csv"\noutput = "out.csv"\nsplit_rows = 10\nworkers = 1\n'
        'window = [{ hours = "22:00-06:00", priority = "idle" }, { hours = "12:00-13:00", workers = 2 }]\n'
    )
    file = read_jobs(tmp_path / "jobs.toml")
    job = file.jobs["long"]
    store, clock, said = Store(file.state), SetClock("2026-11-24T21:00"), list[str]()
    scheduler = Scheduler(file, store, clock=clock, say=said.append)
    (id_,) = ask(store, job, int(clock.at), None, anytime=False)

    def state() -> str:
        scheduler.step()
        return store.get([id_])[0].state

    def hours_later(hours: float) -> None:
        clock.at += hours * 3600

    store._connection.execute("UPDATE firings SET due = ?", (clock.at,))
    assert state() == "waiting"
    assert status_view(file, store, job, clock.at)["window"] == "closed"
    hours_later(1)
    assert state() == "running"
    parts = tmp_path / "out.csv.twofold" / "parts"
    wait_for(lambda: parts.is_dir() and len(list(parts.iterdir())) >= 3)
    hours_later(9)  # 07:00
    wait_for(lambda: state() == "waiting")
    assert any("the window closes; run 000001-1 is held" in line for line in said)
    kept = {part.name for part in parts.iterdir()}
    assert len(kept) >= 3
    hours_later(5)  # 12:00
    wait_for(lambda: state() == "done")
    assert (tmp_path / "out.csv").read_text() == "number,prediction\n" + "".join(f"{n},{n}\n" for n in range(150))
    runs = tmp_path / ".twofold" / "jobs.runs"
    assert '"workers": 2' in (runs / "000001-2" / "task.json").read_text()
    assert store.get([id_])[0].attempt == 2
    store.close()


def test_a_run_that_will_be_late_says_so(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "n.csv").write_text("number\n" + "".join(f"{n}\n" for n in range(2000)))
    (tmp_path / "jobs.toml").write_text(
        '[[job]]\nname = "long"\nmodel = "slow.py"\ninput = "n.csv"\noutput = "out.csv"\nbatch_rows = 10\nworkers = 1\n'
        'window = "22:00-06:00"\nfinish_by = "05:00"\n'
    )
    file = read_jobs(tmp_path / "jobs.toml")
    job = file.jobs["long"]
    store, clock, said = Store(file.state), SetClock("2026-11-24T22:00"), list[str]()
    scheduler = Scheduler(file, store, clock=clock, say=said.append)
    (id_,) = ask(store, job, int(clock.at), None, anytime=False)
    store._connection.execute("UPDATE firings SET due = ?", (clock.at,))

    def step(what: Callable[[], object]) -> Callable[[], object]:
        def stepped() -> object:
            scheduler.step()
            return what()

        return stepped

    view = lambda: status_view(file, store, job, clock.at)["running"]  # noqa: E731
    wait_for(step(lambda: view() and view()[0].get("seconds_left")))
    assert not any("miss" in line for line in said)
    clock.at += 7 * 3600 - 5  # five seconds to 05:00
    wait_for(step(lambda: any("will miss finish_by (2026-11-25T05:00:00Z) by" in line for line in said)))
    (running,) = view()
    assert 0 < running["late_s"]["finish_by"] < 3600  # at the speed of a start
    assert running["rows_total"] == 2000
    store.wish(id_, "cancel")
    wait_for(step(lambda: store.get([id_])[0].state == "cancelled"))
    store.close()
