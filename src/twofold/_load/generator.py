"""The process that makes a load: `python -m twofold._load.generator`, started by `run`.

It shares no interpreter with what it measures. Its input is one message (a plan and its bodies), then nothing: the end
of its input ends the run early. Its output is messages: progress, and at last the result. A message is four bytes
of length and MessagePack.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import BinaryIO

import msgspec

from twofold._load.loops import loop_of
from twofold._load.plan import LoadPlan, LoadResult, Progress

__all__ = ["read_message", "write_message"]

PROGRESS_S = 0.2


def write_message(stream: BinaryIO, message: object) -> None:
    raw = msgspec.msgpack.encode(message)
    stream.write(len(raw).to_bytes(4, "little") + raw)
    stream.flush()


def read_message(stream: BinaryIO) -> bytes | None:
    """None at the end."""
    head = stream.read(4)
    return stream.read(int.from_bytes(head, "little")) if len(head) == 4 else None


def _new_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever started it says when it ends
    task = read_message(sys.stdin.buffer)
    if task is None:
        return
    plan, bodies = msgspec.msgpack.decode(task, type=tuple[LoadPlan, list[bytes]])
    with asyncio.Runner(loop_factory=_new_loop()) as runner, suppress(BrokenPipeError):
        write_message(sys.stdout.buffer, runner.run(_run(plan, bodies)))


async def _run(plan: LoadPlan, bodies: list[bytes]) -> LoadResult:
    load = loop_of(plan, bodies)
    telling = asyncio.ensure_future(_tell(load.progress))
    loop = asyncio.get_running_loop()

    def ended() -> None:
        loop.remove_reader(sys.stdin)
        load.interrupt()

    with suppress(NotImplementedError):  # Windows
        loop.add_reader(sys.stdin, ended)
    try:
        return await load.run()
    finally:
        telling.cancel()


async def _tell(progress: Callable[[], Progress]) -> None:
    while True:
        await asyncio.sleep(PROGRESS_S)
        write_message(sys.stdout.buffer, progress())


if __name__ == "__main__":
    _main()
