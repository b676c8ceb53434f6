"""Every code block of the README and of docs/ runs, in order, one folder a page.

    ```python        first line `# name.py`: written to that file; otherwise run as a script
    ```toml          first line `# name.toml`: written to that file
    ```pycon         a Python session: what it prints must match
    ```console       lines that begin with `$ ` are run by a shell, what follows is what they print;
                     one that ends in `&` keeps running
    ```console figures   the same, but figures may differ: only words are compared
    ```sh            set-up commands, not run

Two more words may stand behind a language. `heavy`: needs the heavy packages, and runs with them only (make test-all).
`compiled`: needs a package that no test installs; its Python is compiled, not run.

`…` in expected output stands for anything. The port 8000 becomes a free one.
"""

from __future__ import annotations

import doctest
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN = {"sh", "text", "layers", "json", ""}


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    line: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text()
    for match in re.finditer(r"^```(.*)\n((?:.*\n)*?)```$", text, re.MULTILINE):
        yield Block(match.group(1).strip(), match.group(2), text.count("\n", 0, match.start()) + 1)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Session:
    """One page being read: its folder, its environment and what it left running."""

    def __init__(self, folder: Path, heavy: bool = False) -> None:
        self.folder = folder
        self.heavy = heavy
        self.port = str(free_port())
        self.running: list[subprocess.Popen[bytes]] = []
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self.env = os.environ | {
            "PATH": path, "NO_COLOR": "1", "COLUMNS": "120",
            "TWOFOLD_SERVE_PORT": self.port, "TWOFOLD_COMPARE_SECONDS": "0.2",
        }  # fmt: skip

    def run(self, block: Block) -> None:
        first, _, _ = block.text.partition("\n")
        language, words = block.language.partition(" ")[0], set(block.language.split()[1:])
        if "compiled" in words or ("heavy" in words and not self.heavy):
            if language == "python":
                compile(block.text, f"line {block.line}", "exec", dont_inherit=True)
        elif language == "console":
            for command, expected in commands(block.text):
                self.command(command, expected, figures="figures" in words)
        elif language == "pycon":
            self.python_session(block)
        elif language in ("python", "toml") and re.fullmatch(r"# [\w/]+\.(py|toml)", first):
            target = self.folder / first[2:]
            target.parent.mkdir(exist_ok=True)
            target.write_text(block.text)
        elif language == "python":
            subprocess.run([sys.executable, "-c", block.text], cwd=self.folder, env=self.env, check=True, timeout=60)
        else:
            assert language in NOT_RUN, f"line {block.line}: what is ```{block.language}?"
        assert words <= {"figures", "heavy", "compiled"}, f"line {block.line}: what is ```{block.language}?"

    def command(self, command: str, expected: str, figures: bool) -> None:
        command = command.replace("8000", self.port)
        if command.endswith("&"):
            argv = ["sh", "-c", f"exec {command[:-1]}"]
            self.running.append(subprocess.Popen(argv, cwd=self.folder, env=self.env, stderr=subprocess.DEVNULL))
            self.wait_until_ready()
            return
        done = subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=self.env, timeout=100,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        compare(command, expected.replace("8000", self.port), done.stdout, figures)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health/ready", timeout=2).close()
                return
            except (urllib.error.URLError, OSError):
                assert time.monotonic() < deadline, "the server did not become ready"
                time.sleep(0.1)

    def python_session(self, block: Block) -> None:
        source = block.text.replace("8000", self.port)
        script = self.folder / "session.txt"
        script.write_text(source)
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        call = f"doctest.testfile('session.txt', module_relative=False, optionflags={flags})"
        run = f"import doctest, sys; sys.exit({call}[0])"
        done = subprocess.run(
            [sys.executable, "-c", run], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"line {block.line}\n{done.stdout}{done.stderr}"

    def close(self) -> None:
        for process in self.running:
            process.send_signal(signal.SIGTERM)
        for process in self.running:
            process.wait(20)


def commands(text: str) -> Iterator[tuple[str, str]]:
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        lines = part.split("\n")
        command = lines.pop(0)
        while command.endswith("\\"):
            command = command[:-1] + lines.pop(0)
        yield command, "\n".join(lines)


def compare(command: str, expected: str, printed: str, figures: bool) -> None:
    printed = re.sub(r"^.* rows \(\d+ %\).*\n", "", printed, flags=re.MULTILINE)  # how far a slow batch run is

    def plain(text: str) -> str:
        if figures:
            text = re.sub(r"\d[\d,]*(\.\d+)?", "#", text)
            text = re.sub(r"[─━]+", "─", text)
        return re.sub(r"\s+", " ", text).strip()

    pattern = ".*".join(re.escape(piece) for piece in plain(expected).split("…"))
    shown = f"$ {command}\nexpected:\n{expected}\nprinted:\n{printed}"
    assert re.fullmatch(pattern, plain(printed), re.DOTALL), shown


def is_heavy(page: Path) -> bool:
    return any("heavy" in block.language.split()[1:] for block in blocks(page))


HEAVY_PAGES = [page for page in PAGES if is_heavy(page)]


def read(page: Path, session: Session) -> None:
    """Run the blocks of a page in order."""
    try:
        for block in blocks(page):
            session.run(block)
    finally:
        session.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs(page: Path, tmp_path: Path) -> None:
    read(page, Session(tmp_path))


@pytest.mark.heavy
@pytest.mark.timeout(300)
@pytest.mark.parametrize("page", HEAVY_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_runs_with_the_heavy_packages(page: Path, tmp_path: Path) -> None:
    read(page, Session(tmp_path, heavy=True))
