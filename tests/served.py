"""A server as a user has it: `twofold serve` in a process of its own, and a client."""

from __future__ import annotations

import http.client
import json
import os
import queue
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.processes import alive, marked, wait_for

MODEL = """
import ctypes, os, subprocess, sys, time
import twofold

@twofold.model(example={"text": "a"})
def fickle(text: str) -> str:
    if text == "raise": raise ValueError("as told")
    if text == "exit": sys.exit(3)
    if text == "crash": os._exit(9)
    if text == "hang": time.sleep(1000)
    if text == "hold": ctypes.PyDLL(None).sleep(1000)
    if text.startswith("sleep "): time.sleep(float(text[6:]))
    if text == "pid": return str(os.getpid())
    if text == "pid later":
        time.sleep(0.2)
        return str(os.getpid())
    return text + "!"

@twofold.model(example={"text": "a"})
def slow(text: str) -> str:
    time.sleep(0.002)
    return fickle(text)
"""


@dataclass
class Server:
    """`url` is "" until it is ready; `lines` is what it said on standard error."""

    process: subprocess.Popen[str]
    mark: str
    lines: list[str] = field(default_factory=list)
    port: int = 0
    _said: queue.Queue[str] = field(default_factory=queue.Queue)

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.lines.append(line.rstrip("\n"))
            self._said.put(line)

    def wait_until_ready(self) -> None:
        until = time.monotonic() + 40
        while time.monotonic() < until:
            try:
                line = self._said.get(timeout=0.2)
            except queue.Empty:
                assert self.process.poll() is None, self.lines
                continue
            if found := re.search(
                r"twofold serving \w+ \(version [0-9a-f]{12}\).* at http://127\.0\.0\.1:(\d+)$", line
            ):
                self.port = int(found[1])
                return
        raise AssertionError(f"not ready: {self.lines}")

    def ask(self, body: Any, timeout_s: float = 30.0) -> tuple[int, Any]:
        """POST /predict on a new connection: the status and the JSON of the answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("POST", "/predict", json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def said(self, words: str, times: int = 1) -> bool:
        """Whether a line with these words was on standard error so many times."""
        return sum(words in line for line in self.lines) >= times

    def status(self, path: str) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    def workers(self, role: str = "") -> list[int]:
        """The process ids of its workers; of those that were started as "front" or "model"."""
        found = []
        for pid in marked(self.mark):
            try:
                command = Path(f"/proc/{pid}/cmdline").read_text()
            except OSError:  # ended meanwhile
                continue
            *_, module, shown = ["", *command.rstrip("\0").split("\0")]
            if module == "twofold._realtime.worker" and role in ("", shown):
                found.append(pid)
        return found

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout_s: float = 30.0) -> int:
        """Signal the parent; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout_s)


@contextmanager
def started(*arguments: str | Path, code: str = "") -> Iterator[Server]:
    """`twofold ARGUMENTS`, or Python with `code`; whatever is left of it is killed at the end."""
    mark = secrets.token_hex(8)
    command = [sys.executable, "-c", code] if code else [sys.executable, "-m", "twofold"]
    cache = Path(tempfile.mkdtemp(prefix="test-cache-"))  # what one test learns of a model is nothing to the next
    process = subprocess.Popen(
        [*command, *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={"TWOFOLD_CACHE_DIR": str(cache), **os.environ, "TWOFOLD_TEST_MARK": mark},
    )
    server = Server(process, mark)
    reader = threading.Thread(target=server.read)
    reader.start()
    try:
        yield server
    finally:
        process.kill()
        process.wait()
        for pid in marked(mark):
            if alive(pid):
                os.kill(pid, signal.SIGKILL)
        reader.join()
        assert process.stderr is not None
        process.stderr.close()
        wait_for(lambda: not marked(mark))
        shutil.rmtree(cache)


@contextmanager
def serving(model: str | Path, *options: str | Path) -> Iterator[Server]:
    """`twofold serve MODEL --port 0 OPTIONS`, once it is ready."""
    with started("serve", model, "--port", "0", *options) as server:
        server.wait_until_ready()
        yield server


@contextmanager
def serving_on(loop: str, model: str | Path, **settings: Any) -> Iterator[Server]:
    """`twofold.serve(model, ...)` on this kind of event loop, once it is ready."""
    settings = {"port": 0, "loop": loop, **settings}
    with started(code=f"import sys, twofold; sys.exit(twofold.serve({str(model)!r}, **{settings!r}))") as server:
        server.wait_until_ready()
        yield server


class Load(threading.Thread):
    """Asks again and again on one kept connection until it is told to stop, or refused a connection."""

    def __init__(self, server: Server, text: str = "a") -> None:
        super().__init__(daemon=True)
        self.server = server
        self.body = json.dumps({"text": text})
        self.answered = 0
        self.lost: list[str] = []
        self.enough = threading.Event()

    def run(self) -> None:
        while not self.enough.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
            try:
                connection.connect()
            except OSError:  # it does not listen any more
                return
            try:
                self._ask_on(connection)
            finally:
                connection.close()

    def _ask_on(self, connection: http.client.HTTPConnection) -> None:
        while not self.enough.is_set():
            try:
                connection.request("POST", "/predict", self.body, {"Content-Type": "application/json"})
                answer = connection.getresponse()
            except (http.client.RemoteDisconnected, ConnectionError):
                # Closed between two answers, which every HTTP client knows: it may ask again. Without any answer on
                # this connection, the request was accepted and dropped.
                if not self.answered:
                    self.lost.append("no answer at all")
                return
            text = answer.read()
            if answer.status != 200:
                self.lost.append(f"{answer.status}: {text!r}")
            self.answered += 1
