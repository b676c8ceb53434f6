"""What is admitted, gathered and shared out, measured in a simulated world."""

from __future__ import annotations

import asyncio
import random

import pytest

from tests.realtime.simulation import Seen, World, run


def test_a_batch_that_is_no_cheaper_is_not_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an embedding model with 10 ms a text, one process never gets what the other could compute."""

    async def main() -> None:
        world = World(lambda rows: 0.01 * rows, places=2)
        await world.closed_loop(16, 5)
        world.backend.busy_s = 0.0
        seen = await world.closed_loop(16, 20)
        assert len(seen.answered_s) / seen.seconds >= 0.99 * 200
        assert world.backend.busy_s >= 0.99 * 2 * seen.seconds
        assert max(world.backend.sizes[-500:]) == 1
        assert seen.percentile(0.99) <= 0.1  # 16 clients, 200 rows/s: nobody waits for a batch of others

    run(monkeypatch, main)


def test_a_batch_that_is_cheaper_is_gathered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        world = World(lambda rows: 0.005 + 0.0001 * rows)
        await world.closed_loop(64, 5)
        seen = await world.closed_loop(64, 10)
        assert len(seen.answered_s) / seen.seconds >= 0.9 * 64 / 0.0114
        world = World(lambda rows: 0.005 + 0.0001 * rows, places=2)
        await world.closed_loop(64, 5)
        seen = await world.closed_loop(64, 10)
        assert len(seen.answered_s) / seen.seconds >= 0.9 * 64 / 0.0082

    run(monkeypatch, main)


@pytest.mark.parametrize(
    ("fixed_s", "row_s", "places"), [(0.0, 0.002, 1), (0.0, 0.002, 4), (0.004, 0.0004, 1), (0.004, 0.0004, 2)]
)
def test_overload(monkeypatch: pytest.MonkeyPatch, fixed_s: float, row_s: float, places: int) -> None:
    """Three times more than can be answered: what can be is, in time; the rest is refused at once, and when it is over
    it is over."""

    async def main() -> None:
        world = World(lambda rows: fixed_s + row_s * rows, places=places)
        # what calls that last half the deadline can do
        capacity = places / row_s if not fixed_s else places * 100 / (fixed_s + row_s * 100)
        await world.open_loop(0.5 * capacity, 2, deadline_s=0.1)
        normal = await world.open_loop(0.5 * capacity, 3, deadline_s=0.1, seed=2)
        assert (normal.refused, normal.late) == (0, 0)
        seen = await world.open_loop(3 * capacity, 4, deadline_s=0.1, seed=3)
        assert len(seen.answered_s) / seen.seconds >= 0.95 * capacity
        assert seen.late <= 0.01 * len(seen.answered_s)
        assert seen.most_rows_waiting <= 0.1 * capacity + 1
        after = await world.open_loop(0.5 * capacity, 3, deadline_s=0.1, seed=2)
        assert (after.refused, after.late) == (0, 0)
        assert after.percentile(0.9) <= 1.2 * normal.percentile(0.9) + 0.001

    run(monkeypatch, main)


def test_overload_with_calls_that_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every seventh call takes ten times as long as t(n) says: what is answered in time is still what can be."""
    chance, busy_s, calls = random.Random(5), 0.0, 0

    def seconds(rows: int) -> float:
        nonlocal busy_s, calls
        took_s = 0.002 * rows + (0.02 if chance.random() < 0.15 else 0.0)
        busy_s += took_s
        calls += rows
        return took_s

    async def main() -> None:
        nonlocal busy_s, calls
        world = World(seconds)
        await world.closed_loop(8, 3)
        await world.open_loop(600, 2, deadline_s=0.1, seed=2)
        busy_s, calls = 0.0, 0
        seen = await world.open_loop(600, 20, deadline_s=0.1, seed=3)
        assert len(seen.answered_s) / seen.seconds >= 0.95 * calls / busy_s
        assert seen.late <= 0.06 * (len(seen.answered_s) + seen.refused)

    run(monkeypatch, main)


def test_an_idle_model_takes_whatever_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A first call that took longer than the deadline is not the end."""

    async def main() -> None:
        took = iter([5.0])
        world = World(lambda _: next(took, 0.001), deadline_s=1.0)
        seen = Seen()
        assert not await world.ask(seen)
        await asyncio.sleep(10)
        assert [await world.ask(seen) for _ in range(20)] == [True] * 20
        seen = await world.open_loop(500, 5)
        assert (seen.refused, seen.late) == (0, 0)

    run(monkeypatch, main)


def test_who_is_in_a_hurry_goes_first_and_nobody_is_late_by_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        world = World(lambda rows: 0.01 * rows)
        await world.closed_loop(8, 3)
        seen, hurried, order = Seen(), Seen(), []
        patient = [world.ask(seen, deadline_s=2) for _ in range(50)]
        quick = world.ask(hurried, deadline_s=0.1)
        quick.add_done_callback(lambda _: order.append("quick"))
        patient[-1].add_done_callback(lambda _: order.append("patient"))
        assert await quick
        assert all(await asyncio.gather(*patient))
        assert order == ["quick", "patient"]
        assert hurried.answered_s[0] <= 0.1
        # with no slack left, nobody is let past those who have been promised their time
        patient = [world.ask(seen, deadline_s=2) for _ in range(300)]
        assert seen.refused
        overtaking = [world.ask(hurried, deadline_s=1.9) for _ in range(100)]
        assert hurried.refused > 50
        assert hurried.late == 0
        await asyncio.gather(*overtaking)
        await asyncio.gather(*patient)
        assert seen.late == 0

    run(monkeypatch, main)


def test_a_large_request_does_not_hold_up_small_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        world = World(lambda rows: 0.001 * rows)
        await world.closed_loop(4, 1)
        seen, small = Seen(), Seen()
        large = world.ask(seen, rows=5000)
        await asyncio.sleep(0.5)
        for _ in range(20):
            assert await world.ask(small, deadline_s=0.1)
        assert max(small.answered_s) < 0.02
        assert await large
        assert seen.answered_s[0] < 5.2

    run(monkeypatch, main)


def test_memory_for_what_waits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        world = World(lambda rows: 1.0 * rows, deadline_s=1e6)
        seen = Seen()
        waiting = [world.ask(seen) for _ in range(100_000)]
        assert 60_000 < world.batcher.rows_waiting < 70_000
        assert seen.refused == 100_000 - world.batcher.rows_waiting
        for ticket in [*world.batcher._line]:
            ticket.cancel()
        assert world.batcher.rows_waiting == 0
        assert await world.ask(seen)
        assert waiting

    run(monkeypatch, main)
