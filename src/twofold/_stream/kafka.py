"""Kafka, by confluent-kafka: kafka://BROKER[,BROKER…]/TOPIC?group=NAME

Settings: `group` (SOURCE needs one), `from` (start, end: where a new group begins), `config` (a file of NAME=VALUE
lines for librdkafka: passwords belong there), `transactions` (SINK: answers and offsets in one transaction, under this
id), and any of librdkafka's own names.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from twofold._errors import InputError, MissingExtra, OutputError, UsageError
from twofold._stream.messages import Letter, Mark, Message, Source, Taken

if TYPE_CHECKING:
    from twofold._stream.place import Place

__all__ = ["KafkaSink", "KafkaSource"]

COMMIT_MS: Final = 100
LAG_S: Final = 1.0
CONNECT_S: Final = 15.0
FLUSH_S: Final = 1.0
ID_HEADER: Final = "twofold-id"


def _client() -> Any:
    try:
        import confluent_kafka
    except ImportError:
        raise MissingExtra("confluent-kafka", "kafka", "A stream of Kafka") from None
    return confluent_kafka


class KafkaSource:
    """Reads a topic as one member of a group. A mark is the offset of each partition at which the group goes on."""

    def __init__(self, place: Place) -> None:
        self._kafka = _client()
        group = place.needed("group", "the group whose offsets say where a restart goes on")
        begin = place.take("from", "start")
        if begin not in ("start", "end"):
            raise UsageError(f"SOURCE {place.text!r}: from={begin}; it is start or end.")
        self._topic = place.topic
        self._paused = False
        self._next: dict[int, int] = {}
        self._done: deque[Mark] = deque()
        self._lag: int | None = None
        self._lag_due = 0.0
        self.group_metadata: Any = None  # what a transaction says whose offsets it commits
        self._refused: Any = None
        known = self._kafka.KafkaError
        self._refusals = (known.GROUP_AUTHORIZATION_FAILED, known.TOPIC_AUTHORIZATION_FAILED)
        self.before_loss: Callable[[], object] = lambda: None
        self._consumer = _made(
            self._kafka.Consumer,
            place,
            {
                "group.id": group,
                "auto.offset.reset": "earliest" if begin == "start" else "latest",
                "enable.auto.offset.store": False,  # but by `commit`
                "enable.auto.commit": True,
                "auto.commit.interval.ms": COMMIT_MS,
                "on_commit": self._committed,
                "fetch.wait.max.ms": 100,  # how long a broker holds an empty answer; it sends at once what comes
            },
        )
        try:
            _find_topic(self._kafka, self._consumer, place, InputError)
            self._consumer.subscribe([self._topic], on_revoke=self._revoked, on_lost=self._lost)
        except BaseException:
            self._consumer.close()
            raise

    def receive(self, most: int, wait_s: float) -> Taken | None:
        consumer = self._consumer
        if self._refused is not None:
            raise InputError(f"the offsets of {self._topic!r} cannot be committed: {self._refused.str()}.")
        if self._done:
            self._store()
        if time.monotonic() > self._lag_due:
            self._lag_due = time.monotonic() + LAG_S
            self._count_lag()
        if not most:
            if not self._paused:
                consumer.pause(consumer.assignment())
                self._paused = True
            stray = consumer.poll(0)
            if stray is not None and stray.error() is None:  # it was on its way: come back to it
                consumer.seek(self._kafka.TopicPartition(self._topic, stray.partition(), stray.offset()))
            return Taken(())
        if self._paused:
            consumer.resume(consumer.assignment())
            self._paused = False
        first = consumer.poll(wait_s)
        if first is None:
            return Taken(())
        # a timeout would be waited out, and 0 takes what is there
        found = [first, *consumer.consume(most - 1, 0)] if most > 1 else [first]
        reached: dict[int, int] = {}
        messages = [message for each in found if (message := self._message(each, reached)) is not None]
        self._next.update(reached)
        self.group_metadata = consumer.consumer_group_metadata()
        mark = [self._kafka.TopicPartition(self._topic, at, offset) for at, offset in reached.items()]
        return Taken(messages, mark or None)

    def _message(self, found: Any, reached: dict[int, int]) -> Message | None:
        error = found.error()
        if error is not None:
            if error.fatal() or not (error.retriable() or error.code() in self._passing()):
                raise InputError(f"the topic {self._topic!r} cannot be read: {error.str()}.")
            return None
        partition, offset = found.partition(), found.offset()
        reached[partition] = offset + 1
        kind, milliseconds = found.timestamp()
        return Message(
            found.value() or b"",
            f"{self._topic}/{partition}/{offset}",
            milliseconds / 1000 if kind else time.time(),
            found.key(),
            tuple(found.headers() or ()),
        )

    def _passing(self) -> tuple[int, ...]:
        """Errors that librdkafka recovers from by itself."""
        error = self._kafka.KafkaError
        return (
            error._PARTITION_EOF,  # noqa: SLF001 (librdkafka's own codes are named so)
            error._ALL_BROKERS_DOWN,  # noqa: SLF001
            error._TRANSPORT,  # noqa: SLF001
            error._MAX_POLL_EXCEEDED,  # noqa: SLF001
        )

    def _revoked(self, consumer: Any, partitions: Any) -> None:  # noqa: ARG002
        self.before_loss()
        self._store()
        self._forget(partitions)

    def _lost(self, consumer: Any, partitions: Any) -> None:  # noqa: ARG002
        self._forget(partitions)

    def _forget(self, partitions: Any) -> None:
        for each in partitions:
            self._next.pop(each.partition, None)
        self._paused = False

    def commit(self, mark: Mark) -> None:
        self._done.append(mark)

    def _store(self) -> None:
        """Hand what is committed to librdkafka, which tells the broker within COMMIT_MS, when partitions are given up,
        and at the end. Only in the thread that polls: to others the consumer is locked nearly all the time."""
        while self._done:
            try:
                self._consumer.store_offsets(offsets=self._done.popleft())
            except self._kafka.KafkaException as failed:
                # else the partitions are another member's, who answers these messages again, with the same ids
                if failed.args[0].code() != self._kafka.KafkaError._STATE:  # noqa: SLF001
                    raise InputError(
                        f"the offsets of {self._topic!r} cannot be committed: {failed.args[0].str()}."
                    ) from failed

    def _committed(self, error: Any, _: Any) -> None:
        """What became of a commit. Most errors pass: the next commit has these offsets, too."""
        if error is not None and error.code() in self._refusals:
            self._refused = error

    def lag(self) -> int | None:
        return self._lag

    def _count_lag(self) -> None:
        waiting = 0
        for partition, reached in self._next.items():
            at = self._kafka.TopicPartition(self._topic, partition)
            _, end = self._consumer.get_watermark_offsets(at, cached=True)
            waiting += max(end - reached, 0)
        self._lag = waiting

    def close(self) -> None:
        self._store()
        self._consumer.close()


class KafkaSink:
    """Writes to a topic with an idempotent producer; with `transactions`, in transactions."""

    def __init__(self, place: Place) -> None:
        self._kafka = _client()
        self._topic = place.topic
        self._failed: list[Any] = []  # deliveries, as `flush` tells
        transactions = place.take("transactions")
        settings: dict[str, Any] = {
            "enable.idempotence": True,
            "delivery.report.only.error": True,
            "linger.ms": 0,
            "queue.buffering.max.messages": 1_000_000,
        }
        self._transactional = transactions is not None
        if transactions is not None:
            settings["transactional.id"] = transactions
        self._producer = _made(self._kafka.Producer, place, settings)
        _find_topic(self._kafka, self._producer, place, OutputError)
        if self._transactional:
            self._told(self._producer.init_transactions, CONNECT_S)

    def send(self, letters: Sequence[Letter], source: Source | None = None, mark: Mark = None) -> bool:
        commits = self._transactional and isinstance(source, KafkaSource) and mark is not None
        if self._transactional:
            self._told(self._producer.begin_transaction)
        produce = self._producer.produce
        for letter in letters:
            headers = [*letter.headers, (ID_HEADER, letter.id.encode())]
            while True:
                try:
                    produce(self._topic, letter.value, letter.key, on_delivery=self._report, headers=headers)
                    break
                except BufferError:
                    self._producer.poll(0.1)
                except self._kafka.KafkaException as failed:
                    raise self._not_taken(failed.args[0]) from failed
        try:
            while self._producer.flush(FLUSH_S) and not self._stuck():
                pass
        except (self._kafka.KafkaException, SystemError) as failed:  # a fatal error, which the deliveries tell, too
            if not self._failed:
                raise self._not_taken(getattr(failed.__cause__ or failed, "args", [None])[0]) from failed
        for error in self._failed:
            if self._transactional:  # which knows why, and will not be committed
                self._told(self._producer.commit_transaction, CONNECT_S)
            raise self._not_taken(error)
        if self._transactional:
            if commits:
                assert isinstance(source, KafkaSource)
                self._told(self._producer.send_offsets_to_transaction, mark, source.group_metadata, CONNECT_S)
            self._told(self._producer.commit_transaction, CONNECT_S)
        return commits

    def _stuck(self) -> bool:
        """A delivery has failed: the others need not be waited for."""
        return bool(self._failed)

    def _not_taken(self, error: Any) -> OutputError:
        words = error.str() if isinstance(error, self._kafka.KafkaError) else error
        return OutputError(f"the topic {self._topic!r} did not take an answer: {words}.")

    def _report(self, error: Any, _: Any) -> None:
        if error is not None:
            self._failed.append(error)

    def _told(self, act: Callable[..., Any], *given: Any) -> None:
        """One step of a transaction, again where that is safe."""
        while True:
            try:
                act(*given)
                return
            except self._kafka.KafkaException as failed:
                error = failed.args[0]
                if error.retriable():
                    continue
                if error.txn_requires_abort():
                    self._producer.abort_transaction(CONNECT_S)
                raise OutputError(
                    f"the transaction on {self._topic!r} failed: {error.str()}. Nothing of it counts; the next start "
                    "answers these messages again."
                ) from failed

    def close(self) -> None:
        self._producer.flush(FLUSH_S)


def _made(kind: Any, place: Place, settings: dict[str, Any]) -> Any:
    """A client of librdkafka, with the place's own settings over ours."""
    import logging

    kafka = _client()
    # errors show where they matter; without a function of ours fatal ones would be raised inside others
    given = {"bootstrap.servers": place.servers, "error_cb": lambda _: None, **settings}
    path = place.take("config")
    if path is not None:
        given |= _from_file(path, place)
    given |= place.settings
    logger = logging.getLogger("twofold.kafka")
    try:
        return kind(given, logger=logger)
    except kafka.KafkaException as error:
        raise UsageError(f"{place.option} {place.text!r}: {error.args[0].str()}.") from error


def _from_file(path: str, place: Place) -> dict[str, str]:
    try:
        lines = Path(path).read_text().splitlines()
    except OSError as error:
        raise UsageError(f"{place.option}: config={path} cannot be read: {error.strerror}.") from error
    pairs = [line.partition("=") for line in map(str.strip, lines) if line and not line.startswith("#")]
    return {name.strip(): value.strip() for name, _, value in pairs}


def _find_topic(kafka: Any, client: Any, place: Place, kind: type[InputError] | type[OutputError]) -> None:
    """Ask a broker for the topic. Raises `kind`."""
    try:
        found = client.list_topics(place.topic, timeout=CONNECT_S).topics.get(place.topic)
    except kafka.KafkaException as error:
        raise kind(
            f"{place.option}: no broker answers at {place.servers}: {error.args[0].str()}. Is it running, and is that "
            "its address?"
        ) from error
    if found is None or (found.error is not None and not found.error.retriable()):
        why = "it does not exist" if found is None or found.error is None else found.error.str()
        raise kind(f"{place.option}: the topic {place.topic!r} at {place.servers} cannot be used: {why}. Create it.")
