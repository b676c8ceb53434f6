"""Runs a load in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, BinaryIO

import msgspec

from twofold._errors import RunStopped
from twofold._load.generator import read_message, write_message
from twofold._load.plan import LoadPlan, LoadResult, Progress

__all__ = ["run_load"]

GENERATOR = "twofold._load.generator"
OnProgress = Callable[[Progress], None]


def _nobody(_: Progress) -> None:
    pass


def run_load(
    plan: LoadPlan, bodies: Sequence[bytes], *, on_progress: OnProgress = _nobody, keep_interrupted: bool = False
) -> LoadResult:
    """Send `bodies` as the plan says, from a new process. Raises RunStopped when the server cannot be reached.

    `keep_interrupted`: Ctrl-C and SIGTERM end the load early, and what was measured until then is the result; a second
    one raises KeyboardInterrupt. To be called in the main thread then.
    """
    if not bodies:
        raise ValueError("a load needs at least one body")
    # apart from the terminal's Ctrl-C, in the same session: the kernel may share the CPU out by sessions
    apart: dict[str, Any] = {"process_group": 0} if os.name == "posix" else {}
    with tempfile.TemporaryFile() as complaint:
        command = [sys.executable, "-P", "-m", GENERATOR]  # without the current folder, whose files may have any name
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=complaint, **apart)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with suppress(BrokenPipeError):
                write_message(process.stdin, (plan, list(bodies)))  # type: ignore[arg-type]
            with _interrupts(process.stdin if keep_interrupted else None):
                result = _follow(process.stdout, on_progress)  # type: ignore[arg-type]
        except BaseException:
            process.kill()
            raise
        finally:
            process.stdout.close()
            with suppress(OSError):
                process.stdin.close()
            process.wait()
        if result is None:
            complaint.seek(0)
            reason = complaint.read().decode(errors="replace").strip().rpartition("\n")[2]
            raise RunStopped(f"the load generator ended early: {reason}", returncode=process.returncode)
    return result


def _follow(stream: BinaryIO, on_progress: OnProgress) -> LoadResult | None:
    """Read until the result is there; None: the process ended without one."""
    while True:
        raw = read_message(stream)
        if raw is None:
            return None
        message = msgspec.msgpack.decode(raw, type=Progress | LoadResult)
        if isinstance(message, LoadResult):
            return message
        on_progress(message)


@contextmanager
def _interrupts(stdin: Any) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM closes the generator's input, which ends its run."""
    if stdin is None or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupted(number: int, frame: object) -> None:  # noqa: ARG001
        if stdin.closed:
            raise KeyboardInterrupt
        stdin.close()

    before = {number: signal.signal(number, interrupted) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
