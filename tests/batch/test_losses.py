"""Which row is to blame for a lost worker."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._batch.executors.losses import Losses
from twofold._batch.sources import FileSplit
from twofold._batch.work import SplitTask

N_ROWS, BATCH_ROWS = 20_000, 4096


def fresh() -> SplitTask:
    return SplitTask(3, "part", FileSplit("in", 0, N_ROWS, {}), N_ROWS, [])


def call_with(task: SplitTask, guilty: int) -> tuple[int, int]:
    """The rows of the call that computes the guilty row."""
    low, high = guilty // BATCH_ROWS * BATCH_ROWS, min(N_ROWS, (guilty // BATCH_ROWS + 1) * BATCH_ROWS)
    for first, end, rows in task.careful:
        if first <= guilty < end:
            at = first + (guilty - first) // rows * rows
            low, high = max(low, at), min(high, end, at + rows)
    return low, high


@settings(max_examples=50, deadline=None)
@given(guilty=st.sets(st.integers(0, N_ROWS - 1), min_size=1, max_size=4), by_row=st.booleans())
def test_exactly_the_guilty_rows_are_given_up(guilty: set[int], by_row: bool):
    losses, task = Losses(by_row=by_row), fresh()
    starts = 0
    while left := guilty - {row for row, _, _ in task.given_up}:
        first = min(left, key=lambda row: call_with(task, row))
        task, _ = losses.blame(task, *call_with(task, first), "worker_lost", "why")
        starts += 1
        assert starts <= 8 * len(guilty)
    assert {row for row, _, _ in task.given_up} == guilty


def test_one_kill_from_outside_changes_nothing_for_a_model_on_columns():
    losses = Losses(by_row=False)
    task, given_up = losses.blame(fresh(), 0, 4096, "worker_lost", "why")
    assert (task, given_up) == (fresh(), False)
    assert losses.suspects(task)


def test_one_kill_from_outside_never_gives_up_a_row():
    for by_row in (True, False):
        task, given_up = Losses(by_row=by_row).blame(fresh(), 7, 8, "worker_lost", "why")
        assert (task.given_up, given_up) == ((), False)


@pytest.mark.parametrize("by_row", [True, False])
def test_a_call_that_hangs_is_not_repeated_as_it_was(by_row: bool):
    losses = Losses(by_row=by_row)
    task, _ = losses.blame(fresh(), 0, 4096, "deadline_exceeded", "why")
    assert task.careful == ((0, 4096, 1 if by_row else 64),)
    task, given_up = losses.blame(task, 5, 6, "deadline_exceeded", "why")
    assert given_up
    assert task.given_up == ((5, "deadline_exceeded", "why"),)
