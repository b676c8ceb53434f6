"""The same rows through both modes, as a user starts them: a server asked over HTTP, and a batch run."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = ROOT / "examples"
TWOFOLD = [sys.executable, "-m", "twofold"]


def script(path: Path, *arguments: object) -> str:
    """Run a script of an example; what it printed."""
    command = [sys.executable, str(path), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_real_time(model: Path, rows: Sequence[Any]) -> list[Any]:
    """The answers of a server: the first row is asked alone, all of them again as a list."""
    command = [*TWOFOLD, "serve", str(model), "--port", "0", "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        line = server.stderr.readline()
        try:
            assert "http://" in line, line + server.stderr.read()
            url = line.split()[-1]
            together = _ask(url, rows)
            assert _ask(url, rows[0]) == together[0]
        finally:
            server.terminate()
            rest = server.stderr.read()
    assert server.returncode == 0, rest
    assert isinstance(together, list)
    return together


def _ask(url: str, body: Any) -> Any:
    request = urllib.request.Request(f"{url}/predict", json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def in_batch(model: Path, source: Path, output: Path, *options: str) -> list[Any]:
    """The lines of a batch run's output, which is to be .jsonl, without the input's columns."""
    command = [*TWOFOLD, "batch", str(model), str(source), str(output), "--keep", "", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in output.read_text().splitlines()]
