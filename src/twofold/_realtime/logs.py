"""What the processes of a server say on standard error: one form for all of them, lines for people or JSON.

    twofold: process 4711 was killed by SIGKILL; another one starts in 0.1 s.           the parent
    2026-11-24T10:15:00.123Z error fraud: ValueError: no (a.py:8) (request 8d3f…)       the other processes

The parent says little and must start fast: it does so through `Lines`. The others have `logging` (`set_up`), and so
has what they load: a model's own log, and those of its libraries, come out in the same form.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from twofold._errors import UsageError

if TYPE_CHECKING:
    from logging import LogRecord

    from twofold._options import ServeOptions
from twofold._realtime.installed import installed

__all__ = ["ACCESS", "Lines", "Repeats", "check_folder", "set_up", "traces_wanted"]

Level = Literal["info", "warning", "error"]

ACCESS: Final = "twofold.access"
# What a record may carry beside its message (`extra=`), as the fields of a JSON line.
FIELDS: Final = (
    "request_id", "model", "method", "path", "status", "code", "milliseconds", "bytes", "client", "left_out",
)  # fmt: skip
TRACING: Final = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
REPEATED_S: Final = 1.0
KINDS: Final = 1000


class Lines:
    """The lines of the parent, which loads neither models nor `logging`."""

    def __init__(self, options: ServeOptions) -> None:
        self._json = options.log_json
        self._errors_only = options.log_level == "error"

    def say(self, text: str, level: Level = "info") -> None:
        if level == "error" or not self._errors_only:
            self._write(f"twofold: {text}", text, level)

    def announce(self, text: str) -> None:
        """The line that callers wait for: it is there at every level."""
        self._write(text, text, "info")

    def _write(self, line: str, message: str, level: Level) -> None:
        if self._json:
            line = _json_line(
                {
                    "time": _time(time.time()),
                    "level": level,
                    "message": message,
                    "logger": "twofold",
                    "process": os.getpid(),
                }
            )
        print(line, file=sys.stderr, flush=True)


def set_up(options: ServeOptions) -> None:
    """Send all that is logged in this process to standard error. Called once, in a process that is all ours."""
    import logging

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_AsJson() if options.log_json else _AsText())  # type: ignore[arg-type]
    handler.addFilter(_Traces())
    level = logging.getLevelNamesMapping()[options.log_level.upper()]
    logging.basicConfig(handlers=[handler], level=level, force=True)
    # twofold's own lines are few: what it does is shown, unless only errors are wanted
    logging.getLogger("twofold").setLevel(min(level, logging.INFO) if level < logging.ERROR else level)
    logging.getLogger(ACCESS).setLevel(logging.INFO)  # asked for by an option of its own
    logging.captureWarnings(True)
    sys.excepthook = lambda kind, error, trace: logging.getLogger("twofold").critical(
        "the process ends: %s", kind.__name__, exc_info=(kind, error, trace)
    )


def check_folder(options: ServeOptions) -> None:
    """Raises UsageError where the prediction log could not be written."""
    if not options.log_predictions:
        return
    try:
        Path(options.log_folder).mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=options.log_folder):
            pass
    except OSError as error:
        raise UsageError(
            f"The predictions cannot be logged in {options.log_folder}: {error.strerror}. Give a folder that can be "
            "written with --log-folder."
        ) from error


def traces_wanted(lines: Lines | None = None) -> bool:
    """Whether OpenTelemetry's variables name an endpoint, and its packages are there; else `lines` says so."""
    named = any(os.environ.get(f"OTEL_EXPORTER_OTLP_{kind}ENDPOINT") for kind in ("", "TRACES_"))
    if not named or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    there = all(map(installed, TRACING))
    if not there and lines is not None:
        lines.say(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and there are no traces: they need pip install 'twofold[otel]'.",
            "warning",
        )
    return there


class Repeats:
    """Keeps what comes again and again from filling the disk: the first of each kind is told at once, then at most one
    a second."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._told: dict[object, list[float]] = {}  # of each kind: when it was told last, how many were left out since

    def left_out(self, kind: object) -> int | None:
        """How many of this kind were left out before the one that is to be told now; None: leave this one out too."""
        now = self._clock()
        found = self._told.get(kind)
        if found is None:
            if len(self._told) >= KINDS:  # kinds without end are one kind
                kind = None
                if kind in self._told:
                    return self.left_out(kind)
            self._told[kind] = [now, 0]
            return 0
        if now - found[0] < REPEATED_S:
            found[1] += 1
            return None
        left_out = int(found[1])
        found[:] = [now, 0]
        return left_out


class _Traces:
    """Lets tracebacks through as often as `Repeats` says; they are of one kind when the same line raised them."""

    def __init__(self) -> None:
        self._repeats = Repeats()

    def filter(self, record: LogRecord) -> bool:
        if not record.exc_info or record.exc_info[0] is None:
            return True
        trace = record.exc_info[2]
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        where = None if trace is None else (trace.tb_frame.f_code, trace.tb_lineno)
        left_out = self._repeats.left_out((record.name, record.msg, record.exc_info[0], where))
        if left_out:
            record.left_out = left_out
        return left_out is not None


class _AsText:
    def format(self, record: LogRecord) -> str:
        said = [_time(record.created), record.levelname.lower(), f"{record.name}: {record.getMessage()}"]
        if left_out := getattr(record, "left_out", 0):
            said.append(f"(and {left_out:,} like it before)")
        request_id = getattr(record, "request_id", "")
        if request_id and record.name != ACCESS:
            said.append(f"(request {request_id})")
        trace = _traceback(record)
        return " ".join(said) + (f"\n{trace}" if trace else "")


class _AsJson:
    def format(self, record: LogRecord) -> str:
        line: dict[str, Any] = {
            "time": _time(record.created),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            "logger": record.name,
            "process": record.process,
        }
        line |= {name: value for name in FIELDS if (value := getattr(record, name, "")) != ""}
        if trace := _traceback(record):
            line["traceback"] = trace
        return _json_line(line)


def _traceback(record: LogRecord) -> str:
    """Of the exception that is logged, or the text of one from another process (`exc_text`)."""
    if record.exc_text is None and record.exc_info and record.exc_info[1] is not None:
        import traceback

        return "".join(traceback.format_exception(record.exc_info[1])).rstrip("\n")
    return (record.exc_text or "").rstrip("\n")


def _time(seconds: float) -> str:
    """RFC 3339, UTC, milliseconds."""
    whole, thousandths = divmod(int(seconds * 1000), 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{thousandths:03d}Z"


def _json_line(line: dict[str, Any]) -> str:
    return json.dumps(line, ensure_ascii=False, default=str)
