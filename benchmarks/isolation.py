"""Row isolation: nobody gets another's answer, and nobody fails because of another's row.

    python -m benchmarks.isolation [--quick]

Every request carries numbers that no other has, and its answer must be made of just these. Among them are rows that
the model refuses, rows on which it breaks, lists with both in them, callers that hang up while they wait, and
requests whose time is too short. Half of the requests go to server processes that compute themselves, half to model
processes. Exit code 1 if a single answer is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

from benchmarks.overload import BODIES
from benchmarks.results import OURS, Goal, Results
from benchmarks.servers import serving

TAGS: Final = Path(__file__).parent / "tags.py"
CONNECTIONS: Final = 128
LAYOUTS: Final = (("tag", "--inline"), ("tag_columns", "--isolate"))
TITLES: Final = {"--inline": "server processes compute", "--isolate": "model processes"}


def expected(number: int) -> Any:
    """The answer to a row; a code where there is none."""
    if number % 17 == 0:
        return "bad_row"
    if number % 19 == 0:
        return "model_failed"
    return {"prediction": f"<{number}>"}


class _Caller(asyncio.Protocol):
    """One connection: asks, checks the answer, asks again; hangs up now and then."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._data = b""
        self._numbers: list[int] | None = None
        self._hurried = False

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        run, chance = self._run, self._run.chance
        kind = chance.random()
        count = chance.choice((2, 3, 40)) if kind < 0.02 else 0
        self._numbers = numbers = run.numbers(count or 1)
        if not numbers:
            self._transport.close()
            return
        rows = [{"number": number} for number in numbers]
        body = json.dumps(rows if count else rows[0]).encode()
        self._hurried = 0.02 < kind < 0.03
        deadline = b"X-Deadline-Ms: 1\r\n" if self._hurried else b""
        head = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        self._transport.write(b"%b%bContent-Length: %d\r\n\r\n%b" % (head, deadline, len(body), body))
        if 0.03 < kind < 0.04:
            run.seen["hung up"] += len(numbers)
            self._numbers = None
            asyncio.get_running_loop().call_later(chance.random() / 1000, self._transport.abort)

    def data_received(self, data: bytes) -> None:
        data = self._data = self._data + data
        head, found, body = data.partition(b"\r\n\r\n")
        if not found:
            return
        at = head.index(b"content-length: ") + 16
        if len(body) < int(head[at:].partition(b"\r\n")[0]):
            return
        self._data = b""
        if self._numbers is None:  # has hung up
            return
        self._check(int(head[9:12]), json.loads(body), self._numbers)
        self._ask()

    def _check(self, status: int, said: Any, numbers: list[int]) -> None:
        run = self._run
        if self._hurried and status in (429, 504):
            run.seen["too late"] += len(numbers)
            return
        answers = said if isinstance(said, list) else [{"error": said} if status != 200 else said]
        run.wrong += abs(len(answers) - len(numbers))
        for number, answer in zip(numbers, answers, strict=False):
            got = answer["error"]["code"] if "error" in answer else answer
            if got == expected(number):
                run.seen["answered" if isinstance(got, dict) else got] += 1
            else:
                run.wrong += 1
                run.examples.append(f"{number}: {status} {answer}")

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002
        if self._numbers:
            self._run.wrong += 1
            self._run.examples.append(f"{self._numbers[0]}: the connection ended without an answer")
        self._run.lost(self)


class _Run:
    def __init__(self, requests: int, seed: int) -> None:
        self.chance = random.Random(seed)
        self.seen: Counter[str] = Counter()
        self.wrong = 0
        self.examples: list[str] = []
        self._left = requests
        self._next = seed * 10**9
        self._open = 0
        self._port = 0

    def numbers(self, count: int) -> list[int]:
        if self._left <= 0:
            return []
        self._left -= 1
        self._next += count
        return list(range(self._next - count, self._next))

    def lost(self, caller: _Caller) -> None:  # noqa: ARG002
        if self._left > 0:
            self._connecting.append(asyncio.ensure_future(self._connect()))
        else:
            self._open -= 1
            if not self._open:
                self._over.set()

    async def _connect(self) -> None:
        await asyncio.get_running_loop().create_connection(lambda: _Caller(self), "127.0.0.1", self._port)

    async def against(self, port: int) -> None:
        self._port, self._open, self._over = port, CONNECTIONS, asyncio.Event()
        self._connecting: list[asyncio.Future[None]] = []
        for _ in range(CONNECTIONS):
            await self._connect()
        await self._over.wait()


def isolation(requests: int, seed: int = 1, *, results: Results | None = None) -> tuple[int, list[str]]:
    """How many answers were wrong, and some of them. Prints what was seen, and notes it in `results`."""
    wrong, examples = 0, []
    runs: dict[str, _Run] = {}
    for at, (model, layout) in enumerate(LAYOUTS):
        run = _Run(requests // len(LAYOUTS), seed + at)
        began = time.perf_counter()
        with serving(f"{TAGS}:{model}", BODIES[0], layout, "--workers", "2") as server:
            asyncio.run(run.against(server.port))
        seen = ", ".join(f"{count:,} {what}" for what, count in run.seen.most_common())
        print(f"{layout}: {seen}; {run.wrong} wrong; {time.perf_counter() - began:.0f} s", flush=True)
        wrong += run.wrong
        examples += run.examples[:10]
        runs[TITLES[layout]] = run
    if results is not None:
        _note(results, runs, requests // len(LAYOUTS))
    return wrong, examples


def _note(results: Results, runs: dict[str, _Run], requests: int) -> None:
    group = f"rows of {requests:,} requests to each"
    kinds = dict.fromkeys(kind for run in runs.values() for kind, _ in run.seen.most_common())
    for kind in kinds:
        results.add(group, kind.replace("_", " "), "rows", {title: [run.seen[kind]] for title, run in runs.items()})
    wrong = {OURS: [float(sum(run.wrong for run in runs.values()))]}
    results.add("all of them", "wrong answers, or none", "rows", wrong, Goal(0))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20,000 requests")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    began = time.perf_counter()
    results = Results.begin("isolation", 1, quick=given.quick)
    wrong, examples = isolation(20_000 if given.quick else 1_000_000, given.seed, results=results)
    print("\n".join(examples), file=sys.stderr)
    results.save(time.perf_counter() - began)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
