"""How figures are shown; that the docs have them is tested in tests/test_references.py."""

from __future__ import annotations

from benchmarks.machine import this_machine
from benchmarks.page import _tables
from benchmarks.results import Goal, Measure, Results, shown


def test_a_goal_is_reached_by_what_is_printed() -> None:
    def measure(goal: Goal, ours: float) -> Measure:
        return Measure(group="g", what="w", unit="s", sides={"twofold": [ours] * 3, "by hand": [1.0] * 3}, goal=goal)

    assert measure(Goal(1.05, "by hand"), 1.0544).reached()
    assert not measure(Goal(1.05, "by hand"), 1.056).reached()
    assert measure(Goal(5, "by hand", at_least=True), 5.2).reached()
    assert measure(Goal(0.8), 0.81).reached() is False
    assert measure(Goal(0.8, "nobody"), 0.81).reached() is None


def test_a_nought_is_a_figure(capsys) -> None:
    results = Results(name="n", quick=True, rounds=1, machine=this_machine())
    results.add("g", "idle", "%", {"twofold": [0.0], "FastAPI": [0.0]})
    assert "idle" in capsys.readouterr().out


def test_a_quick_run_says_nothing_of_a_goal(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr("benchmarks.results.FOLDER", tmp_path)
    monkeypatch.setattr("benchmarks.results.QUICK", tmp_path / "quick")
    for quick, verdict in ((True, ""), (False, ": missed")):
        results = Results(name="n", quick=quick, rounds=1, machine=this_machine())
        results.add("g", "time", "s", {"twofold": [2.0]}, Goal(1))
        assert results.save(1.0).parent == (tmp_path / "quick" if quick else tmp_path)
        assert capsys.readouterr().out.strip().endswith(f"≤ 1{verdict}")
        assert f"≤ 1{verdict} |" in "".join(_tables(results))


def test_counts_are_shown_as_they_are() -> None:
    results = Results(name="n", quick=True, rounds=1, machine=this_machine())
    results.add("g", "answered", "rows", {"twofold": [487_123], "FastAPI": [0]})
    assert [results.measures[0].shown(side) for side in ("twofold", "FastAPI")] == ["487,123", "0"]


def test_three_digits() -> None:
    assert [shown(value) for value in (0.5, 12.345, 123.4, 45678.0)] == ["0.50", "12.3", "123", "45,700"]
