"""Schedules over changes of clocks, leap days and many years, against a reading of them written down here anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._jobs.times import Cron, Every, between, latest, seconds_of
from twofold._jobs.wrong import Wrong

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Havana", "Asia/Kathmandu", "UTC"]


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def shown(moments: list[int], zone: str) -> list[str]:
    return [datetime.fromtimestamp(moment, ZoneInfo(zone)).isoformat() for moment in moments]


def fixed_times(minutes: list[int], hours: list[int], zone: ZoneInfo, since: int, until: int) -> list[int]:
    """What a line of these minutes and hours means: each day at these times of day. One that is not there is the next
    moment that is; one that is there twice is the first."""
    day = datetime.fromtimestamp(since, zone).date() - timedelta(days=1)
    found = set()
    while day <= datetime.fromtimestamp(until, zone).date():
        for hour in hours:
            for minute in minutes:
                local = datetime(day.year, day.month, day.day, hour, minute)
                while True:
                    moment = local.replace(tzinfo=zone).astimezone(UTC)
                    if moment.astimezone(zone).replace(tzinfo=None) == local:
                        break
                    local += timedelta(minutes=1)
                found.add(int(moment.timestamp()))
        day += timedelta(days=1)
    return sorted(moment for moment in found if since < moment <= until)


def passing_times(minutes: list[int], zone: ZoneInfo, since: int, until: int) -> list[int]:
    """What a line with a star for its hours means: whenever a clock of the zone shows one of these minutes."""
    return [
        moment
        for moment in range((since // 60 + 1) * 60, until + 1, 60)
        if datetime.fromtimestamp(moment, zone).minute in minutes
    ]


# days around the changes of the clocks of these zones, and around a leap day
STARTS = st.sampled_from(
    ["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05", "2026-10-04", "2028-02-29"]
)


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    start=STARTS,
    hours=st.lists(st.integers(0, 23), min_size=1, max_size=4, unique=True),
    minutes=st.lists(st.sampled_from([0, 5, 15, 30, 59]), min_size=1, max_size=3, unique=True),
    offset=st.integers(-86_400, 86_400),
)
def test_fixed_times_of_day(zone: str, start: str, hours: list[int], minutes: list[int], offset: int) -> None:
    cron = Cron(f"{','.join(map(str, minutes))} {','.join(map(str, hours))} * * *", ZoneInfo(zone))
    since = at(start) + offset
    until = since + 2 * 86_400
    expected = fixed_times(minutes, hours, ZoneInfo(zone), since, until)
    assert shown(list(between(cron, since, until)), zone) == shown(expected, zone)


@settings(max_examples=30, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    start=STARTS,
    minutes=st.lists(st.sampled_from([0, 5, 15, 30, 59]), min_size=1, max_size=3, unique=True),
    offset=st.integers(-40_000, 40_000),
)
def test_hours_as_they_pass(zone: str, start: str, minutes: list[int], offset: int) -> None:
    cron = Cron(f"{','.join(map(str, minutes))} * * * *", ZoneInfo(zone))
    since = at(start) + offset
    until = since + 86_400
    expected = passing_times(minutes, ZoneInfo(zone), since, until)
    assert shown(list(between(cron, since, until)), zone) == shown(expected, zone)


LINES = [
    "30 2 * * *",
    "0,30 2,3 * * *",
    "*/15 * * * *",
    "15 1 * * *",
    "0 0 29 2 *",
    "0 */2 * * *",
    "0 9 * * MON-FRI",
    "0 0 L * *",
]


@settings(max_examples=60, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    line=st.sampled_from(LINES),
    start=STARTS,
    offset=st.integers(-86_400, 86_400),
    later=st.integers(1, 86_400),
)
def test_where_one_begins_to_look_does_not_matter(zone: str, line: str, start: str, offset: int, later: int) -> None:
    cron = Cron(line, ZoneInfo(zone))
    since = at(start) + offset
    until = since + 3 * 86_400
    whole = list(between(cron, since, until))
    assert whole == sorted(set(whole))
    assert [moment for moment in whole if moment > since + later] == list(between(cron, since + later, until))
    assert latest(cron, since, until, 5) == whole[-5:]


def test_the_night_of_the_change() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    nightly = Cron("30 2 * * *", berlin)
    assert shown(list(islice(nightly.after(at("2026-03-28")), 3)), "Europe/Berlin") == [
        "2026-03-28T02:30:00+01:00",
        "2026-03-29T03:00:00+02:00",  # 02:30 is not there
        "2026-03-30T02:30:00+02:00",
    ]
    assert shown(list(islice(nightly.after(at("2026-10-24")), 3)), "Europe/Berlin") == [
        "2026-10-24T02:30:00+02:00",
        "2026-10-25T02:30:00+02:00",  # 02:30 is there again at +01:00
        "2026-10-26T02:30:00+01:00",
    ]
    assert list(islice(Cron("0,30 2 * * *", berlin).after(at("2026-03-28T12:00")), 2)) == [
        at("2026-03-29T03:00", "Europe/Berlin"),  # both
        at("2026-03-30T02:00", "Europe/Berlin"),
    ]


def test_leap_days() -> None:
    assert shown(list(islice(Cron("0 0 29 2 *", ZoneInfo("UTC")).after(at("2096-01-01")), 2)), "UTC") == [
        "2096-02-29T00:00:00+00:00",
        "2104-02-29T00:00:00+00:00",  # 2100 is no leap year
    ]


def test_every() -> None:
    quarter = Every(900)
    assert list(between(quarter, at("2026-01-01"), at("2026-01-01T00:30"))) == [
        at("2026-01-01T00:15"),
        at("2026-01-01T00:30"),
    ]
    assert list(islice(quarter.after(at("2026-01-01T00:07")), 1)) == [at("2026-01-01T00:15")]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("30 2 * *", "4 fields, not five"),
        ("61 2 * * *", "bad minute"),
        ("0 0 30 2 *", "bad day-of-month"),
        ("", "0 fields"),
    ],
)
def test_lines_that_are_none(line: str, said: str) -> None:
    with pytest.raises(Wrong, match=said):
        Cron(line, ZoneInfo("UTC"))


@pytest.mark.parametrize("text", ["15", "0m", "m", "1.5h", 15, None])
def test_spans_that_are_none(text: object) -> None:
    with pytest.raises(Wrong, match="every"):
        seconds_of(text, "every")
