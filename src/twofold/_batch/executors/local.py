"""Splits on this machine: worker processes; one with several threads where the model lets them compute at once."""

from __future__ import annotations

import queue
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from twofold._batch.executors.losses import Losses
from twofold._batch.plan import ModelFacts
from twofold._batch.work import SplitTask, Work
from twofold._errors import ModelError, RunStopped
from twofold._model import ModelRef
from twofold._signature import Signature
from twofold._supervisor import Message, Worker, available_cores, end_workers, error_from_message

__all__ = ["LocalExecutor", "Tracker"]

MODULE = "twofold._batch.worker"
MOST_STARTS = 3
MOST_LOSSES = 8
AHEAD = 1
"""Splits that a lane has waiting beside the one it computes."""


class Tracker(Protocol):
    """Told what happens to the splits; may raise, which stops the run."""

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None: ...

    def lost(self, index: int) -> None:
        """Begun again from its first row."""

    def done(self, report: dict[str, Any]) -> None: ...

    def tick(self) -> None:
        """From time to time."""


@dataclass
class _Call:
    first_row: int
    end_row: int
    since: float


@dataclass
class _Hand:
    """A worker process, and what it has in hand."""

    worker: Worker
    ready: bool = False
    has_work: bool = False
    tasks: dict[int, SplitTask] = field(default_factory=dict)
    calls: dict[int, _Call] = field(default_factory=dict)
    hung: int | None = None
    """The split whose call took too long; the worker was killed for it."""


class LocalExecutor:
    """Starts the first worker when it is made, so that the model loads while the run is planned. Close it."""

    def __init__(self, ref: ModelRef, workers: int | None, call_timeout_s: float) -> None:
        self._ref = ref
        self._workers = workers
        self._call_timeout_s = call_timeout_s
        self._events: queue.SimpleQueue[tuple[Worker, Message | None]] = queue.SimpleQueue()
        self._hands: dict[int, _Hand] = {}
        self._facts: Message = {}
        self._unready_ends = 0
        self.model_calls = 0
        self._start()

    def close(self) -> None:
        """End all workers. What they have committed stays."""
        end_workers([hand.worker for hand in self._hands.values()])
        self._hands.clear()

    def facts(self) -> ModelFacts:
        """What the first worker says about the model; waits until it is loaded. ModelError where it cannot be."""
        while not self._facts:
            hand, message = self._next_event(None)
            if message is None:
                self._ended_unready(hand)
                self._start()
        facts = self._facts
        return ModelFacts(
            name=facts["name"],
            version=facts["version"],
            signature=Signature.from_json(facts["signature"]),
            drops_gil=facts["drops_gil"],
            settings={"set": self._ref.settings, "outputs": list(self._ref.outputs), "nulls": self._ref.nulls},
        )

    def probe(self, work: Work, task: SplitTask) -> float | None:
        """Seconds that a row takes, from a few rows of a split; None where that cannot be said."""
        hand = next(iter(self._hands.values()))
        hand.worker.send({"probe": {"work": work.to_json(), "split": task.to_json()}})
        until = time.monotonic() + self._call_timeout_s
        while True:
            _, message = self._next_event(until)
            if message is None:
                end_workers([hand.worker])
                self._hands.pop(hand.worker.pid, None)
                self._start()
                return None
            if "row_s" in message:
                found: float | None = message["row_s"]
                return found

    def run(self, work: Work, tasks: Sequence[SplitTask], tracker: Tracker) -> None:
        """Compute these splits; returns when the last is committed. Raises the first error of a split."""
        _Run(self, work, tasks, tracker).run()

    # ---- what a run uses ------------------------------------------------------------------------------------------

    def _start(self) -> _Hand:
        worker = Worker.start(MODULE, {"model": self._ref.to_json()}, events=self._events)
        hand = self._hands[worker.pid] = _Hand(worker)
        return hand

    def _next_event(self, until: float | None) -> tuple[_Hand, Message | None]:
        """The next message of a living worker; None in it: that worker ended, or (with its hand) `until` passed."""
        while True:
            try:
                timeout = None if until is None else max(0.0, until - time.monotonic())
                worker, message = self._events.get(timeout=timeout)
            except queue.Empty:
                return next(iter(self._hands.values())), None
            hand = self._hands.get(worker.pid)
            if hand is None or hand.worker is not worker:
                continue
            if message is not None and "error" in message:
                raise error_from_message(message["error"])
            if message is not None and "ready" in message:
                hand.ready = True
                self._facts = message["ready"]
            return hand, message

    def _ended_unready(self, hand: _Hand) -> None:
        self._hands.pop(hand.worker.pid, None)
        self._unready_ends += 1
        if self._unready_ends >= MOST_STARTS:
            raise ModelError(
                f"the worker process that loads the model {hand.worker.how_it_ended()} before it was ready, "
                f"{MOST_STARTS} times. Does the model end the process when it is loaded, or need more memory than there "
                "is? `twofold describe` loads it in the same way."
            )


