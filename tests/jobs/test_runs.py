"""Jobs that really run: chains, retries, files that arrive, schedulers and runs that are killed."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from itertools import pairwise
from pathlib import Path

from tests.cli.commands import PARITY, twofold
from tests.jobs.schedulers import history, up, wait_for_state
from tests.processes import wait_for

SLOW = """
import time
import twofold

@twofold.model
def slow(number: int) -> int:
    time.sleep(0.02)
    return number
"""


def test_a_schedule_a_chain_and_sigterm(tmp_path: Path) -> None:
    (tmp_path / "parity.py").write_text(PARITY)
    (tmp_path / "n.csv").write_text("number\n1\nx\n")
    (tmp_path / "jobs.toml").write_text(
        '[[job]]\nname = "often"\nmodel = "parity.py"\ninput = "n.csv"\noutput = "out/{time:%H%M%S}.csv"\n'
        'every = "1s"\noverlap = "skip"\n'
        '[[job]]\nname = "then"\nrun = "sh -c \'echo $TWOFOLD_JOB_TIME >> then.txt\'"\nafter = "often"\n'
    )
    scheduler = up(tmp_path)
    wait_for(lambda: (tmp_path / "then.txt").exists())
    scheduler.terminate()
    assert scheduler.wait(timeout=30) == 0
    first = next(one for one in history(tmp_path, "often") if one["state"] == "done")
    assert (first["exit_code"], first["attempts"]) == (3, 1)  # a row in quarantine: done
    assert (tmp_path / "then.txt").read_text().splitlines()[0] == first["time"]
    assert len(list((tmp_path / "out").glob("*.csv"))) >= 1
    assert not [one for one in history(tmp_path, "often") if one["state"] == "running"]


def test_retries(tmp_path: Path) -> None:
    (tmp_path / "jobs.toml").write_text(
        '[[job]]\nname = "third"\nretries = 3\nbackoff = "1s"\n'
        'run = ["sh", "-c", "echo x >> tries; test $(wc -l < tries) -ge 3"]\n'
        '[[job]]\nname = "never"\nretries = 1\nbackoff = "1s"\nrun = "false"\n'
        '[[job]]\nname = "after-never"\nrun = "true"\nafter = "never"\n'
    )
    done = twofold("jobs", "run", "third", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tried again in 1 s (3 tries left)" in done.stderr
    assert "tried again in 2 s (2 tries left)" in done.stderr
    assert (tmp_path / "tries").read_text() == "x\n" * 3
    failed = twofold("jobs", "run", "never", cwd=tmp_path)
    assert failed.returncode == 1
    assert history(tmp_path, "never")[0]["attempts"] == 2
    assert history(tmp_path, "after-never") == []


def test_files_that_arrive(tmp_path: Path) -> None:
    """Each once, over a restart; unfinished names and growing files wait."""
    incoming = tmp_path / "in"
    incoming.mkdir()
    (tmp_path / "jobs.toml").write_text(
        '[[job]]\nname = "each"\nwatch = "in"\nsettle = "1s"\nrun = ["sh", "-c", "echo {file.name} >> seen"]\n'
    )
    for name in ("a.csv", "b.csv.part", ".c.csv", "_d.csv"):
        (incoming / name).write_text("1")
    first = up(tmp_path)
    wait_for_state(tmp_path, "each", "done")
    first.kill()
    first.wait()
    second = up(tmp_path)
    (incoming / "b.csv.part").rename(incoming / "b.csv")
    wait_for_state(tmp_path, "each", "done", 2)
    (incoming / "a.csv").write_text("1, and more")
    wait_for_state(tmp_path, "each", "done", 3)
    second.terminate()
    second.wait(timeout=30)
    assert (tmp_path / "seen").read_text().split() == ["a.csv", "b.csv", "a.csv"]


def test_a_run_that_is_killed_goes_on(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "n.csv").write_text("number\n" + "".join(f"{n}\n" for n in range(150)))
    (tmp_path / "jobs.toml").write_text(
        '[[job]]\nname = "long"\nmodel = "slow.py"\ninput = "n.csv"\noutput = "out.csv"\nsplit_rows = 10\nworkers = 1\n'
        'every = "1000d"\noverwrite = true\n'
    )
    scheduler = up(tmp_path)
    wait_for(lambda: (tmp_path / ".twofold" / "jobs.db").exists())
    backfill = ("jobs", "backfill", "long", "--from", "1970-01-01", "--to", "1970-01-02")

    def kill() -> bool:
        parts = tmp_path / "out.csv.twofold" / "parts"
        if not parts.is_dir() or len(list(parts.iterdir())) < 3:
            return False
        lock = next((tmp_path / ".twofold" / "jobs.runs").glob("*/lock"))
        os.killpg(int(lock.read_text()), signal.SIGKILL)
        return True

    import threading

    killer = threading.Thread(target=lambda: wait_for(kill))
    killer.start()
    done = twofold(*backfill, cwd=tmp_path)
    killer.join()
    scheduler.terminate()
    scheduler.wait(timeout=30)
    assert done.returncode == 0, done.stderr
    (firing,) = history(tmp_path, "long")
    assert (firing["state"], firing["attempts"], firing["time"]) == ("done", 2, "1970-01-01T00:00:00Z")
    assert (tmp_path / "out.csv").read_text() == "number,prediction\n" + "".join(f"{n},{n}\n" for n in range(150))


def test_two_schedulers_that_are_killed_run_each_firing_once(tmp_path: Path) -> None:
    """kill -9 at random moments: every firing's command has run once, from beginning to end."""
    (tmp_path / "jobs.toml").write_text(
        "max_runs = 8\n"
        + "".join(
            f'[[job]]\nname = "j{n}"\nevery = "1s"\nmissed = "all"\n'
            f'run = ["sh", "-c", "trap : TERM; echo j{n} {{time}} begin >> log; sleep 0.1;'
            f' echo j{n} {{time}} end >> log"]\n'
            for n in range(3)
        )
    )
    rng = random.Random(8)
    schedulers = [up(tmp_path, log=f"up-{n}.log") for n in range(2)]
    for n in range(2, 10):
        time.sleep(rng.uniform(0.1, 1.2))
        index = rng.randrange(2)
        schedulers[index].kill()
        schedulers[index].wait()
        schedulers[index] = up(tmp_path, log=f"up-{n}.log")
    time.sleep(1)
    wait_for(lambda: "3 jobs of" in (tmp_path / "up-9.log").read_text())  # it has begun
    for scheduler in schedulers:
        scheduler.terminate()
    ended = [scheduler.wait(timeout=40) for scheduler in schedulers]
    assert ended == [0, 0], [log.read_text() for log in tmp_path.glob("up-*.log")]
    lines = Counter((tmp_path / "log").read_text().splitlines())
    for n in range(3):
        firings = history(tmp_path, f"j{n}")
        times = [int(one["time"][-3:-1]) for one in firings]
        assert [(b - a) % 60 for a, b in pairwise(times)] == [1] * (len(times) - 1)
        for one in firings:
            moment = one["time"].replace("Z", "+00:00")
            n_ends = lines[f"j{n} {moment} end"]
            assert n_ends in {"done": (1,), "waiting": (0,), "running": (0, 1)}[one["state"]], one
