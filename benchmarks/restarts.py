"""Restarts under load.

    python -m benchmarks.restarts [--quick]

A server of two processes answers busy connections (each asks again as soon as it is answered, and begins anew only
where an answer says `Connection: close`), and new connections which come all the time and ask once. Meanwhile SIGHUP
has its processes replaced again and again. Anything but a 200 is a failed request: a reset, an end of the connection
without an answer, an error. Exit code 1 when a request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from benchmarks.processes import EVEN, TWOFOLD
from benchmarks.results import Goal, Results

BODY = b'{"number": 7}'
REQUEST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
    len(BODY),
    BODY,
)
LENGTH = re.compile(rb"content-length: (\d+)\r\n", re.IGNORECASE)
ANSWER_S = 30.0
PROCESSES = 2
PAUSE_S = 0.005  # between two new connections of one newcomer


@dataclass
class Counted:
    """What became of the requests: answered, and why others were not."""

    answered: int = 0
    connections: int = 0
    failed: Counter[str] = field(default_factory=Counter)


async def measure(results: Results, restarts: int, workers: int, busy: int, newcomers: int) -> int:
    """How many requests failed."""
    async with _server(workers) as (process, port, lines):
        on_busy, on_new = Counted(), Counted()
        over = asyncio.Event()
        began = time.perf_counter()
        clients = [asyncio.create_task(_busy(port, on_busy, over)) for _ in range(busy)]
        clients += [asyncio.create_task(_newcomer(port, on_new, over)) for _ in range(newcomers)]
        done = 0
        while done < restarts:
            process.send_signal(signal.SIGHUP)
            said = await asyncio.wait_for(lines.get(), 60)
            if "has been replaced" not in said:
                raise SystemExit(f"the server said: {said}")
            done += workers
            if sys.stderr.isatty():
                print(f"\r{done} restarts", end="", file=sys.stderr, flush=True)
        over.set()
        await asyncio.gather(*clients)
    seconds = time.perf_counter() - began
    group = f"{done} restarts of a server process in {seconds:.0f} s"
    sides = {f"{busy} busy connections": on_busy, "new connections": on_new}
    add = results.add
    add(group, "requests answered", "", {side: [counted.answered] for side, counted in sides.items()})
    add(group, "connections", "", {side: [counted.connections] for side, counted in sides.items()})
    failed = {side: sum(counted.failed.values()) for side, counted in sides.items()}
    for side, count in failed.items():
        add(group, f"requests failed, {side}", "", {side: [count]}, Goal(0, side=side))
    print({**on_busy.failed, **on_new.failed} or "", file=sys.stderr)
    return sum(failed.values())


@asynccontextmanager
async def _server(workers: int) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, asyncio.Queue[str]]]:
    """The server's process, its port, and what it says from then on."""
    command = [*TWOFOLD, "serve", str(EVEN), "--inline", "--workers", str(workers), "--port", "0"]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    lines: asyncio.Queue[str] = asyncio.Queue()
    first = (await process.stderr.readline()).decode()
    found = re.search(r":(\d+)$", first.strip())
    if found is None:
        raise SystemExit(f"the server said: {first}")
    reading = asyncio.create_task(_read(process.stderr, lines))
    try:
        yield process, int(found[1]), lines
    finally:
        process.terminate()
        await process.wait()
        await reading


async def _read(stream: asyncio.StreamReader, lines: asyncio.Queue[str]) -> None:
    while line := await stream.readline():
        lines.put_nowait(line.decode().rstrip())


async def _busy(port: int, counted: Counted, over: asyncio.Event) -> None:
    """One connection that is never idle for longer than it takes to ask again."""
    while not over.is_set():
        await _ask(port, counted, lambda: not over.is_set())


async def _newcomer(port: int, counted: Counted, over: asyncio.Event) -> None:
    while not over.is_set():
        await _ask(port, counted, lambda: False)
        await asyncio.sleep(PAUSE_S)


async def _ask(port: int, counted: Counted, more: Callable[[], bool]) -> None:
    """Ask on a new connection, and again while `more()` and it is open."""
    writer = None
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", port), ANSWER_S)
        counted.connections += 1
        while True:
            writer.write(REQUEST)
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), ANSWER_S)
            length = LENGTH.search(head)
            await reader.readexactly(int(length[1]) if length else 0)
            if head.startswith(b"HTTP/1.1 200 "):
                counted.answered += 1
            else:
                counted.failed[head.split(b"\r\n", 1)[0].decode()] += 1
            if b"connection: close" in head.lower() or not more():
                return
    except (OSError, EOFError, TimeoutError) as error:
        counted.failed[type(error).__name__] += 1
    finally:
        if writer is not None:
            writer.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="20 restarts")
    parser.add_argument("--busy", type=int, default=16, help="connections that ask again and again")
    parser.add_argument("--newcomers", type=int, default=4, help="clients that ask once on each new connection")
    given = parser.parse_args()
    began = time.perf_counter()
    results = Results.begin("restarts", 1, quick=given.quick)
    restarts = 20 if given.quick else 200
    failed = asyncio.run(measure(results, restarts, PROCESSES, given.busy, given.newcomers))
    results.save(time.perf_counter() - began)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