class _Run:
    """The splits of one run, and where they are."""

    def __init__(self, executor: LocalExecutor, work: Work, tasks: Sequence[SplitTask], tracker: Tracker) -> None:
        self._executor = executor
        self._work = work
        self._waiting = deque(tasks)
        self._tracker = tracker
        facts = executor._facts
        self._losses = Losses(by_row=facts["by_row"])
        cores = executor._workers or (1 if facts["waits"] else available_cores())
        places = max(1, min(cores, len(tasks)))
        self._lanes = places if facts["drops_gil"] else 1
        self._n_hands = 1 if facts["drops_gil"] else places
        self._losses_in_a_row = 0

    def run(self) -> None:
        executor = self._executor
        while True:
            hands = executor._hands
            while len(hands) < self._n_hands and (self._waiting or not hands):
                executor._start()
            for hand in hands.values():
                self._give(hand)
            if not self._waiting and not any(hand.tasks for hand in hands.values()):
                return
            self._wait()

    def _give(self, hand: _Hand) -> None:
        """As many splits as its lanes can have in hand; one that is suspect goes alone."""
        if not hand.ready:
            return
        if not hand.has_work:
            hand.has_work = True
            hand.worker.send({"work": self._work.to_json(), "lanes": self._lanes})
        while self._waiting and len(hand.tasks) < self._lanes * (1 + AHEAD):
            suspect = self._losses.suspects(self._waiting[0])
            if hand.tasks and (suspect or any(self._losses.suspects(task) for task in hand.tasks.values())):
                return
            if len(hand.tasks) >= self._lanes and len(self._waiting) < self._n_hands * self._lanes:
                return  # the last ones go to whoever is free first
            task = self._waiting.popleft()
            hand.tasks[task.index] = task
            hand.worker.send({"split": task.to_json()})

    def _wait(self) -> None:
        executor = self._executor
        now = time.monotonic()
        until = now + 0.5
        for hand in executor._hands.values():
            if hand.hung is not None:  # killed already; its end is on its way
                continue
            for index, call in hand.calls.items():
                deadline = call.since + executor._call_timeout_s
                until = min(until, max(deadline, now))
                if deadline <= now:
                    hand.hung = index
                    hand.worker.kill()
                    break
        try:
            worker, message = executor._events.get(timeout=max(0.0, until - now))
        except queue.Empty:
            self._tracker.tick()
            return
        hand_of = executor._hands.get(worker.pid)
        if hand_of is None:
            return
        self._handle(hand_of, message)

    def _handle(self, hand: _Hand, message: Message | None) -> None:
        if message is None:
            self._ended(hand)
        elif "calling" in message:
            index, first_row, end_row = message["calling"]
            self._executor.model_calls += 1
            hand.calls[index] = _Call(first_row, end_row, time.monotonic())
        elif "called" in message:
            hand.calls.pop(message["called"][0], None)
            self._tracker.called(*message["called"])
        elif "done" in message:
            report = message["done"]
            hand.tasks.pop(report["index"], None)
            self._losses_in_a_row = 0
            self._tracker.done(report)
        elif "ready" in message:
            hand.ready = True
        elif "error" in message:
            raise error_from_message(message["error"])

    def _ended(self, hand: _Hand) -> None:
        executor = self._executor
        if not hand.ready:
            executor._ended_unready(hand)
            return
        del executor._hands[hand.worker.pid]
        self._losses_in_a_row += 1
        how = hand.worker.how_it_ended()
        again: list[SplitTask] = []
        for index, task in sorted(hand.tasks.items()):
            self._tracker.lost(index)
            call = hand.calls.get(index)
            if call is None or hand.hung not in (None, index):
                again.append(task)
                continue
            code, message = "worker_lost", f"the worker process {how} in a call with this row alone"
            if hand.hung is not None:
                code = "deadline_exceeded"
                message = f"a call with this row alone took longer than {executor._call_timeout_s:g} s"
            task, given_up = self._losses.blame(task, call.first_row, call.end_row, code, message)
            if given_up:
                self._losses_in_a_row = 0
            again.append(task)
        self._waiting.extendleft(reversed(again))
        if self._losses_in_a_row >= MOST_LOSSES:
            raise RunStopped(
                f"worker processes were lost {MOST_LOSSES} times in a row without getting on; the last one {how}. If it was "
                "killed, memory may be short: try a smaller --batch-rows, or fewer --workers. What is committed stays: "
                "start again to go on."
            )
