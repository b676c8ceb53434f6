"""Which row is to blame for a lost worker, and how many calls may crash until it is known."""

from __future__ import annotations

import math
import signal
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twofold._batch.answer import _Calls, runs_of
from twofold._batch.executors.losses import Loss, Losses
from twofold._batch.sources import FileSplit
from twofold._batch.work import SplitTask

N_ROWS, BATCH_ROWS = 20_000, 4096
CRASHED = Loss("worker_lost", "why")
KILLED = Loss("worker_lost", "why", sure=False)
HUNG = Loss("deadline_exceeded", "why")


def fresh() -> SplitTask:
    return SplitTask(3, "part", FileSplit("in", 0, N_ROWS, {}), N_ROWS, [])


def first_call_with(task: SplitTask, guilty: set[int], order: np.ndarray | None) -> list[list[int]]:
    """The rows of the first call that has one of them, as `Answerer` makes its calls."""
    gone = {row for row, _, _ in task.given_up}
    rows = np.array([row for row in range(N_ROWS) if row not in gone])
    calls = _Calls(rows, None if order is None else np.argsort(order[rows], kind="stable"), task.careful)
    low = 0
    while low < len(rows):
        high = calls.end(low, min(len(rows), (low // BATCH_ROWS + 1) * BATCH_ROWS))
        found = calls.runs(low, high)
        if any(first <= row < end for first, end in found for row in guilty):
            return found
        low = high
    raise AssertionError("no call has them")


@settings(max_examples=30, deadline=None)
@given(
    guilty=st.sets(st.integers(0, N_ROWS - 1), min_size=1, max_size=4),
    by_row=st.booleans(),
    by_length=st.booleans(),
    loss=st.sampled_from([CRASHED, KILLED, HUNG]),
)
def test_exactly_the_guilty_rows_are_given_up(guilty: set[int], by_row: bool, by_length: bool, loss: Loss):
    losses, task = Losses(by_row=by_row), fresh()
    order = np.random.default_rng(1).integers(0, 300, N_ROWS) if by_length else None
    crashed = 0
    while left := guilty - {row for row, _, _ in task.given_up}:
        task, _ = losses.blame(task, first_call_with(task, left, order), loss)
        crashed += 1
    assert {row for row, _, _ in task.given_up} == guilty
    assert len(task.given_up) == len(guilty)
    assert crashed <= len(guilty) * (math.log2(BATCH_ROWS) + 1)


@given(rows=st.sets(st.integers(0, 60), min_size=1))
def test_runs_of_neighbours(rows: set[int]):
    runs = runs_of(np.array(sorted(rows)))
    assert [row for first, end in runs for row in range(first, end)] == sorted(rows)
    assert all(end < following for (_, end), (following, _) in pairwise(runs))


def test_one_kill_from_outside_changes_nothing_for_a_model_on_columns():
    losses = Losses(by_row=False)
    task, given_up = losses.blame(fresh(), [[0, 4096]], KILLED)
    assert (task, given_up) == (fresh(), False)
    assert losses.suspects(task)


def test_one_kill_from_outside_never_gives_up_a_row():
    for by_row in (True, False):
        task, given_up = Losses(by_row=by_row).blame(fresh(), [[7, 8]], KILLED)
        assert (task.given_up, given_up) == ((), False)


@pytest.mark.parametrize(
    ("code", "alone", "sure"),
    [(3, True, True), (-signal.SIGSEGV, True, True), (3, False, False), (-signal.SIGKILL, True, False)],
)
def test_what_ended_a_worker(code: int, alone: bool, sure: bool):
    assert Loss.ended(code, "ended", alone=alone).sure is sure


@pytest.mark.parametrize("by_row", [True, False])
def test_a_call_that_hangs_is_not_repeated_as_it_was(by_row: bool):
    losses = Losses(by_row=by_row)
    task, _ = losses.blame(fresh(), [[0, 4096]], HUNG)
    assert task.careful == (([[0, 4096]], 1 if by_row else 64),)
    task, given_up = losses.blame(task, [[5, 6]], HUNG)
    assert given_up
    assert task.given_up == ((5, "deadline_exceeded", "why"),)
