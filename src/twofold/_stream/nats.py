"""NATS JetStream, by nats-py: nats://[USER:PASSWORD@]SERVER/SUBJECT?group=NAME

A stream of the server must hold the subject. A group's position is a key in the bucket `twofold-positions`, written
with the revision before it: of two processes that read for one group, the one that commits second is told so and ends.
Answers carry their id as `Nats-Msg-Id`, so that the stream that holds SINK keeps each once within its duplicate
window.

Settings: `group` (SOURCE needs one), `from` (start, end: where a new group begins), `credentials` (a file).
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar

from twofold._errors import InputError, MissingExtra, OutputError, UsageError
from twofold._stream.messages import Letter, Mark, Message, Source, Taken

if TYPE_CHECKING:
    from twofold._stream.place import Place

__all__ = ["NatsSink", "NatsSource"]

T = TypeVar("T")
BUCKET: Final = "twofold-positions"
CONNECT_S: Final = 10.0
PULL_S: Final = 5.0
ACK_S: Final = 5.0
GIVE_UP_S: Final = 300.0
ID_HEADER: Final = "Nats-Msg-Id"
KEY_HEADER: Final = "twofold-key"
OWN_HEADERS: Final = (ID_HEADER, KEY_HEADER)


class _Connection:
    """A connection to a server, and the event loop in a thread on which it lives."""

    def __init__(self, place: Place, kind: type[InputError] | type[OutputError], settings: str) -> None:
        credentials = place.take("credentials")
        place.refuse_rest(settings)
        try:
            import nats
        except ImportError:
            raise MissingExtra("nats-py", "nats", "A stream of NATS") from None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="twofold-nats", daemon=True)
        self._thread.start()
        self.reconnected: Callable[[], object] = lambda: None

        async def again() -> None:
            self.reconnected()

        async def passed_over(_: Exception) -> None:
            pass  # what matters shows where it is waited for

        async def connect() -> Any:
            return await nats.connect(
                f"nats://{place.servers}",
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,
                connect_timeout=2,
                reconnected_cb=again,
                error_cb=passed_over,
                user_credentials=credentials,
            )

        try:
            self.nats = self.wait(self._first(connect))
            self.stream = self.nats.jetstream(timeout=ACK_S)
        except Exception as error:
            self.close()
            where = place.servers.rpartition("@")[2]
            said = str(error) or type(error).__name__
            raise kind(
                f"{place.option}: no NATS server answers at {where}: {said}. Is it running, and is that its address?"
            ) from error

    async def _first(self, connect: Callable[[], Coroutine[Any, Any, T]]) -> T:
        return await asyncio.wait_for(connect(), CONNECT_S)

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        """What the coroutine gives, run on the connection's loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        if self._loop.is_closed():
            return
        try:
            if hasattr(self, "nats"):
                self.wait(asyncio.wait_for(self.nats.close(), 2))
        except Exception:  # it goes away either way
            pass
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class NatsSource:
    """Reads a subject in the order of its stream. A mark is the sequence number of the last message."""

    def __init__(self, place: Place) -> None:
        group = place.needed("group", "the name under which it is kept where a restart goes on")
        begin = place.take("from", "start")
        if begin not in ("start", "end"):
            raise UsageError(f"SOURCE {place.text!r}: from={begin}; it is start or end.")
        self._subject = place.topic
        self._key = f"{group}.{place.topic}".replace("*", "_any").replace(">", "_all")
        self.before_loss: Callable[[], object] = lambda: None
        self._arrived: deque[Any] = deque()
        self._changed = threading.Condition()
        self._asked = 0  # messages that the server was asked for and has not sent
        self._asked_at = 0.0
        self._consumer = ""
        self._renew = True
        self._owner = uuid.uuid4().hex[:12]
        self._connection = _Connection(place, InputError, "group, from and credentials")
        try:
            self._connection.wait(self._open(begin == "end"))
        except BaseException:
            self._connection.close()
            raise
        self._connection.reconnected = self._was_away

    async def _open(self, at_end: bool) -> None:
        from nats.errors import Error
        from nats.js.errors import BucketNotFoundError, KeyNotFoundError, NotFoundError

        jetstream = self._connection.stream
        try:
            self._name = await jetstream.find_stream_name_by_subject(self._subject)
        except NotFoundError:
            raise InputError(
                f"SOURCE: no stream of the NATS server holds the subject {self._subject!r}. Create one, say with "
                f"`nats stream add --subjects {self._subject}`."
            ) from None
        except Error as error:
            raise InputError(f"SOURCE: JetStream does not answer: {error}. Start the server with -js.") from error
        try:
            self._positions = await jetstream.key_value(BUCKET)
        except BucketNotFoundError:
            self._positions = await jetstream.create_key_value(bucket=BUCKET)
        info = await jetstream.stream_info(self._name)
        try:
            entry = await self._positions.get(self._key)
            self._received, self._revision = int(entry.value.split()[0]), entry.revision
        except KeyNotFoundError:
            self._received = info.state.last_seq if at_end else 0
            self._revision = await self._positions.create(self._key, self._value(self._received))
        self._last = info.state.last_seq
        client = self._connection.nats
        self._inbox = client.new_inbox()
        await client.subscribe(self._inbox, cb=self._took, pending_msgs_limit=-1, pending_bytes_limit=-1)

    async def _took(self, message: Any) -> None:
        with self._changed:
            if message.reply:
                self._asked -= 1
                self._arrived.append(message)
            else:  # a status: the request is over
                self._asked = 0
                status = (message.headers or {}).get("Status", "")
                if status not in ("404", "408"):
                    self._renew = True
            self._changed.notify_all()

    def _was_away(self) -> None:
        """The connection is there again: the server may have forgotten the consumer, and what it was asked for."""
        with self._changed:
            self._renew, self._asked = True, 0
            self._changed.notify_all()

    def receive(self, most: int, wait_s: float) -> Taken | None:
        if not most:
            time.sleep(min(wait_s, 0.1))
            return Taken(())
        if not self._arrived:
            now = time.monotonic()
            if self._renew or (self._asked and now - self._asked_at > PULL_S + 2):
                self._begin_again()
            if self._asked <= 0 and self._consumer:
                self._asked, self._asked_at = most, now
                self._connection.start(self._ask(most))
            with self._changed:
                if not self._arrived:
                    self._changed.wait(wait_s)
        return self._taken(most)

    def _taken(self, most: int) -> Taken:
        found: list[Message] = []
        with self._changed:
            while self._arrived and len(found) < most:
                message = self._arrived.popleft()
                words = message.reply.split(".")  # $JS.ACK.[domain.account.]stream.consumer.tries.sequence.…
                sequence, at_ns = int(words[-4]), int(words[-2])
                if sequence <= self._received:  # of a consumer before this one
                    continue
                self._received = sequence
                headers = message.headers or {}
                key = headers.get(KEY_HEADER)
                kept = tuple((n, str(v).encode()) for n, v in headers.items() if n not in OWN_HEADERS)
                found.append(
                    Message(
                        message.data,
                        f"{self._name}/{sequence}",
                        at_ns / 1e9,
                        None if key is None else key.encode("latin-1", "surrogateescape"),
                        kept,
                    )
                )
        return Taken(found, self._received if found else None)

    async def _ask(self, most: int) -> None:
        request = json.dumps({"batch": most, "expires": int(PULL_S * 1e9)}).encode()
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._name}.{self._consumer}"
        try:
            await self._connection.nats.publish(subject, request, self._inbox)
        except Exception:  # the connection is away; it says when it is there again
            self._asked = 0

    def _begin_again(self) -> None:
        """A consumer that goes on after the last message that was received. The broker may be away for a while."""
        from nats.errors import Error
        from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

        config = ConsumerConfig(
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._received + 1,
            ack_policy=AckPolicy.NONE,
            filter_subject=self._subject,
            inactive_threshold=60.0,
            mem_storage=True,
            num_replicas=1,
        )
        try:
            made = self._connection.wait(self._connection.stream.add_consumer(self._name, config))
        except (Error, TimeoutError):
            time.sleep(0.2)
            return
        with self._changed:
            self._arrived.clear()
            self._consumer, self._renew, self._asked = made.name, False, 0

    def commit(self, mark: Mark) -> None:
        self._connection.wait(self._commit(mark))

    def _value(self, sequence: int) -> bytes:
        return f"{sequence} {self._owner}".encode()

    async def _commit(self, mark: int) -> None:
        from nats.errors import Error
        from nats.js.errors import KeyWrongLastSequenceError

        value, until = self._value(mark), time.monotonic() + GIVE_UP_S
        while True:
            try:
                self._revision = await self._positions.update(self._key, value, last=self._revision)
                return
            except KeyWrongLastSequenceError:
                entry = await self._positions.get(self._key)
                if entry.value == value:  # ours, whose answer was lost
                    self._revision = entry.revision
                    return
                raise InputError(
                    f"another process reads {self._subject!r} for the same group and has committed. One of them at a "
                    "time: stop the other, or give this one a group of its own (?group=NAME)."
                ) from None
            except (Error, TimeoutError) as error:
                if time.monotonic() > until:
                    raise InputError(f"the position cannot be committed: {error}.") from error
                await asyncio.sleep(0.2)

    def lag(self) -> int | None:
        try:
            info = self._connection.wait(self._connection.stream.consumer_info(self._name, self._consumer))
        except Exception:  # while the broker is away
            return None
        waiting: int = info.num_pending or 0
        return waiting + len(self._arrived)

    def close(self) -> None:
        self._connection.close()


