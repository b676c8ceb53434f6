"""Kills a batch run before each of its writes to the disk's names, one after the other, and starts it again.

python -m tests.faults.kill_points FOLDER OUTPUT STEP: tries every STEP-th of them, prints one JSON line. A process of
its own, which only forks: nothing is computed and no thread is started in it, so that its children are as good as new
processes, and 0.5 s cheaper each.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet  # noqa: F401 (imported once, here, and not in every child)

from tests.batch.runs import run
from twofold._batch import joining, part
from twofold._batch.stores import joined
from twofold._light import import_pyarrow

OPTIONS: dict[str, Any] = {"split_rows": 10, "batch_rows": 4, "overwrite": True}
COUNTED = ("fsync", "replace", "unlink", "mkdir", "rmdir")


def fingerprint(path: Path) -> str:
    """Names and bytes of a file or of all files below a folder; "" for nothing."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    files = sorted(entry for entry in path.rglob("*") if entry.is_file())
    return " ".join(f"{entry.relative_to(path)}:{fingerprint(entry)}" for entry in files)


def child(work: Callable[[], int]) -> int:
    """The exit code of `work` in a forked process; -9 when it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            code = work()
        except BaseException:
            traceback.print_exc()
            code = 99
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def arm(at: int) -> None:
    """From here on, the `at`-th step that counts is not reached: the process is killed before it."""
    left = at

    def counted(step: Callable[..., Any]) -> Callable[..., Any]:
        def do(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return step(*args, **kwargs)

        return do

    for name in COUNTED:
        setattr(os, name, counted(getattr(os, name)))
    part._OpenPart.write = counted(part._OpenPart.write)  # type: ignore[method-assign]
    joining.Joining.committed = counted(joining.Joining.committed)  # type: ignore[method-assign]


def main(folder: Path, name: str, step: int) -> None:
    import_pyarrow()
    joined.SYNC_BYTES = 1  # what is joined is flushed after each part
    output = folder / name.rstrip("/")
    state = folder / f"{output.name}.twofold"
    before = folder / "before"

    def start(at: int | None = None) -> int:
        if at is not None:
            arm(at)
        given = f"{folder}/{name}"
        return run(folder / "model.py", folder / "in.csv", given, **OPTIONS).exit_code

    def reset() -> None:
        shutil.rmtree(state, ignore_errors=True)
        shutil.rmtree(output, ignore_errors=True)
        output.unlink(missing_ok=True)
        if before.is_dir():
            shutil.copytree(before, output)
        elif before.exists():
            shutil.copy2(before, output)

    reset()
    old = fingerprint(output)
    code = child(start)
    whole, aside = fingerprint(output), fingerprint(state / "quarantine.jsonl")
    problems, points = [], 0
    while True:
        reset()
        ended = child(partial(start, points))
        if ended != -signal.SIGKILL:
            break
        seen = fingerprint(output)
        if seen not in ("", old, whole):
            problems.append(f"{points}: half-written output")
        again = child(start)
        found = fingerprint(output), fingerprint(state / "quarantine.jsonl")
        if (again, *found) != (code, whole, aside):
            problems.append(f"{points}: exit {again}, output {found[0] == whole}, quarantine {found[1] == aside}")
        left = sorted(entry.name for entry in state.iterdir())
        if left != ["lock", "quarantine.jsonl", "run.json"]:
            problems.append(f"{points}: left {left}")
        points += step
    print(json.dumps({"code": code, "last": ended, "points": points // step, "problems": problems}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
