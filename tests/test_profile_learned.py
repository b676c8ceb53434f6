"""t(n): learned, asked, forgotten, kept."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twofold._profile import Profile, profile_path


def learned(times: dict[int, float], calls: int = 40) -> Profile:
    profile = Profile()
    for n_rows, seconds in times.items():
        for _ in range(calls):
            profile.learn(n_rows, seconds)
    return profile


def test_between_and_beyond_what_was_seen() -> None:
    profile = learned({1: 0.0011, 16: 0.0026, 64: 0.0074})
    assert profile.seconds_for(1) == pytest.approx(0.0011)
    assert profile.seconds_for(40) == pytest.approx(0.005)
    assert profile.seconds_for(128) == pytest.approx(0.0138)
    assert profile.rows_within(0.005) == 40
    assert profile.rows_within(0.0001) == 1
    assert profile.rows_within(1.0) == 256  # no further than four times what was seen
    assert profile.largest == 64


def test_nothing_known() -> None:
    profile = Profile()
    assert (profile.seconds_for(5), profile.typical_s(5), profile.rows_within(1.0)) == (0.0, 0.0, 1)


def test_a_slow_first_call_is_forgotten_at_the_next() -> None:
    profile = Profile()
    profile.learn(1, 5.0)
    assert profile.seconds_for(1) == 5.0
    profile.learn(1, 0.001)
    assert profile.seconds_for(1) == 0.001


def test_nine_of_ten_and_the_median() -> None:
    profile = Profile()
    for at in range(320):
        profile.learn(1, 0.005 if at % 5 == 0 else 0.002)
    assert profile.typical_s(1) == 0.002
    assert profile.seconds_for(1) == 0.005


def test_what_is_old_is_forgotten() -> None:
    profile = learned({1: 0.01})
    for _ in range(64):
        profile.learn(1, 0.002)
    assert profile.seconds_for(1) == 0.002
    profile = learned({1: 0.01, 8: 0.05})
    for _ in range(21_000):
        profile.learn(8, 0.001)
    assert profile.seconds_for(1) < 0.001


@pytest.mark.parametrize(
    ("fixed_s", "row_s", "fewest", "most"), [(0.0, 0.01, 1, 1), (0.005, 0.0001, 256, 2000), (0.001, 0.01, 1, 4)]
)
def test_calls_are_as_large_as_is_worthwhile(fixed_s: float, row_s: float, fewest: int, most: int) -> None:
    profile = Profile()
    for _ in range(400):
        rows = profile.worthwhile_rows(0.03, 5)
        profile.learn(rows, fixed_s + row_s * rows)
    assert fewest <= profile.worthwhile_rows(0.03, 5) <= most


@given(st.dictionaries(st.integers(1, 2000), st.floats(1e-6, 100), min_size=1, max_size=8), st.floats(1e-6, 100))
def test_more_rows_never_take_less(times: dict[int, float], limit_s: float) -> None:
    profile = learned(times, calls=3)
    each = [profile.seconds_for(n_rows) for n_rows in range(1, 3000, 37)]
    assert each == sorted(each)
    rows = profile.rows_within(limit_s)
    assert rows == 1 or profile.seconds_for(rows) <= limit_s * 1.0001
    again = Profile.from_json(profile.to_json())
    assert again.seconds_for(10) == pytest.approx(profile.seconds_for(10))


def test_kept_from_one_start_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TWOFOLD_CACHE_DIR", str(tmp_path))
    path = profile_path("0123456789ab")
    assert path.is_relative_to(tmp_path)
    profile = learned({1: 0.0011, 16: 0.0026})
    profile.slow = True
    profile.shrink(100)
    profile.write(path)
    again = Profile.read(path)
    assert (again.slow, again.most_rows) == (True, 50)
    assert again.seconds_for(16) == pytest.approx(0.0026)
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    assert profile_path("0123456789ab") != path


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sizes": [[0, 1, 1]], "most_rows": null, "slow": false}', "\xff"])
def test_what_is_no_profile_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "p").write_text(text)
    assert not Profile.read(tmp_path / "p").known


def test_a_disk_that_takes_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    learned({1: 0.001}).write(tmp_path / "file" / "profiles" / "p.json")
    if os.geteuid():
        (tmp_path / "closed").mkdir(mode=0o500)
        learned({1: 0.001}).write(tmp_path / "closed" / "p.json")
    assert not Profile.read(tmp_path / "none").known
