"""Kills a batch run before each of its writes (to names of the disk, to a database, to an object store), one after the
other, and starts it again.

python -m tests.faults.kill_points FOLDER OUTPUT STEP: tries every STEP-th of them, prints one JSON line. A process of
its own, which only forks: nothing is computed and no thread is started in it, so that its children are as good as new
processes, and 0.5 s cheaper each.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet  # noqa: F401 (imported once, here, and not in every child)

from tests.batch.runs import run
from tests.faults.kill_places import Place, child, killed, place_of
from twofold._batch import joining, part
from twofold._batch.stores import joined
from twofold._light import import_pyarrow

OPTIONS: dict[str, Any] = {"split_rows": 10, "batch_rows": 4, "overwrite": True}
DISK = ("fsync", "replace", "unlink", "mkdir", "rmdir")
OBJECTS = ("put", "copy", "delete")


def arm(at: int, output: str) -> None:
    """From here on, the `at`-th step that counts is not reached: the process is killed before it."""
    left = at

    def due() -> bool:
        nonlocal left
        left -= 1
        return left < 0

    steps: list[tuple[Any, str]] = [(os, name) for name in DISK]
    steps += [(part._OpenPart, "write"), (joining.Joining, "committed")]
    if output.startswith("s3://"):
        import obstore

        steps += [(obstore, name) for name in OBJECTS]
    elif output.startswith("sqlite:"):
        from twofold._batch.databases import sqlite

        steps += [(sqlite, "_commit"), (sqlite.SqliteSession, "insert"), (sqlite.SqliteSession, "run")]
    elif "://" in output:
        from twofold._batch.databases import postgres

        steps += [(postgres, "_commit"), (postgres.PostgresSession, "insert"), (postgres.PostgresSession, "run")]
    for owner, name in steps:
        setattr(owner, name, killed(getattr(owner, name), due))


def start(folder: Path, place: Place, at: int | None = None) -> int:
    if at is not None:
        arm(at, place.output)
    return run(folder / "model.py", folder / "in.csv", place.output, **OPTIONS, **place.options).exit_code


def main(folder: Path, name: str, step: int) -> None:
    import_pyarrow()
    joined.SYNC_BYTES = 1  # what is joined is flushed after each part
    place = place_of(folder, name)
    place.reset()
    old = place.seen()
    code = child(partial(start, folder, place))
    whole, aside = place.seen(), place.aside()
    problems, points = [], 0
    while True:
        place.reset()
        ended = child(partial(start, folder, place, points))
        if ended != -signal.SIGKILL:
            break
        seen = place.seen()
        if seen not in ("", old, whole):
            problems.append(f"{points}: half-written output")
        again = child(partial(start, folder, place))
        found = place.seen(), place.aside()
        if (again, *found) != (code, whole, aside):
            problems.append(f"{points}: exit {again}, output {found[0] == whole}, quarantine {found[1] == aside}")
        left = place.left()
        if left:
            problems.append(f"{points}: left {left}")
        points += step
    print(json.dumps({"code": code, "last": ended, "points": points // step, "problems": problems}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
