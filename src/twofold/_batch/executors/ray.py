"""Splits on a Ray cluster: an actor with a worker process of its own for each place, as many as the cluster has.

Ray carries bytes and JSON only: the model's parcel, splits, and what happened to them. Nothing of the model is pickled.
An actor that is lost, with its node or alone, gives its splits back; they are computed again elsewhere, and a part that
it has committed already is written again, the same.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import signal
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from twofold._batch.executors.agent import FENCE_S, Agent, write_token
from twofold._batch.executors.base import Measured, ModelFacts, Tracker
from twofold._batch.packing import Packed
from twofold._batch.work import SplitTask, Work
from twofold._errors import MissingExtra, ModelError, RunStopped, UsageError
from twofold._options import BatchOptions
from twofold._reference import ModelRef
from twofold._supervisor import Message, error_from_message
from twofold._version import __version__

try:
    import ray
    from ray import exceptions
except ImportError as error:
    raise MissingExtra("ray", "ray", "--executor ray") from error

__all__ = ["RayExecutor"]

PIECE_BYTES = 64 << 20
AHEAD = 1
"""Splits that an actor has waiting beside the one it computes."""
TICK_S = 0.5
GROW_S = 1.0
WAIT_S = 2.0
EXCHANGES_A_S = 2000
"""How many the driver can take: with many actors each of them waits longer for something to tell."""
MOST_LOST = 4
FIRST_PLACE_S = 600.0


class _Remote(Agent):
    """The actor."""

    def begin(self, given: str, pieces: list[Any]) -> str:
        """`pieces` are references to those of the archive: fetched only where this node has no such model yet."""
        told: Message = json.loads(self.load(given, _fetched(pieces)))
        return json.dumps({**told, "node": ray.util.get_node_ip_address()})

    def alive(self) -> str:
        return "{}"


def _fetched(pieces: list[Any]) -> Iterator[bytes]:
    for piece in pieces:
        yield ray.get(piece)


@dataclass(eq=False)
class _Place:
    """An actor, what it was asked last, and the splits it has in hand."""

    actor: Any
    asked: Future[str] | None = None
    doing: str = "loading"
    """loading, proving, exchanging; doubted: a call failed, and whether it is alive is being found out"""
    node: str = ""
    facts: Message = field(default_factory=dict)
    tasks: dict[int, SplitTask] = field(default_factory=dict)
    calls: int = 0
    doubted_until: float = 0.0


class RayExecutor:
    """Of the options, `address` None: what RAY_ADDRESS names, the cluster that runs on this machine, or one started for
    the run; `workers` None: as many as the cluster has CPUs."""

    def __init__(self, ref: ModelRef, model: Packed, options: BatchOptions) -> None:
        self._facts = ModelFacts.of(model.facts, ref)
        self._n_workers = options.workers or (1 if model.facts["waits"] else None)
        self._is_ours = not ray.is_initialized()
        self.model_calls = 0
        if self._is_ours:
            _connect(options.address)
        self._given = json.dumps(
            {
                "parcel": model.parcel.to_json(),
                "row_timeout_s": options.row_timeout_s,
                "priority": options.priority,
                "version": __version__,
            }
        )
        self._pieces = [ray.put(piece) for piece in _pieces(model)]
        self.answers: queue.SimpleQueue[tuple[_Place, Future[str]]] = queue.SimpleQueue()
        self._actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0)(_Remote)
        self.places: list[_Place] = [self.start()]

    def start(self) -> _Place:
        """Ask for one more actor. It may wait for its place, and the cluster may grow for it."""
        place = _Place(self._actor.options(scheduling_strategy="SPREAD").remote())
        self.ask(place, place.actor.begin.remote(self._given, self._pieces))
        return place

    def ask(self, place: _Place, reference: Any) -> Future[str]:
        """What this call of an actor gives is told to `answers`.

        Not waited for by Ray's own calls: they break when a signal (SIGTERM, Ctrl-C) ends the run meanwhile.
        """
        future: Future[str] = reference.future()
        place.asked = future
        future.add_done_callback(lambda done: self.answers.put((place, done)))
        return future

    def end(self, place: _Place) -> None:
        self.places.remove(place)
        ray.kill(place.actor)

    def close(self) -> None:
        for place in list(self.places):
            self.end(place)
        if self._is_ours:
            ray.shutdown()
        self._is_ours = False

    def facts(self) -> ModelFacts:
        return self._facts

    def loaded(self, place: _Place, told: Message) -> None:
        """An actor says what it loaded. ModelError where that is not what was packed."""
        place.node, place.facts = told["node"], told
        raise_error(told, place)
        if told["version"] != self._facts.version:
            raise ModelError(
                f"the model has the version {told['version']} on the node {place.node}, and {self._facts.version} here:"
                " one of its files changed while it was packed, or it is not the same everywhere. Start the run again."
            )

    def room(self) -> int | None:
        return None

    def places_for(self, n_splits: int) -> int:
        return max(1, min(self._n_workers or int(ray.cluster_resources().get("CPU", 0)), n_splits))

    def probe(self, work: Work, task: SplitTask, n_rows: int) -> Measured | None:
        place = self.places[0]
        self._first_place(place)
        question = json.dumps({"work": work.to_json(), "split": task.to_json(), "n_rows": n_rows})
        try:
            told = json.loads(self.ask(place, place.actor.probe.remote(question)).result())
        except exceptions.RayActorError:  # the run itself finds out why
            self.end(place)
            self.places.append(self.start())
            return None
        raise_error(told, place)
        return None if told["measured"] is None else Measured(**told["measured"])

    def _first_place(self, place: _Place) -> None:
        try:
            assert place.asked is not None
            self.loaded(place, json.loads(place.asked.result(FIRST_PLACE_S)))
        except TimeoutError:
            self.refuse_full()
        except exceptions.RayActorError as error:
            raise RunStopped(f"the first actor was lost while it loaded the model: {_said(error)}") from error
        place.doing = "loaded"

    def refuse_full(self) -> None:
        """RunStopped: there is no place for an actor."""
        cpus, free = (found.get("CPU", 0) for found in (ray.cluster_resources(), ray.available_resources()))
        raise RunStopped(
            f"no place became free in the cluster within {FIRST_PLACE_S:g} s: it has {cpus:g} CPUs, and {free:g} of "
            "them are free. Start again when there are, or end what holds them."
        )

    def run(self, work: Work, tasks: Sequence[SplitTask], tracker: Tracker) -> None:
        run = _Run(self, work, tasks, tracker, self._n_workers)
        try:
            run.run()
        finally:
            self.model_calls += run.model_calls


class _Run:
    """The splits of one run, and which actor has them."""

    def __init__(
        self, executor: RayExecutor, work: Work, tasks: Sequence[SplitTask], tracker: Tracker, n_workers: int | None
    ) -> None:
        self._executor = executor
        self._work = work
        self._token = write_token(work.store)
        self._greeting = json.dumps({"work": work.to_json(), "token": self._token})
        self._waiting = deque(tasks)
        self._tracker = tracker
        self._n_workers = n_workers
        self._lost: Counter[int] = Counter()
        self._lost_loading = 0
        self._grown_at = 0.0
        self._began = time.monotonic()
        self._loaded = False
        self._calls_of_gone = 0
        self._places = executor.places
        for place in self._places:
            if place.doing == "loaded":
                self._greet(place)

    @property
    def model_calls(self) -> int:
        return self._calls_of_gone + sum(place.calls for place in self._places)

    def run(self) -> None:
        while self._waiting or any(place.tasks for place in self._places):
            self._grow()
            for place, answer in self._next():
                self._take(place, answer)
            for place in [place for place in self._places if place.doing == "doubted"]:
                if place.doubted_until < time.monotonic():
                    self._gone(place, "it does not answer any more")
            if not self._loaded and time.monotonic() - self._began > FIRST_PLACE_S:
                self._executor.refuse_full()
            self._tracker.tick()

    def _grow(self) -> None:
        """As many actors as the cluster has CPUs now, or as were wished for, and never more than there are splits."""
        now = time.monotonic()
        if now < self._grown_at + GROW_S and self._places:
            return
        self._grown_at = now
        wanted = self._n_workers or int(ray.cluster_resources().get("CPU", 0))
        unfinished = len(self._waiting) + sum(bool(place.tasks) for place in self._places)
        for _ in range(max(1, min(wanted, unfinished)) - len(self._places)):
            self._places.append(self._executor.start())

    def _next(self) -> Iterator[tuple[_Place, Future[str]]]:
        """The actors that have answered; none where half a second passes without."""
        answers = self._executor.answers
        try:
            found = answers.get(timeout=TICK_S)
            while True:
                if found[0].asked is found[1] and found[0] in self._places:
                    yield found
                found = answers.get_nowait()
        except queue.Empty:
            return

    def _take(self, place: _Place, answer: Future[str]) -> None:
        try:
            told: Message = json.loads(answer.result())
        except exceptions.ActorUnavailableError:
            self._doubt(place)
            return
        except exceptions.RayError as error:
            self._gone(place, _said(error))
            return
        if place.doing == "loading":
            self._executor.loaded(place, told)
            self._lost_loading = 0
            self._greet(place)
            return
        raise_error(told, place)
        if place.doing == "proving":
            if told["wrote"]:
                self._proven(place, told["wrote"])
        elif place.doing == "exchanging":
            self._heard(place, told)
        else:  # it was doubted, and lives: what it was asked before may be lost on the way
            self._gone(place, "it could not be reached for a while")
            return
        self._ask(place)

    def _greet(self, place: _Place) -> None:
        self._loaded = True
        place.doing = "proving"
        self._executor.ask(place, place.actor.exchange.remote(self._greeting))

    def _proven(self, place: _Place, wrote: str) -> None:
        answer = self._work.store.scratch / wrote
        if not answer.exists():
            raise UsageError(
                f"the node {place.node} does not see the output: what it writes into {str(answer.parent)!r} does not "
                "appear here. A run on several machines needs OUTPUT (and INPUT) in a folder that all of them share, "
                "under the same path."
            )
        answer.unlink()

    def _heard(self, place: _Place, told: Message) -> None:
        place.calls = told["calls"]
        for kind, *values in told["events"]:
            if kind == "called":
                self._tracker.called(*values)
            elif kind == "lost":
                self._tracker.lost(*values)
            elif kind == "began":
                self._tracker.began(values[0], f"{place.node} {values[1]}")
            elif kind == "gone":
                self._tracker.gone(f"{place.node} {values[0]}", *values[1:])
            else:
                del place.tasks[values[0]["index"]]
                self._tracker.done(values[0])

    def _ask(self, place: _Place) -> None:
        """Give it splits, and ask what happens; end it where there is nothing left for it."""
        given = []
        while self._waiting and len(place.tasks) < 1 + AHEAD:
            if place.tasks and len(self._waiting) < len(self._places):
                break  # the last ones go to whoever is free first
            task = self._waiting.popleft()
            place.tasks[task.index] = task
            given.append(task.to_json())
        if not place.tasks:
            self._calls_of_gone += place.calls
            self._executor.end(place)
            return
        place.doing = "exchanging"
        wait_s = max(WAIT_S, len(self._places) / EXCHANGES_A_S)
        self._executor.ask(place, place.actor.exchange.remote(json.dumps({"splits": given, "wait_s": wait_s})))

    def _doubt(self, place: _Place) -> None:
        """It could not be reached: gone, most likely. Until that is sure, or it has given up by itself, its splits
        wait: two actors at one split would overwrite each other."""
        place.doing = "doubted"
        place.doubted_until = place.doubted_until or time.monotonic() + WAIT_S + 2 * FENCE_S
        self._executor.ask(place, place.actor.alive.remote())

    def _gone(self, place: _Place, why: str) -> None:
        self._calls_of_gone += place.calls
        self._executor.end(place)
        if not place.facts:
            self._lost_loading += 1
        self._tracker.gone(place.node, why, sorted(place.tasks))
        for index, task in sorted(place.tasks.items(), reverse=True):
            self._tracker.lost(index)
            self._waiting.appendleft(task)
            self._lost[index] += 1
            if self._lost[index] >= MOST_LOST:
                raise RunStopped(
                    f"split {index} (the rows of {task.file.path} from {task.file.first_row} on) was in work when "
                    f"{MOST_LOST} actors were lost; the last one: {why} If its node was short of memory, try a smaller "
                    "--batch-rows. What is committed stays: start again to go on."
                )
        if self._lost_loading >= MOST_LOST:
            raise RunStopped(f"{MOST_LOST} actors in a row were lost while they loaded the model; the last one: {why}")


def raise_error(told: Message, place: _Place) -> None:
    """What an actor says went wrong, with the name of its node."""
    if "error" in told:
        error = error_from_message(told["error"])
        error.message = f"on the node {place.node}: {error.message}"
        error.args = (error.message,)
        raise error


def _said(error: Exception) -> str:
    """What Ray says, in one line: the last of its sentences that gives a reason, or its first."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if "because" in line or "due to" in line]
    return f"{[*lines[:1], *reasons][-1].rstrip('.')}."


def _pieces(model: Packed) -> Iterator[bytes]:
    with model.archive.open("rb") as source:
        while piece := source.read(PIECE_BYTES):
            yield piece


def _connect(address: str | None) -> None:
    """Join the cluster. Ray takes SIGTERM for itself; it stays ours, as the run's own words are said then."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    in_main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGTERM) if in_main else None
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
    except ConnectionError as error:
        raise UsageError(
            f"there is no Ray cluster at {address or os.environ.get('RAY_ADDRESS')}: {_said(error)} Say where its head "
            "is: --address HOST:6379"
        ) from error
    if in_main:
        signal.signal(signal.SIGTERM, before)
