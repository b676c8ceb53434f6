"""Progress of a run on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from twofold._batch.report import OnProgress, PlaceProgress, Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

__all__ = ["showing"]

FIRST_LINE_S = 10.0
MOST_BETWEEN_S = 300.0
MOST_PLACES = 8
"""Workers that have a line of their own."""


@contextmanager
def showing(title: str, stream: TextIO | None = None, *, plain: bool = False) -> Iterator[OnProgress]:
    """Gives what to hand to `run_batch`; what it shows is gone (bars) or complete (lines) when this is left.

    `plain`: lines on a terminal, too; bars are drawn over what a debugger asks.
    """
    stream = stream or sys.stderr
    if plain or not stream.isatty():
        yield _Lines(title, stream)
        return
    bar = _Bars(title, stream)
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


def describe_place(place: PlaceProgress) -> str:
    """What a worker does, in one line."""
    splits = ", ".join(str(split) for split in place.splits)
    doing = f"split{'s' if len(place.splits) > 1 else ''} {splits}" if splits else "waits"
    return f"{place.rows:,} rows, {place.rows_per_second:,.0f} rows/s, {doing}"


class _Bars:
    """Drawn by rich, imported when there is something to show: a bar for the run, a line for each worker below it."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._live: Live | None = None
        self._lines: list[str] = []

    def __call__(self, progress: Progress) -> None:
        if self._live is None:
            self._begin(progress)
        said = "joining the parts" if progress.stage == "joining" else describe(progress)
        self._bar.update(self._whole, completed=progress.rows_done, said=said)
        lines = [f"  worker {place.name}: {describe_place(place)}" for place in progress.places[:MOST_PLACES]]
        if rest := progress.places[MOST_PLACES:]:
            rows, speed = sum(place.rows for place in rest), sum(place.rows_per_second for place in rest)
            lines.append(f"  {len(rest)} more: {rows:,} rows, {speed:,.0f} rows/s")
        self._lines = lines

    def _begin(self, progress: Progress) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, TextColumn
        from rich.progress import Progress as Bar
        from rich.table import Column

        console = Console(file=self._stream)
        bar = BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4))
        self._bar = Bar(TextColumn("{task.description}"), bar, TextColumn("{task.fields[said]}"), expand=True)
        self._whole = self._bar.add_task(self._title, total=max(progress.rows_total, 1), said="")
        self._live = Live(get_renderable=self._drawn, console=console, refresh_per_second=10, transient=True)
        self._live.start()

    def _drawn(self) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        lines = [Text(line, no_wrap=True, overflow="ellipsis") for line in self._lines]
        return Group(self._bar.get_renderable(), *lines)

    def close(self) -> None:
        if self._live is not None:
            self._live.stop()
