"""What stands in braces."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from twofold._jobs.placeholders import Occasion, filled, placeholders
from twofold._jobs.wrong import Wrong

BERLIN = ZoneInfo("Europe/Berlin")
OCCASION = Occasion(int(datetime(2026, 3, 30, 2, 30, tzinfo=BERLIN).timestamp()), BERLIN, "/in/day.x.csv.gz")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("out.csv", "out.csv"),
        ("{time:%Y-%m-%d}/{time:%H%M}.csv", "2026-03-30/0230.csv"),
        ("{time}", "2026-03-30T02:30:00+02:00"),
        ("{time-1d:%Y-%m-%d %H:%M}", "2026-03-29 02:30"),  # a time of day that was not there
        ("{time-1w:%d}", "23"),
        ("{time-24h:%Y-%m-%d %H:%M}", "2026-03-29 01:30"),  # 24 hours over the change of clocks
        ("{time+30m:%H:%M}", "03:00"),
        ("{file.path}", "/in/day.x.csv.gz"),
        ("{file.stem}.parquet", "day.x.parquet"),
        ("{file.name}", "day.x.csv.gz"),
        ("{{a}}", "{a}"),
    ],
)
def test_filled(text: str, expected: str) -> None:
    assert filled(text, OCCASION, "output") == expected


def test_which_are_there() -> None:
    assert placeholders("a{{b", "output") == set()
    assert placeholders("{time:%Y}{file.stem}", "output") == {"time", "file"}


@pytest.mark.parametrize("text", ["{date}", "{}", "{time.year}", "{file}", "{time", "}", "{time-1x}"])
def test_what_is_no_placeholder(text: str) -> None:
    with pytest.raises(Wrong, match="output"):
        placeholders(text, "output")
