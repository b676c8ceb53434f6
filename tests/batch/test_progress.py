"""What is shown of a run while it works."""

from __future__ import annotations

import io
import time

from twofold._batch.progress import describe, describe_place, showing
from twofold._batch.report import PlaceProgress, Progress


def at(seconds: float, done: int, bad: int = 0) -> Progress:
    return Progress("rows", done, 10_000, bad, 0, seconds)


def test_a_line_now_and_then_in_a_pipe():
    stream = io.StringIO()
    with showing("out.csv", stream) as told:
        for seconds in range(100):
            told(at(float(seconds), 100 * seconds))
        told(Progress("joining", 10_000, 10_000, 0, 0, 100.0))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 5
    assert lines[0] == "out.csv: 1,000 of 10,000 rows (10 %), 100 rows/s, 1:30 left"


def test_a_bar_on_a_terminal(capsys):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    with showing("out.csv", Terminal()) as told:
        told(at(1.0, 2500))
        told(at(2.0, 5000, bad=3))
        told(Progress("joining", 10_000, 10_000, 3, 0, 3.0))


def test_what_is_resumed_does_not_count_as_speed():
    progress = Progress("rows", 6000, 10_000, 2, 5000, 10.0)
    assert progress.rows_per_second == 100
    assert describe(progress) == "6,000 of 10,000 rows (60 %), 100 rows/s, 0:40 left, 2 in quarantine"
    assert "1:02:03 left" in describe(Progress("rows", 1, 1 + 3723, 0, 0, 1.0))


def test_each_worker_has_a_line_and_many_share_one():
    places = tuple(PlaceProgress(f"{pid}", (pid, pid + 1), 100 * pid, 10.0) for pid in range(1, 13))
    assert describe_place(places[0]) == "100 rows, 10 rows/s, splits 1, 2"
    assert describe_place(PlaceProgress("7", (), 1000, 10.0)) == "1,000 rows, 100 rows/s, waits"

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with showing("out.csv", stream) as told:
        told(Progress("rows", 2500, 10_000, 3, 0, 1.0, places))
        until = time.monotonic() + 10
        while "4 more" not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.02)  # it is drawn ten times a second
        told(Progress("rows", 5000, 10_000, 3, 0, 2.0, places[:1]))
    shown = stream.getvalue()
    assert "worker 8" in shown
    assert "worker 9" not in shown
    assert "4 more" in shown


def test_lines_where_a_debugger_asks():
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    stream = Terminal()
    with showing("out.csv", stream, plain=True) as told:
        told(at(20.0, 2500))
    assert stream.getvalue() == "out.csv: 2,500 of 10,000 rows (25 %), 125 rows/s, 1:00 left\n"