class _Acks:
    """Which of so many letters are acknowledged."""

    def __init__(self, n_letters: int) -> None:
        self._there = bytearray(n_letters)
        self._missing = n_letters
        self.all = asyncio.Event()

    def take(self, at: int, good: bool) -> None:
        self._there[at] = good
        self._missing -= 1
        if not self._missing:
            self.all.set()

    def first_missing(self) -> int:
        at = self._there.find(0)
        return len(self._there) if at < 0 else at


class NatsSink:
    """Publishes to a subject that a stream holds; answers that are not acknowledged are sent again, in order."""

    def __init__(self, place: Place) -> None:
        self._subject = place.topic
        self._round = 0
        self._wrong = ""
        self._acks = _Acks(0)
        self._connection = _Connection(place, OutputError, "credentials")
        try:
            self._connection.wait(self._find(place.option))
        except BaseException:
            self._connection.close()
            raise

    async def _find(self, option: str) -> None:
        from nats.errors import Error
        from nats.js.errors import NotFoundError

        try:
            await self._connection.stream.find_stream_name_by_subject(self._subject)
        except NotFoundError:
            raise OutputError(
                f"{option}: no stream of the NATS server holds the subject {self._subject!r}, so that nothing would be "
                f"kept. Create one, say with `nats stream add --subjects {self._subject}`."
            ) from None
        except Error as error:
            raise OutputError(f"{option}: JetStream does not answer: {error}. Start the server with -js.") from error
        client = self._connection.nats
        self._inbox = client.new_inbox()
        await client.subscribe(f"{self._inbox}.>", cb=self._acknowledged, pending_msgs_limit=-1, pending_bytes_limit=-1)

    def send(self, letters: Sequence[Letter], source: Source | None = None, mark: Mark = None) -> bool:  # noqa: ARG002
        if letters:
            self._connection.wait(self._send(letters))
        return False

    async def _send(self, letters: Sequence[Letter]) -> None:
        first, until = 0, time.monotonic() + GIVE_UP_S
        while True:
            first += await self._try(letters[first:])
            if first == len(letters):
                return
            if time.monotonic() > until:
                raise OutputError(
                    f"the subject {self._subject!r} did not take an answer for {GIVE_UP_S:g} s: {self._wrong}."
                )
            await asyncio.sleep(0.1)

    async def _try(self, letters: Sequence[Letter]) -> int:
        """Publish these over one connection; how many of the first are acknowledged.

        What is lost with a connection is lost from some letter on. Over the next one nothing is sent that has others
        before it which are not acknowledged: they stay in order.
        """
        client = self._connection.nats
        self._acks = _Acks(len(letters))
        self._round += 1
        reconnects = client.stats["reconnects"]
        for at, letter in enumerate(letters):
            if not client.is_connected or client.stats["reconnects"] != reconnects:
                break
            try:
                await client.publish(
                    self._subject, letter.value, f"{self._inbox}.{self._round}.{at}", headers=_headers(letter)
                )
            except Exception as error:
                self._wrong = str(error) or type(error).__name__
                break
        else:
            try:
                await asyncio.wait_for(self._acks.all.wait(), ACK_S)
            except TimeoutError:
                self._wrong = "no acknowledgement"
        return self._acks.first_missing()

    async def _acknowledged(self, message: Any) -> None:
        _, number, at = message.subject.rsplit(".", 2)
        if int(number) == self._round:
            failed = not message.data or b'"error"' in message.data
            if failed:
                self._wrong = message.data.decode(errors="replace") or "JetStream is not there"
            self._acks.take(int(at), not failed)

    def close(self) -> None:
        self._connection.close()


def _headers(letter: Letter) -> dict[str, str]:
    headers = {name: value.decode("latin-1") for name, value in letter.headers}
    headers[ID_HEADER] = letter.id
    if letter.key is not None:
        headers[KEY_HEADER] = letter.key.decode("latin-1")
    return headers
