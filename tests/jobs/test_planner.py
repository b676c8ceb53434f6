"""Firings are written down once each, while clocks jump, schedulers come and go, and several look at once."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from twofold._jobs.job import JobSpec, spec_of
from twofold._jobs.planner import Planner
from twofold._jobs.store import Firing, Store
from twofold._jobs.times import between


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def job(**fields: Any) -> dict[str, JobSpec]:
    return {"j": spec_of({"name": "j", "run": "true", **fields})}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "jobs.db")
    yield store
    store.close()


def written(store: Store) -> list[tuple[int, str]]:
    return [(firing.time, firing.state) for firing in reversed(store.history("j", 10_000))]


def test_a_new_job_begins_now(store: Store) -> None:
    planner = Planner(store, job(every="1h"), at("2026-01-01T10:30"))
    assert planner.next_due() == at("2026-01-01T11:00")
    assert planner.plan(at("2026-01-01T10:59")) == []
    (new,) = planner.plan(at("2026-01-01T11:00"))
    assert (new.key, new.time, new.state) == ("2026-01-01T11:00:00Z", at("2026-01-01T11:00"), "waiting")
    assert planner.plan(at("2026-01-01T11:00")) == []
    assert planner.next_due() == at("2026-01-01T12:00")


@pytest.mark.parametrize(
    ("missed", "states"),
    [("once", ["skipped", "skipped", "waiting"]), ("skip", ["skipped"] * 3), ("all", ["waiting"] * 3)],
)
def test_missed_firings(store: Store, missed: str, states: list[str]) -> None:
    jobs = job(every="1h", missed=missed)
    Planner(store, jobs, at("2026-01-01T10:30"))
    Planner(store, jobs, at("2026-01-01T13:30")).plan(at("2026-01-01T13:30"))
    hours = [at(f"2026-01-01T{hour}:00") for hour in (11, 12, 13)]
    assert written(store) == list(zip(hours, states, strict=True))


def test_after_a_long_absence_not_all_are_written(store: Store) -> None:
    jobs = job(every="1s")
    Planner(store, jobs, at("2026-01-01"))
    Planner(store, jobs, at("2026-02-01")).plan(at("2026-02-01") - 3600)
    assert len(written(store)) == 100


def test_all_missed_firings_are_made_up_for_step_by_step(store: Store) -> None:
    jobs = job(every="1m", missed="all")
    Planner(store, jobs, at("2026-01-01"))
    planner = Planner(store, jobs, at("2026-01-03"))
    while planner.next_due() is not None and planner.next_due() <= at("2026-01-03"):  # type: ignore[operator]
        planner.plan(at("2026-01-03"))
    assert [time for time, _ in written(store)] == list(range(at("2026-01-01") + 60, at("2026-01-03") + 1, 60))


def test_overlapping_firings(store: Store) -> None:
    jobs = job(every="1h", overlap="skip")
    planner = Planner(store, jobs, at("2026-01-01T10:30"))
    for hour in (11, 12):
        planner.plan(at(f"2026-01-01T{hour}:00"))
    assert [state for _, state in written(store)] == ["waiting", "skipped"]
    firing = store.claim("j", at("2026-01-01T12:00"))
    assert firing is not None
    planner.plan(at("2026-01-01T13:00"))
    store.settle(firing, {"state": "done"})
    planner.plan(at("2026-01-01T14:00"))
    assert [state for _, state in written(store)] == ["done", "skipped", "skipped", "waiting"]
    assert store.history("j", 3)[1].reason == "the firing of 2026-01-01T11:00:00Z was not done"


def test_a_paused_job(store: Store) -> None:
    planner = Planner(store, job(every="1h"), at("2026-01-01T10:30"))
    store.pause("j", True)
    planner.plan(at("2026-01-01T11:00"))
    store.pause("j", False)
    planner.plan(at("2026-01-01T12:00"))
    assert [state for _, state in written(store)] == ["skipped", "waiting"]


def test_another_schedule_begins_anew(store: Store) -> None:
    Planner(store, job(every="1h"), at("2026-01-01T10:30"))
    planner = Planner(store, job(schedule="*/10 * * * *"), at("2026-01-01T15:05"))
    planner.plan(at("2026-01-01T15:10"))
    assert written(store) == [(at("2026-01-01T15:10"), "waiting")]


def test_a_clock_that_was_far_ahead(store: Store) -> None:
    Planner(store, job(every="1h"), at("2090-01-01"))
    planner = Planner(store, job(every="1h"), at("2026-01-01T10:30"))
    assert planner.next_due() == at("2026-01-01T11:00")


# What happens to a scheduler: time passes, its clock jumps by an hour, it is started anew, another is there as well.
EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("pass"), st.integers(1, 5400)),
        st.tuples(st.just("jump"), st.sampled_from([3600, -3600])),
        st.tuples(st.just("restart"), st.integers(0, 1)),
    ),
    min_size=5,
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=EVENTS,
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "UTC"]),
    start=st.sampled_from(["2026-03-28T18:00", "2026-10-24T18:00", "2026-11-01T00:00", "2028-02-28T20:00"]),
    line=st.sampled_from(["*/20 * * * *", "30 2 * * *", "0,30 1,2,3 * * *"]),
)
def test_every_moment_once_whatever_clocks_do(
    tmp_path: Path, events: list[tuple[str, int]], zone: str, start: str, line: str
) -> None:
    """All moments that the clock has passed are there, each once."""
    path = tmp_path / "jobs.db"
    for file in tmp_path.iterdir():
        file.unlink()
    jobs = job(schedule=line, timezone=zone, missed="all")
    stores = [Store(path), Store(path)]
    now = furthest = first = at(start)
    planners = [Planner(store, jobs, now) for store in stores]
    wrong = 0  # how far the clock is from where it would be
    for kind, by in events:
        if kind == "restart":
            planners[by] = Planner(stores[by], jobs, now)
        elif kind == "pass" or abs(wrong + by) <= 3600:
            wrong += by if kind == "jump" else 0
            now += by
            furthest = max(furthest, now)
        for planner in planners:
            planner.plan(now)
    schedule = jobs["j"].schedule
    assert schedule is not None
    expected = list(between(schedule, first, furthest))
    assert [time for time, _ in written(stores[0])] == expected
    for store in stores:
        store.close()


def test_firings_of_one_key_are_one(store: Store) -> None:
    firings: list[Firing] = []
    planner = Planner(store, job(every="1h"), at("2026-01-01T10:30"))
    planner.plan(at("2026-01-01T11:00"))
    for _ in range(3):
        found = store.claim("j", at("2026-01-01T11:00"))
        firings += [found] if found else []
    assert len(firings) == 1
    assert firings[0].run == "000001-1"
