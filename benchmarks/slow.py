"""Models that take a known time for a row: what overload and gathering are measured with."""

import asyncio
import time

import twofold


@twofold.model(example={"number": 7})
class Busy:
    """Holds a core for `row_ms` a row."""

    def __init__(self, row_ms: float = 2.0) -> None:
        self.row_s = row_ms / 1000

    def predict(self, number: int) -> int:
        until = time.perf_counter() + self.row_s
        while time.perf_counter() < until:
            pass
        return number


@twofold.model(example={"number": 7})
def heavy(number: int) -> int:
    """10 ms of a core for each row, however many others it shares the core with."""
    until = time.thread_time() + 0.010
    while time.thread_time() < until:
        pass
    return number


@twofold.model(example={"number": 7}, concurrency=64)
async def waits(number: int) -> int:
    """Waits for somebody else, 50 ms a row."""
    await asyncio.sleep(0.05)
    return number


@twofold.model(example={"number": 7}, threads=64)
def waits_in_threads(number: int) -> int:
    time.sleep(0.05)
    return number
