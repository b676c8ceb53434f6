"""Runs the command line as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

PARITY = """
import twofold

@twofold.model
def parity(number: int) -> str:
    return "Even" if number % 2 == 0 else "Odd"
"""

PICKY = """
import twofold

@twofold.model
def picky(number: int) -> str:
    if number == 13:
        raise twofold.BadRow("thirteen is unlucky")
    if number == 0:
        raise ZeroDivisionError("nothing to divide")
    return "fine"
"""


def twofold(
    *args: object, cwd: Path, stdin: bytes = b"", env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run `twofold` with these words; nothing on the environment but what is given speaks to it."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("TWOFOLD")}
    done = subprocess.run(
        [sys.executable, "-m", "twofold", *map(str, args)],
        cwd=cwd,
        input=stdin,
        env=clean | {"COLUMNS": "80"} | (env or {}),
        capture_output=True,
        timeout=100,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
