"""Schedulers as processes, for tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.commands import twofold
from tests.processes import wait_for


def up(folder: Path, file: str = "jobs.toml", log: str = "up.log") -> subprocess.Popen[bytes]:
    """`twofold jobs up` in a process of its own; what it prints goes to `log`."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TWOFOLD")}
    with (folder / log).open("ab") as stream:
        return subprocess.Popen(
            [sys.executable, "-m", "twofold", "jobs", "up", file], cwd=folder, env=clean, stdout=stream, stderr=stream
        )


def history(folder: Path, name: str, n: int = 1000) -> list[dict[str, Any]]:
    """The firings of a job, the oldest first."""
    done = twofold("jobs", "history", name, "--limit", n, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    return list(reversed(json.loads(done.stdout)))


def wait_for_state(folder: Path, name: str, state: str, n: int = 1) -> list[dict[str, Any]]:
    """Until a job has so many firings of that state."""

    def found() -> list[dict[str, Any]]:
        firings = [one for one in history(folder, name) if one["state"] == state]
        return firings if len(firings) >= n else []

    return wait_for(found, timeout_s=40)
