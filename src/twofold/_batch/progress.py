"""Progress of a run on standard error: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from twofold._batch.report import OnProgress, PlaceProgress, Progress

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

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
    """Bars of rich, imported when there is something to show: one for the run, a line for each worker below it."""

    def __init__(self, title: str, stream: TextIO) -> None:
        self._title = title
        self._stream = stream
        self._shown: Bars | None = None
        self._lines: dict[str, TaskID] = {}

    def __call__(self, progress: Progress) -> None:
        bars = self._shown or self._begin(progress)
        said = "joining the parts" if progress.stage == "joining" else describe(progress)
        bars.update(self._whole, completed=progress.rows_done, said=said)
        shown = {place.name: describe_place(place) for place in progress.places[:MOST_PLACES]}
        if len(progress.places) > MOST_PLACES:
            rest = progress.places[MOST_PLACES:]
            speed = sum(place.rows_per_second for place in rest)
            shown[f"{len(rest)} more"] = f"{sum(place.rows for place in rest):,} rows, {speed:,.0f} rows/s"
        for name in [name for name in self._lines if name not in shown]:
            bars.remove_task(self._lines.pop(name))
        for name, said in shown.items():
            if name in self._lines:
                bars.update(self._lines[name], said=said)
            else:
                self._lines[name] = bars.add_task(f"  worker {name}", total=None, said=said, is_line=True)

    def _begin(self, progress: Progress) -> Bars:
        from rich.console import Console
        from rich.progress import BarColumn, Task, TextColumn
        from rich.progress import Progress as Bars
        from rich.text import Text

        class WholeBar(BarColumn):
            """No bar for the lines of workers."""

            def __call__(self, task: Task) -> RenderableType:
                return Text("") if "is_line" in task.fields else super().__call__(task)

        columns = (TextColumn("{task.description}"), WholeBar(), TextColumn("{task.fields[said]}"))
        bars = self._shown = Bars(*columns, console=Console(file=self._stream), transient=True)
        bars.start()
        self._whole = bars.add_task(self._title, total=max(progress.rows_total, 1), said="")
        return bars

    def close(self) -> None:
        if self._shown is not None:
            self._shown.stop()
