"""Tiny HTTP servers for the load generator, each in a thread with a loop of its own."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

Handler = Callable[[bytes, "Served"], Awaitable[bytes]]


@dataclass
class Served:
    """What the server saw."""

    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    at_once: int = 0
    most_at_once: int = 0


def answer(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@contextmanager
def serving(handler: Handler) -> Iterator[tuple[int, Served]]:
    """A server on a free port: yields the port and what it saw."""
    served = Served()
    ready, ports = threading.Event(), []
    stop: asyncio.Event
    loop = asyncio.new_event_loop()

    async def main() -> None:
        nonlocal stop
        stop = asyncio.Event()
        async with listening(handler, served) as port:
            ports.append(port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(main(),))
    thread.start()
    ready.wait(10)
    try:
        yield ports[0], served
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
        loop.close()


@asynccontextmanager
async def listening(handler: Handler, served: Served) -> AsyncIterator[int]:
    tasks: set[asyncio.Task[None]] = set()

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type]
        served.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"content-length: (\d+)", head.lower())[1])  # type: ignore[index]
                body = await reader.readexactly(length)
                served.bodies.append(body)
                served.at_once += 1
                served.most_at_once = max(served.most_at_once, served.at_once)
                try:
                    reply = await handler(body, served)
                finally:
                    served.at_once -= 1
                if not reply:
                    return
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
