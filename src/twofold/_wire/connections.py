"""Connections to one HTTP server, kept open between requests and lent to one thread or task at a time."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, urlsplit

from twofold._errors import DeadlineExceeded, Unreachable, UsageError, WorkerLost
from twofold._version import __version__
from twofold._wire.exchange import ConnectionEnded, Exchange, NotHttp, Reply
from twofold._wire.links import Address, LoopLink, Open, Receive, Send, ThreadLink, Until
from twofold._wire.steps import Piece, Steps

__all__ = ["Connections"]

CONNECT_S: Final = 10.0
# Servers end connections that idle for 75 s (ours), 60 s (many a proxy): ours are gone before.
IDLE_S: Final = 50.0
HEAD: Final = (
    "{method} {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: twofold/{version}\r\nAccept-Encoding: identity\r\n"
    "Accept: {accept}\r\nContent-Type: application/json\r\n{key}"
)

Link = ThreadLink | LoopLink
Idle = list[Link]
Read = Callable[[Exchange], Iterable[Any]]


class Connections:
    """Asks the server at `url`. Any number of threads and tasks may ask at once, each on a connection of its own."""

    def __init__(self, url: str, *, api_key: str = "", ca: str = "") -> None:
        """UsageError for what is no http URL."""
        self.url, secure, host, port, self.path = _parts(url)
        self.address = Address(host, port or (443 if secure else 80), _trust(ca) if secure else None)
        self._key = f"Authorization: Bearer {api_key}\r\n" if api_key else ""
        if not self._key.isascii() or not self._key.strip().isprintable():
            raise UsageError("An API key has only printable ASCII characters.")
        self._heads: dict[tuple[str, str, str], bytes] = {}
        self._idle: Idle = []
        self._idle_of_loops: MutableMapping[Any, Idle] = weakref.WeakKeyDictionary()
        self._pid = os.getpid()
        self._finalizer = weakref.finalize(self, _close_everything, self._idle, self._idle_of_loops)

    def close(self) -> None:
        """End the connections that nobody uses now."""
        _close_everything(self._idle, self._idle_of_loops)

    def ask(self, method: str, path: str, body: bytes, until: Until) -> Steps[Reply]:
        """One request, to be answered in time. Raises Unreachable, DeadlineExceeded, or WorkerLost
        when the connection ended without answer."""
        exchange = Exchange()
        yield from self._talk(self._request(method, path, "*/*", body, until), exchange, until)
        return exchange.reply()

    def ask_for_pieces(self, path: str, body: bytes, until: Until, read: Read) -> Steps[Exchange]:
        """The same for events: each time some of a 200 have come, a `Piece` for each that `read` makes of it. `until`
        is the time of each. Of another answer the body is left to be taken at the end."""
        exchange = Exchange()
        request = self._request("POST", path, "text/event-stream, application/json;q=0.5", body, until)
        yield from self._talk(request, exchange, until, read)
        return exchange

    def _talk(self, request: bytes, exchange: Exchange, until: Until, read: Read | None = None) -> Steps[None]:
        """A kept connection that ends before anything of an answer had perhaps been ended by the server before the
        request came: it is sent once more, on a new one."""
        idle, kept = yield _Take(self)
        link = kept or (yield from self._opened(until))
        keep = False
        try:
            try:
                yield from self._exchange(link, request, exchange, until, read)
            except (OSError, ConnectionEnded) as error:
                if kept is None or exchange.begun or isinstance(error, TimeoutError):
                    raise
                link.close()
                link = yield from self._opened(until)
                yield from self._exchange(link, request, exchange, until, read)
            keep = exchange.keep_alive
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{self.url} gave no answer within {until.timeout_s:g} s. Give it longer with connect(timeout_s=…).",
                url=self.url,
            ) from error
        except (OSError, ConnectionEnded) as error:
            raise WorkerLost(
                f"the connection to {self.url} ended before the answer was there: the process that had the request "
                "has ended, or was cut off. Ask again if the row is not to blame.",
                url=self.url,
            ) from error
        except NotHttp as error:
            raise Unreachable(
                f"what listens at {self.url} does not answer in HTTP. Check the address.", url=self.url
            ) from error
        finally:
            if keep:
                link.rested_s = time.monotonic()
                idle.append(link)
            else:
                link.close()

    def _exchange(self, link: Link, request: bytes, exchange: Exchange, until: Until, read: Read | None) -> Steps[None]:
        try:
            yield Send(link, request, until.left_s)
        except (BrokenPipeError, ConnectionResetError):
            pass  # a server that refuses a body answers before it has read it all
        while not exchange.complete:
            exchange.feed((yield Receive(link, until.left_s)))
            if read is not None and exchange.status == 200:
                for piece in read(exchange):
                    yield Piece(piece)
                until = Until(until.timeout_s)

    def _request(self, method: str, path: str, accept: str, body: bytes, until: Until) -> bytes:
        """In one piece, so that head and body are not sent apart."""
        head = self._heads.get((method, path, accept))
        if head is None:
            host = urlsplit(self.url).netloc.rpartition("@")[2]
            named = {"path": self.path + path, "host": host, "version": __version__, "key": self._key}
            head = HEAD.format(method=method, accept=accept, **named).encode("latin-1")
            self._heads[method, path, accept] = head
        left_ms = max(1, int(until.left_s * 1e3))
        return b"%bX-Deadline-Ms: %d\r\nContent-Length: %d\r\n\r\n%b" % (head, left_ms, len(body), body)

    def _opened(self, until: Until) -> Steps[Link]:
        try:
            link: Link = yield Open(self.address, max(0.001, min(CONNECT_S, until.left_s)))
        except (OSError, UnicodeError) as error:
            raise Unreachable(
                f"nobody answers at {self.url}: {_why(error)}. Is the server running, and is this its address?",
                url=self.url,
            ) from error
        return link

    def idle_here(self) -> Idle:
        """Of threads. Those of before a fork belong to the parent."""
        if self._pid != os.getpid():
            self._idle[:], self._pid = [], os.getpid()
        return self._idle

    def idle_of(self, loop: Any) -> Idle:
        return self._idle_of_loops.setdefault(loop, [])


@dataclass(frozen=True, slots=True)
class _Take:
    """Gives where a link of this kind rests, and one of those that is still good, or None."""

    connections: Connections

    def now(self) -> tuple[Idle, Link | None]:
        return _usable(self.connections.idle_here())

    async def later(self) -> tuple[Idle, Link | None]:
        import asyncio

        return _usable(self.connections.idle_of(asyncio.get_running_loop()))


def _usable(idle: Idle) -> tuple[Idle, Link | None]:
    while True:
        try:
            link = idle.pop()
        except IndexError:
            return idle, None
        if time.monotonic() - link.rested_s < IDLE_S and link.usable():
            return idle, link
        link.close()


def _trust(ca: str) -> Any:
    """Whom to believe: the system's certificates, or those of the file `ca`."""
    import ssl

    try:
        return ssl.create_default_context(cafile=ca or None)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(f"ca: {ca!r} cannot be read as certificates (PEM): {error.strerror or error}.") from error


def _parts(url: str) -> tuple[str, bool, str, int | None, str]:
    """(url, is it https, host, port, path before `/predict`)."""
    text = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    plain = text.isascii() and text.isprintable() and " " not in (host or " ")
    if not host or not plain or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise UsageError(f"{url!r} is not the URL of a server. It looks like http://127.0.0.1:8000.", url=url)
    path = quote(parts.path.rstrip("/"), safe="/%")
    return text.rstrip("/"), parts.scheme == "https", host, port, path


def _why(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "the connection was not made in time"
    if isinstance(error, ConnectionRefusedError):
        return "the connection was refused"
    if getattr(error, "verify_message", ""):
        return f"its certificate is not trusted ({error.verify_message}); give its authority with ca="  # type: ignore[attr-defined]
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _close_everything(idle: Idle, idle_of_loops: MutableMapping[Any, Idle]) -> None:
    _close_all(idle)
    for loop, others in list(idle_of_loops.items()):
        if not loop.is_closed():
            loop.call_soon_threadsafe(_close_all, others)


def _close_all(idle: Idle) -> None:
    while idle:
        idle.pop().close()
