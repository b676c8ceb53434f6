"""When a window is open: over midnight, on days of the week, over changes of clocks."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._jobs.windows import next_opening, open_window, window_of
from twofold._jobs.wrong import Wrong

UTC = ZoneInfo("UTC")
BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp())


def test_over_midnight() -> None:
    windows = [window_of("22:00-06:00 Europe/Berlin", UTC)]
    assert open_window(windows, at("2026-11-24T21:59")) is None
    assert next_opening(windows, at("2026-11-24T21:59")) == at("2026-11-24T22:00")
    for text in ("2026-11-24T22:00", "2026-11-25T05:59"):
        assert open_window(windows, at(text)) == (windows[0], at("2026-11-25T06:00"))
    assert open_window(windows, at("2026-11-25T06:00")) is None


def test_days_are_those_on_which_it_opens() -> None:
    windows = [window_of("22:00-06:00 fri,sun", BERLIN)]
    assert open_window(windows, at("2026-11-28T05:00")) is not None  # a Saturday: opened on Friday
    assert open_window(windows, at("2026-11-28T23:00")) is None
    assert next_opening(windows, at("2026-11-28T12:00")) == at("2026-11-29T22:00")
    assert window_of("9:00-17:00 sat-mon", UTC).days == {5, 6, 0}


def test_several_windows_follow_each_other() -> None:
    windows = [window_of("22:00-24:00", UTC), window_of({"hours": "00:00-06:00", "workers": 4}, UTC)]
    evening, night = (
        open_window(windows, at("2026-11-24T23:59", UTC)),
        open_window(windows, at("2026-11-25T00:00", UTC)),
    )
    assert evening is not None
    assert night is not None
    assert (evening[0].settings, night[0].settings) == ((None, None), (4, None))
    assert evening[1] == at("2026-11-25T00:00", UTC)


def test_the_nights_of_the_changes() -> None:
    windows = [window_of("02:00-04:00", BERLIN)]
    assert [closes - opens for opens, closes in windows[0].spans(at("2026-03-29T12:00"))][:3] == [7200, 3600, 7200]
    assert [closes - opens for opens, closes in windows[0].spans(at("2026-10-25T12:00"))][:3] == [7200, 10_800, 7200]
    gone = window_of("02:00-03:00", BERLIN)
    opens = [opens for opens, _ in gone.spans(at("2026-03-29T12:00"))]
    assert at("2026-03-28T02:00") in opens
    assert at("2026-03-30T02:00") in opens
    assert len([o for o in opens if at("2026-03-28T12:00") < o < at("2026-03-29T12:00")]) == 0


@settings(max_examples=60, deadline=None)
@given(
    opens=st.integers(0, 1439),
    closes=st.integers(1, 1440),
    hours=st.integers(0, 24 * 400),
    zone=st.sampled_from(["Europe/Berlin", "Australia/Lord_Howe", "America/New_York", "UTC"]),
)
def test_open_means_that_the_clock_is_between(opens: int, closes: int, hours: int, zone: str) -> None:
    text = f"{opens // 60:02}:{opens % 60:02}-{closes // 60:02}:{closes % 60:02}"
    window = window_of(text, ZoneInfo(zone))
    moment = at("2026-01-01T00:30", UTC) + hours * 3600
    local = datetime.fromtimestamp(moment, ZoneInfo(zone))
    if (
        local.utcoffset() != (local + timedelta(days=1)).utcoffset()
        or local.utcoffset() != (local - timedelta(days=1)).utcoffset()
    ):
        return  # the nights of the changes have a test of their own
    minutes = local.hour * 60 + local.minute
    inside = opens <= minutes < closes if opens < closes else minutes >= opens or minutes < closes
    found = open_window([window], moment)
    assert (found is not None) == inside
    if found is None:
        assert moment < next_opening([window], moment) <= moment + 86_400
    else:
        assert moment < found[1] <= moment + 86_400


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ("22:00", "neither hours, days nor a time zone"),
        ("mon-fri", "has no hours"),
        ("22:00-25:00", "no time of day"),
        ("22:00-06:00 Europe/Berln", "no time zone"),
        ("22:00-06:00 mon-fry", "no day of the week"),
        ("", "no window"),
        (7, "no window"),
        ({"hours": "22:00-06:00", "worker": 2}, "Did you mean 'workers'"),
        ({"hours": "22:00-06:00", "workers": 0}, "at least 1"),
        ({"hours": "22:00-06:00", "priority": "high"}, "normal, low, idle"),
    ],
)
def test_windows_that_are_none(given_: Any, said: str) -> None:
    with pytest.raises(Wrong, match=said):
        window_of(given_, UTC)
