"""What happens in a run, as JSON lines: all of it for machines (`--events`), what is worth keeping in the run's log.

started      who began what: version (of these lines), twofold, input, output, process, host
plan         run, model, rows, splits, rows_done and splits_done (by earlier starts), shape
split_begun  split, rows, file, first_row, place: a worker has begun with it
quarantined  split, rows, reasons, first_errors: rows of a committed split that have no answer
split_done   split, rows_in, rows_out, rows_quarantined, rows_left_out, seconds, place: it is committed
worker_lost  place, how, splits: what it had in hand is begun again by others
progress     at most one a second: stage, rows_done, rows_total, rows_quarantined, rows_per_second, seconds_left
published    output: it is there
done         the report, with exit_code
stopped      error, message, exit_code: the run ended before its work was done

Every line has `at` (UTC) and `event`. New keys and new events may come with any version of twofold; a change of what
is there gives these lines another `version`. Nobody's events end a run: what cannot be written is told once and left.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twofold._batch.report import Progress
from twofold._errors import OverwriteRefused, TwofoldError, UsageError
from twofold._version import __version__

__all__ = ["ID_CHARACTERS", "LOG", "VERSION", "Events", "both", "read_events", "telling"]

VERSION = 1
LOG = "log.jsonl"
ID_CHARACTERS = 12
"""Of a run's fingerprint, where people and events name it."""
LOGGED = frozenset(["started", "plan", "split_done", "worker_lost", "published", "done", "stopped"])
NOT_LOGGED = frozenset(["first_errors"])
"""What the log leaves out: values of rows."""
PROGRESS_S = 1.0
FIRST_LINE_BYTES = 1 << 16

Fields = dict[str, Any]


class Events:
    """Tells what happens to whoever listens: a descriptor, and the run's log from `keep` on."""

    def __init__(self, listener: int | None = None) -> None:
        self._listener = listener
        self._log: int | None = None
        self._begun: bytes = b""
        self._progress_s = -PROGRESS_S
        self._stage = ""

    def tell(self, event: str, **fields: Any) -> None:
        if self._listener is None and self._log is None and event != "started":
            return
        at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        if self._listener is not None:
            self._listener = _written(self._listener, _line(at, event, fields), complain=True)
        if event not in LOGGED:
            return
        line = _line(at, event, {key: value for key, value in fields.items() if key not in NOT_LOGGED})
        if event == "started":
            self._begun = line
        elif self._log is not None:
            self._log = _written(self._log, line)

    def progress(self, progress: Progress) -> None:
        if self._listener is None:
            return
        if progress.stage == self._stage and progress.seconds < self._progress_s + PROGRESS_S:
            return
        self._stage, self._progress_s = progress.stage, progress.seconds
        left = progress.seconds_left
        self.tell(
            "progress",
            stage=progress.stage,
            rows_done=progress.rows_done,
            rows_total=progress.rows_total,
            rows_quarantined=progress.rows_quarantined,
            rows_per_second=round(progress.rows_per_second, 1),
            seconds_left=None if left is None else round(left, 1),
        )

    def keep(self, path: Path | None, *, anew: bool) -> None:
        """From here on, the log has what happens, and how it began; `anew`: what an earlier run left in it goes."""
        if path is None:
            return
        with suppress(OSError):
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | (os.O_TRUNC if anew else 0)
            log = os.open(path, flags, 0o644)
            torn = os.fstat(log).st_size and os.pread(log, 1, os.fstat(log).st_size - 1) != b"\n"
            self._log = _written(log, b"\n" + self._begun if torn else self._begun)

    def close(self) -> None:
        if self._log is not None:
            os.close(self._log)
            self._log = None


def _line(at: str, event: str, fields: Fields) -> bytes:
    return json.dumps({"at": at, "event": event, **fields}, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def _written(descriptor: int, line: bytes, *, complain: bool = False) -> int | None:
    """The descriptor, or None where it takes no more."""
    try:
        while line:
            line = line[os.write(descriptor, line) :]
    except OSError as error:
        if complain:
            print(f"twofold: --events: {error.strerror}; the run goes on without", file=sys.stderr)
        else:
            os.close(descriptor)
        return None
    return descriptor


@contextmanager
def telling(given: str | None, source: str, output: str) -> Iterator[Events]:
    """The events of a run, from its start to its end, however it ends. `given`: where they go, `-`: standard output.

    UsageError for a place that is something else's.
    """
    listener = None if given is None else _listener(given, output)
    events = Events(listener)
    events.tell(
        "started",
        version=VERSION,
        twofold=__version__,
        input=source,
        output=output,
        process=os.getpid(),
        host=socket.gethostname(),
    )
    try:
        yield events
    except BaseException as error:
        code = 130 if isinstance(error, KeyboardInterrupt) else getattr(error, "exit_code", 1)
        kind = error.code if isinstance(error, TwofoldError) else type(error).__name__
        events.tell("stopped", error=kind, message=_first_line(error), exit_code=code)
        raise
    finally:
        events.close()
        if listener is not None and given != "-":
            os.close(listener)


def _first_line(error: BaseException) -> str:
    """What comes after it are rows."""
    return str(error).partition("\n")[0]


def _listener(given: str, output: str) -> int:
    if given == "-":
        if output == "-":
            raise UsageError("--events - and OUTPUT - would mix on standard output. Name a file: --events run.jsonl")
        sys.stdout.flush()
        return sys.stdout.fileno()
    path = Path(given)
    try:
        if path.is_file() and path.stat().st_size and not _is_events(path):
            raise OverwriteRefused(
                f"--events {given}: there is a file that has no events in it. Choose another: what is there is never "
                "replaced, a run's events are added."
            )
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    except OSError as error:
        raise UsageError(f"--events {given}: {error.strerror}. Choose another file.") from error


def _is_events(path: Path) -> bool:
    with path.open("rb") as file:
        first = file.readline(FIRST_LINE_BYTES)
    try:
        return {"at", "event"} <= set(json.loads(first))
    except (ValueError, TypeError):
        return False


def read_events(path: Path) -> list[Fields]:
    """The lines of a log; none where there is none. A last line that was cut off by a crash is left out."""
    found: list[Fields] = []
    with suppress(OSError):
        for line in path.read_bytes().splitlines():
            with suppress(ValueError):
                event = json.loads(line)
                if isinstance(event, dict) and "event" in event:
                    found.append(event)
    return found


def both(*told: Callable[[Progress], None] | None) -> Callable[[Progress], None]:
    """Tells each of them."""
    listening = [one for one in told if one is not None]

    def tell(progress: Progress) -> None:
        for one in listening:
            one(progress)

    return tell
