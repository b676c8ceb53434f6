"""The short form of benchmarks/isolation.py."""

from __future__ import annotations

from benchmarks.isolation import isolation


def test_nobody_gets_the_answer_of_another() -> None:
    wrong, examples = isolation(6000, seed=2)
    assert (wrong, examples) == (0, [])
