"""The Batcher: what is gathered, what is shared out, what is taken back."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pyarrow as pa
import pytest

from twofold._columns import Batch
from twofold._errors import RowFailure
from twofold._profile import Profile
from twofold._realtime.batcher import Batcher, Ticket
from twofold._realtime.counters import IN_FLIGHT, QUEUE_ROWS, QUEUE_S, TOTAL_S, Counters
from twofold._realtime.counters import ROWS as COUNTED_ROWS
from twofold._realtime.limits import Limits
from twofold._runner import Result

ROWS = pa.schema([pa.field("n", pa.int64(), nullable=False)])


class HeldBackend:
    """A backend whose calls end when the test says so."""

    def __init__(self, places: int = 1, *, inline: bool = False, call_rows: int | None = None) -> None:
        self.inline = inline
        self.call_rows = call_rows
        self.places = places
        self.on_free: Callable[[], None] = lambda: None
        self.on_held: Callable[[int, float], None] = lambda _rows, _seconds: None
        self.longest_s = 0.0
        self.calls: list[tuple[list[int], Callable[[Result], None]]] = []
        self.seen: list[list[int]] = []

    @property
    def free(self) -> int:
        return self.places - len(self.calls)

    def start_call(self, batch: Batch, done: Callable[[Result], None], deadline: float) -> None:
        rows = [row[0] for row in batch.rows()]
        self.seen.append(rows)
        self.calls.append((rows, done))
        if self.inline:
            self.end()

    def end(self, failures: dict[int, RowFailure] | None = None) -> None:
        rows, done = self.calls.pop(0)
        answered = [(n * 10,) for at, n in enumerate(rows) if at not in (failures or {})]
        done(Result(Batch.from_rows(ROWS, answered), failures or {}))


class Caller:
    def __init__(self, batcher: Batcher) -> None:
        self.batcher = batcher
        self.got: dict[str, list[Any]] = {}

    def ask(self, name: str, *rows: int, deadline_s: float = 30.0) -> Ticket:
        def done(results: Any) -> None:
            assert name not in self.got, "answered twice"
            self.got[name] = [r if isinstance(r, RowFailure) else r[0] for r in results]

        return self.batcher.submit([(n,) for n in rows], Batch.rows, done, deadline_s=deadline_s)


def setup(batch_rows: int = 100, **options: Any) -> tuple[HeldBackend, Caller]:
    backend = HeldBackend(**options)
    return backend, Caller(
        Batcher(backend, ROWS, ROWS, limits=Limits(batch_rows=batch_rows), profile=Profile(), counters=Counters())
    )


async def tick() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


def test_rows_of_one_tick_make_one_batch_and_rows_meanwhile_the_next():
    async def main() -> None:
        backend, caller = setup()
        caller.ask("a", 1)
        caller.ask("b", 2, 3)
        assert backend.seen == []
        await tick()
        assert backend.seen == [[1, 2, 3]]
        caller.ask("c", 4)
        await tick()
        caller.ask("d", 5)
        await tick()
        assert backend.seen == [[1, 2, 3]]
        backend.end()
        assert caller.got == {"a": [10], "b": [20, 30]}
        await tick()
        assert backend.seen[1:] == [[4, 5]]
        backend.end()
        assert caller.got["c"] == [40]
        assert caller.got["d"] == [50]

    asyncio.run(main())


def test_an_inline_backend_answers_in_the_tick_and_larger_batches_are_cut():
    async def main() -> None:
        backend, caller = setup(inline=True, batch_rows=3)
        caller.ask("a", 1, 2)
        caller.ask("b", 3, 4, 5, 6, 7)
        await asyncio.sleep(0)
        assert caller.got == {"a": [10, 20]}
        for _ in range(5):
            await asyncio.sleep(0)
        assert backend.seen == [[1, 2], [3, 4, 5], [6, 7]]
        assert caller.got["b"] == [30, 40, 50, 60, 70]
        assert caller.batcher.rows_waiting == 0

    asyncio.run(main())


def test_what_a_free_place_could_start_is_not_gathered():
    async def main() -> None:
        backend, caller = setup(places=2)
        for n in range(5):
            caller.ask(str(n), n)
        await tick()
        assert backend.seen == [[0, 1, 2], [3, 4]]

    asyncio.run(main())


def test_a_backend_of_single_rows_gets_single_rows():
    async def main() -> None:
        backend, caller = setup(places=2, call_rows=1)
        caller.ask("a", 1, 2, 3)
        await tick()
        assert backend.seen == [[1], [2]]
        backend.calls.reverse()  # the second row ends first
        backend.end()
        await tick()
        backend.end()
        await tick()
        assert caller.got == {}
        backend.end()
        assert caller.got == {"a": [10, 20, 30]}

    asyncio.run(main())


def test_failures_reach_the_rows_they_belong_to():
    async def main() -> None:
        backend, caller = setup()
        caller.ask("a", 1)
        caller.ask("b", 2, 3)
        caller.ask("c", 4)
        await tick()
        wrong = RowFailure("model_failed", "no")
        backend.end({1: wrong, 3: wrong})
        assert caller.got == {"a": [10], "b": [wrong, 30], "c": [wrong]}

    asyncio.run(main())


def test_cancelled_rows_leave_the_queue():
    async def main() -> None:
        backend, caller = setup()
        caller.ask("busy", 0)
        await tick()
        gone, stays = caller.ask("gone", 1, 2), caller.ask("stays", 3)
        assert gone.waiting
        assert caller.batcher.rows_waiting == 3
        gone.cancel()
        gone.cancel()
        assert caller.batcher.rows_waiting == 1
        backend.end()
        await tick()
        assert backend.seen == [[0], [3]]
        assert not stays.waiting
        backend.end()
        assert set(caller.got) == {"busy", "stays"}

    asyncio.run(main())


def test_a_ticket_cancelled_in_the_middle_computes_no_further_rows():
    async def main() -> None:
        backend, caller = setup(batch_rows=2)
        ticket = caller.ask("a", 1, 2, 3, 4)
        await tick()
        assert not ticket.waiting
        ticket.cancel()
        assert caller.batcher.rows_waiting == 0
        backend.end()
        await tick()
        assert backend.seen == [[1, 2]]
        assert caller.got == {}

    asyncio.run(main())


def test_a_deadline_ends_waiting_rows_and_rows_in_a_call():
    async def main() -> None:
        backend, caller = setup()
        caller.ask("in a call", 0, deadline_s=0.05)
        await tick()
        caller.ask("waiting", 1, deadline_s=0.05)
        caller.ask("patient", 2)
        await asyncio.sleep(0.1)
        assert [r.code for r in caller.got["in a call"]] == ["deadline_exceeded"]
        assert [r.code for r in caller.got["waiting"]] == ["deadline_exceeded"]
        backend.end()  # too late: nobody hears it
        await tick()
        assert backend.seen == [[0], [2]]

    asyncio.run(main())


def test_expired_rows_are_not_computed_inline_either():
    async def main() -> None:
        backend, caller = setup(inline=True)
        caller.ask("late", 1, deadline_s=-1.0)
        caller.ask("in time", 2)
        await tick()
        assert backend.seen == [[2]]
        assert [r.code for r in caller.got["late"]] == ["deadline_exceeded"]

    asyncio.run(main())


def test_a_caller_that_fails_to_take_its_answer_harms_nobody():
    async def main() -> None:
        seen: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
        backend, caller = setup()

        def broken(results: Any) -> None:
            raise OSError("gone")

        caller.batcher.submit([(1,)], Batch.rows, broken, deadline_s=30)
        caller.ask("b", 2)
        await tick()
        backend.end()
        assert caller.got == {"b": [20]}
        assert [str(e) for e in seen] == ["gone"]

    asyncio.run(main())


@pytest.mark.parametrize("where", ["start_call", "answers"])
def test_what_breaks_around_a_call_fails_its_rows(where: str):
    async def main() -> None:
        seen: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
        backend, caller = setup()
        results: list[Any] = []

        def explode(*_: Any) -> Any:
            raise ZeroDivisionError("ours")

        if where == "start_call":
            backend.start_call = explode  # type: ignore[method-assign,assignment]
        answers = explode if where == "answers" else Batch.rows
        caller.batcher.submit([(1,), (2,)], answers, results.extend, deadline_s=30)
        await tick()
        if where == "answers":
            backend.end()
        assert [(r.code, r.kind) for r in results] == [("model_failed", "ZeroDivisionError")] * 2
        assert len(seen) == 1

    asyncio.run(main())


def test_a_place_that_becomes_free_on_its_own_takes_what_waits():
    async def main() -> None:
        backend, caller = setup(places=0)
        caller.ask("a", 1)
        await tick()
        assert backend.seen == []
        backend.places = 1
        backend.on_free()
        await tick()
        assert backend.seen == [[1]]

    asyncio.run(main())


def test_no_row_gets_the_answer_of_another():
    async def main() -> None:
        _, caller = setup(inline=True, batch_rows=7)
        for n in range(2000):
            caller.ask(str(n), n, n + 1)
            if n % 5 == 0:
                await asyncio.sleep(0)
        while caller.batcher.rows_waiting:
            await asyncio.sleep(0)
        assert all(caller.got[str(n)] == [n * 10, n * 10 + 10] for n in range(2000))

    asyncio.run(main())


def test_what_waits_and_what_is_in_flight_is_counted():
    async def main() -> None:
        counters = Counters()
        backend = HeldBackend()
        caller = Caller(Batcher(backend, ROWS, ROWS, limits=Limits(), profile=Profile(), counters=counters))

        def counted() -> tuple[float, ...]:
            return tuple(counters.cells[at] for at in (IN_FLIGHT, QUEUE_ROWS, COUNTED_ROWS))

        caller.ask("a", 1)
        await tick()
        caller.ask("b", 2)
        gone = caller.ask("c", 4)
        await tick()
        assert counted() == (3, 2, 0)
        gone.cancel()
        backend.end()
        await tick()
        assert counted() == (1, 0, 1)
        backend.end()
        await tick()
        assert counted() == (0, 0, 2)
        # "c" was taken back before a call had it
        for seconds, requests in ((QUEUE_S, 2), (TOTAL_S, 3)):
            assert sum(counters.cells[seconds.first : seconds.sum]) == requests

    asyncio.run(main())


def test_each_form_of_answers_is_made_once_a_call():
    """Requests of several protocols in one call: the whole call is not made again at every change."""
    made: list[str] = []

    def form(name: str) -> Callable[[Batch], Sequence[Any]]:
        def of(batch: Batch) -> Sequence[Any]:
            made.append(name)
            return [(name, row[0]) for row in batch.rows()]

        return of

    async def main() -> None:
        backend, caller = setup()
        got: list[Any] = []
        forms = [form("plain"), form("tensor")]
        for n in range(6):
            caller.batcher.submit([(n,)], forms[n % 2], got.extend)
        await tick()
        backend.end()
        assert got == [(("plain", "tensor")[n % 2], n * 10) for n in range(6)]
        assert sorted(made) == ["plain", "tensor"]

    asyncio.run(main())


def test_everyone_who_watches_sees_each_call_with_its_rows_and_one_that_fails_harms_nobody(
    caplog: pytest.LogCaptureFixture,
):
    async def main() -> None:
        backend, caller = setup()
        seen: list[list[int]] = [[], []]

        def fails(*_: object) -> None:
            raise ValueError("no room")

        caller.batcher.watch(lambda parts, began, batch, result: seen[0].append(batch.n_rows))
        caller.batcher.watch(fails)
        caller.batcher.watch(lambda parts, began, batch, result: seen[1].append(result.outputs.n_rows))
        caller.ask("a", 1, 2)
        await tick()
        backend.end({1: RowFailure("bad_row", "no")})
        assert seen == [[2], [1]]
        assert caller.got["a"][0] == 10

    asyncio.run(main())
    assert "a call could not be logged" in caplog.text
