"""The server that is asked: a process of its own, whose log is read."""

from __future__ import annotations

import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.processes import TWOFOLD

__all__ = ["Server", "serving"]

START_S = 60.0
READY = re.compile(r"at http://127\.0\.0\.1:(\d+)(?:, gRPC at (\S+))?\n")


@dataclass
class Server:
    port: int
    grpc_address: str
    _log: Path
    _read: int = 0

    def tracebacks(self) -> str:
        """What the log says since the last call, where an exception is in it that nobody expected; else ""."""
        with self._log.open("rb") as file:
            file.seek(self._read)
            said = file.read()
        self._read += len(said)
        return said.decode("utf-8", "replace") if b"Traceback" in said else ""

    def memory_mib(self) -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=30) as answer:
            found = re.search(rb"\ntwofold_resident_memory_bytes (\S+)", answer.read())
        assert found is not None
        return float(found[1]) / (1 << 20)


@contextmanager
def serving(folder: Path, file: Path, names: tuple[str, ...]) -> Iterator[Server]:
    """These models of the file, in one server process; its log goes to the folder."""
    log = folder / "log"
    options = ["--port", "0", "--grpc-port", "0", "--inline", "--workers", "1", "--max-body", "4MiB"]
    command = [*TWOFOLD, "serve", *(f"{file}:{name}" for name in names), *options]
    with log.open("wb") as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            until = time.monotonic() + START_S
            while (found := READY.search(log.read_text())) is None:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"the server did not start: {log.read_text()}")
                time.sleep(0.05)
            yield Server(int(found[1]), found[2] or "", log)
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
