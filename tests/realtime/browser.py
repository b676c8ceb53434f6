"""A headless Chromium, driven over the DevTools protocol through a pipe."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-background-networking", "--remote-debugging-pipe", "--window-size=1100,1000", "about:blank",
)  # fmt: skip


class Page:
    """One page. What it logs as an error, or lets its policy refuse, is in `complaints`."""

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._received = b""
        self._number = 0
        self.complaints: list[str] = []
        target = self._call("Target.createTarget", url="about:blank")["targetId"]
        self._session = ""
        self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if getattr(self, "_session", ""):
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _next(self) -> Any:
        while b"\0" not in self._received:
            assert select.select([self._from], [], [], 30)[0], "the browser does not answer"
            data = os.read(self._from, 1 << 16)
            assert data, "the browser has ended"
            self._received += data
        message, _, self._received = self._received.partition(b"\0")
        return json.loads(message)

    def _note(self, event: Any) -> None:
        if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
            self.complaints.append(event["params"]["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(str(event["params"]["exceptionDetails"]))

    def open(self, url: str, *, dark: bool = False) -> None:
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._call("Emulation.setEmulatedMedia", features=scheme)
        self._call("Page.navigate", url=url)

    def value(self, expression: str) -> Any:
        """What this JavaScript gives, as JSON."""
        found = self._call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, expression: str, right: Callable[[Any], bool] = bool, timeout_s: float = 20.0) -> Any:
        until = time.monotonic() + timeout_s
        while not right(found := self.value(expression)):
            assert time.monotonic() < until, (expression, found, self.complaints)
            time.sleep(0.1)
        return found

    def screenshot(self, file: Path) -> None:
        file.write_bytes(base64.b64decode(self._call("Page.captureScreenshot", captureBeyondViewport=True)["data"]))


@contextmanager
def browser() -> Iterator[Page]:
    """A page of a browser of its own; the test is skipped where there is no Chromium."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("there is no chromium on PATH")
    folder = tempfile.mkdtemp(prefix="twofold-chromium-")
    child_reads, we_write, we_read, child_writes = map(_high, (*os.pipe(), *os.pipe()))
    silent = os.open(os.devnull, os.O_RDWR)
    actions = [
        *((os.POSIX_SPAWN_DUP2, silent, fd) for fd in (0, 1, 2)),
        (os.POSIX_SPAWN_DUP2, child_reads, 3),
        (os.POSIX_SPAWN_DUP2, child_writes, 4),
    ]
    command = [found, f"--user-data-dir={folder}", *OPTIONS]
    pid = os.posix_spawn(found, command, dict(os.environ), file_actions=actions, setpgroup=0)
    for fd in (silent, child_reads, child_writes):
        os.close(fd)
    try:
        yield Page(we_write, we_read)
    finally:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(we_write)
        os.close(we_read)
        shutil.rmtree(folder, ignore_errors=True)


def _high(fd: int) -> int:
    """The same open file under a number that is in nobody's way: the browser's pipes are 3 and 4."""
    high = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(fd)
    return high
