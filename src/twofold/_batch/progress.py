"""Progress of a run on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from twofold._batch.report import OnProgress, Progress

__all__ = ["showing"]

FIRST_LINE_S = 10.0
MOST_BETWEEN_S = 300.0


@contextmanager
def showing(title: str, stream: TextIO | None = None) -> Iterator[OnProgress]:
    """Gives what to hand to `run_batch`; what it shows is gone (a bar) or complete (lines) when this is left."""
    stream = stream or sys.stderr
    if not stream.isatty():
        yield _Lines(title, stream)
        return
    bar = _Bar(title)
    try:
        yield bar
    finally:
        bar.close()


class _Lines:
    """The first line after ten seconds, then at ever longer intervals, up to five minutes."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._between_s = FIRST_LINE_S
        self._next_s = FIRST_LINE_S

    def __call__(self, progress: Progress) -> None:
        if progress.stage != "rows" or progress.seconds < self._next_s:
            return
        self._next_s = progress.seconds + self._between_s
        self._between_s = min(1.5 * self._between_s, MOST_BETWEEN_S)
        self._stream.write(f"{self._title}: {describe(progress)}\n")
        self._stream.flush()


def describe(progress: Progress) -> str:
    """Rows done, speed, time left and rows in quarantine, in one line."""
    share = f"{100 * progress.rows_done / progress.rows_total:.0f} %" if progress.rows_total else "100 %"
    parts = [
        f"{progress.rows_done:,} of {progress.rows_total:,} rows ({share})",
        f"{progress.rows_per_second:,.0f} rows/s",
    ]
    if progress.seconds_left is not None:
        parts.append(f"{_clock(progress.seconds_left)} left")
    if progress.rows_quarantined:
        parts.append(f"{progress.rows_quarantined:,} in quarantine")
    return ", ".join(parts)


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _Bar:
    """A bar of rich, imported when there is something to show."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._shown: object = None

    def __call__(self, progress: Progress) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bars

        if self._shown is None:
            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
            bars = Bars(*columns, console=Console(stderr=True), transient=True)
            bars.start()
            self._shown = bars
            self._task = bars.add_task(self._title, total=max(progress.rows_total, 1), said="")
        assert isinstance(self._shown, Bars)
        said = "joining the parts" if progress.stage == "joining" else describe(progress)
        self._shown.update(self._task, completed=progress.rows_done, said=said)

    def close(self) -> None:
        from rich.progress import Progress as Bars

        if isinstance(self._shown, Bars):
            self._shown.stop()
