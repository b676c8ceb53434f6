"""Splits on this machine: worker processes; one with several threads where the model lets them compute at once."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterable, Sequence

from twofold._batch.executors.base import Measured, ModelFacts, Tracker
from twofold._batch.executors.losses import Loss, Losses
from twofold._batch.executors.shares import Shares
from twofold._batch.executors.trying import MOST_TIMES, Trying
from twofold._batch.executors.workers import Call, Hand, Workers, is_stopped
from twofold._batch.work import SplitTask, Work
from twofold._errors import RunStopped
from twofold._supervisor import Message, available_cores

__all__ = ["LocalExecutor", "LocalRun"]

MOST_LOSSES = 8
MOST_GIVEN_UP, GIVEN_UP_SHARE = 100, 0.01
"""So many rows may be given up, or this share of those that were answered."""
GIVEN_UP_IN_A_ROW = 8
TICK_S = 0.5
WATCH_S = 0.1
AHEAD = 1
"""Splits that a lane has waiting beside the one it computes."""


class LocalExecutor:
    """`workers` has one process that loads the model already; `n_workers` None: as many as help, within
    `memory_bytes`."""

    def __init__(
        self, workers: Workers, n_workers: int | None, row_timeout_s: float, memory_bytes: int | None = None
    ) -> None:
        self._workers = workers
        self._n_workers = n_workers
        self._row_timeout_s = row_timeout_s
        self._memory_bytes = memory_bytes
        self._cores_a_call = 1.0
        self.model_calls = 0
        """Calls of the model that the runs of this executor have made, those of lost workers included."""

    def close(self) -> None:
        """End all workers. What they have committed stays."""
        self._workers.end()

    def facts(self) -> ModelFacts:
        """What the first worker says about the model; waits until it is loaded. ModelError where it cannot be."""
        workers = self._workers
        while not workers.facts:
            workers.next_event(None)
            if not workers.hands:
                workers.start()
        return ModelFacts.of(workers.facts, workers.ref)

    def room(self) -> int | None:
        """Bytes that the rows in hand at one place may take up. UsageError where the model alone needs more memory."""
        shares = self._shares()
        if shares is None:
            return None
        lanes, n_workers = self._places(self._wanted())
        return shares.room(shares.workers(n_workers), lanes)

    def _shares(self) -> Shares | None:
        if self._memory_bytes is None:
            return None
        return Shares.now(self._memory_bytes, next(iter(self._workers.hands.values())).worker.pid)

    def _wanted(self) -> int:
        """Places, where nothing speaks against it."""
        if self._n_workers is not None:
            return self._n_workers
        # A model that computes in threads of its own has the cores already; one that waits, many rows at once.
        return 1 if self._workers.facts["waits"] else max(1, round(available_cores() / self._cores_a_call))

    def _places(self, wanted: int) -> tuple[int, int]:
        """Lanes of each worker, and workers."""
        return (wanted, 1) if self._workers.facts["drops_gil"] else (1, wanted)

    def places_for(self, n_splits: int) -> int:
        lanes, n_workers = self._places(max(1, min(self._wanted(), n_splits)))
        shares = self._shares()
        return lanes * (n_workers if shares is None else shares.workers(n_workers))

    def probe(self, work: Work, task: SplitTask, n_rows: int) -> Measured | None:
        """What a few rows of a split cost; None where that cannot be said."""
        hand = next(iter(self._workers.hands.values()))
        hand.worker.send({"probe": {"work": work.to_json(), "split": task.to_json(), "n_rows": n_rows}})
        until = time.monotonic() + self._row_timeout_s
        while (event := self._workers.next_event(until)) is not None and event[1] is not None:
            if "measured" in event[1]:
                found = event[1]["measured"]
                if found is None:
                    return None
                measured = Measured(**found)
                self._cores_a_call = max(1.0, measured.cores)
                return measured
        self._workers.end()  # it hangs, or has ended: the run itself finds out over which row
        self._workers.start()
        return None

    def run(self, work: Work, tasks: Sequence[SplitTask], tracker: Tracker) -> None:
        """Compute these splits; returns when the last is committed. Raises the first error of a split."""
        lanes, n_workers = self._places(max(1, min(self._wanted(), len(tasks))))
        shares, trying = self._shares(), None
        most = MOST_TIMES * available_cores()
        if shares is not None:
            n_workers, most = shares.workers(n_workers), shares.workers(most)
        if self._n_workers is None and lanes == 1 and not self._workers.facts["waits"]:
            trying = Trying(n_workers, min(most, len(tasks)))
        run = LocalRun(self._workers, work, tracker, n_workers, lanes, self._row_timeout_s, shares, trying)
        run.add(tasks)
        try:
            while run.unfinished:
                run.step()
        finally:
            self.model_calls += run.model_calls
        self._workers.let_go()


class LocalRun:
    """The splits that are computed here, and where they are: `add` some, then `step` while some are `unfinished`."""

    def __init__(
        self,
        workers: Workers,
        work: Work,
        tracker: Tracker,
        n_workers: int,
        lanes: int,
        row_timeout_s: float,
        shares: Shares | None = None,
        trying: Trying | None = None,
    ) -> None:
        self._shares = shares
        self._trying = trying
        self._watched_s = 0.0
        self._workers = workers
        self._work = work.to_json()
        self._waiting: deque[SplitTask] = deque()
        self._tracker = tracker
        self._n_workers = n_workers
        self._lanes = lanes
        self._row_timeout_s = row_timeout_s
        self._losses = Losses(by_row=workers.facts["by_row"])
        self._losses_in_a_row = 0
        self._given_up = self._given_up_in_a_row = self._answered = 0
        self._look_at = math.inf
        self.model_calls = 0

    @property
    def unfinished(self) -> int:
        """Splits that are not committed."""
        return len(self._waiting) + sum(len(hand.tasks) for hand in self._workers.hands.values())

    def add(self, tasks: Iterable[SplitTask]) -> None:
        """Compute these, too."""
        self._waiting.extend(tasks)

    def step(self) -> None:
        """Hand out what waits; then take the next message of a worker, or find after half a second that there is none.

        Raises the first error of a split.
        """
        hands = self._workers.hands
        while self._waiting and len(hands) < self._n_workers:
            self._workers.start()
        for number, hand in enumerate(list(hands.values())):
            if number < self._n_workers:
                self._give(hand)
            elif not hand.tasks:
                self._workers.dismiss(hand)
        self._watch(time.monotonic())
        event = self._workers.next_event(0.0)  # what was said already, before anybody is judged by the clock
        if event is None:
            event = self._workers.next_event(self._end_hung(time.monotonic()))
        if event is None:
            self._tracker.tick()
        elif event[1] is None:
            self._ended(event[0])
        else:
            self._told(event[0], event[1])

    def _give(self, hand: Hand) -> None:
        """As many splits as its lanes can have in hand; one that is suspect goes alone."""
        if not hand.ready:
            return
        if not hand.has_work:
            hand.has_work = True
            hand.worker.send({"work": self._work, "lanes": self._lanes})
        while self._waiting and len(hand.tasks) < self._lanes * (1 + AHEAD):
            suspect = self._losses.suspects(self._waiting[0])
            if hand.tasks and (suspect or any(self._losses.suspects(task) for task in hand.tasks.values())):
                return
            if len(hand.tasks) >= self._lanes and len(self._waiting) < self._n_workers * self._lanes:
                return  # the last ones go to whoever is free first
            task = self._waiting.popleft()
            hand.tasks[task.index] = task
            hand.worker.send({"split": task.to_json()})

    def _watch(self, now: float) -> None:
        """From time to time: do more workers help? Do all together hold more memory than they may?"""
        if now - self._watched_s < WATCH_S:
            return
        self._watched_s = now
        hands = self._workers.hands
        if self._trying is not None:
            ready = [hand.worker.pid for hand in hands.values() if hand.tasks]
            self._n_workers = self._trying.look(now, ready, sum(task.n_rows for task in self._waiting))
        if self._shares is not None and not any(hand.exceeded for hand in hands.values()):
            pid = self._shares.exceeded_by(list(hands))
            if pid is not None:
                hands[pid].exceeded = True
                hands[pid].worker.kill()

    def _end_hung(self, now: float) -> float:
        """Kill each worker with a call that takes too long; when to look again at the latest.

        While this process did not look (it was stopped, or joined parts), nobody's time ran.
        """
        late_s = max(0.0, now - self._look_at)
        until = now + (TICK_S if self._shares is None and self._trying is None else WATCH_S)
        for hand in self._workers.hands.values():
            for index, call in hand.calls.items():
                call.until += late_s
                if hand.hung is None and call.until <= now:
                    hand.hung, hand.stopped = index, is_stopped(hand.worker.pid)
                    hand.worker.kill()
                elif hand.hung is None:
                    until = min(until, call.until)
        self._look_at = until
        return until

    def _told(self, hand: Hand, message: Message) -> None:
        if "calling" in message:
            index, rows, expected_s = message["calling"]
            self.model_calls += 1
            if index not in hand.begun:
                hand.begun.add(index)
                self._tracker.began(index, str(hand.worker.pid))
            hand.calls[index] = Call(rows, time.monotonic() + expected_s + self._row_timeout_s)
        elif "called" in message:
            hand.calls.pop(message["called"][0], None)
            if message["called"][1] > message["called"][2]:
                self._given_up_in_a_row = 0
                self._answered += message["called"][1] - message["called"][2]
            if self._trying is not None:
                self._trying.computed(message["called"][1])
            self._tracker.called(*message["called"])
        elif "done" in message:
            del hand.tasks[message["done"]["index"]]
            self._losses_in_a_row = 0
            self._tracker.done(message["done"])

    def _ended(self, hand: Hand) -> None:
        """Its splits go to the next worker; the one whose call was open is handled with more care."""
        if not hand.ready:
            return
        self._losses_in_a_row += 1
        how = "held more memory than --memory allows" if hand.exceeded else hand.worker.how_it_ended()
        self._tracker.gone(str(hand.worker.pid), how, sorted(hand.tasks))
        narrowed = hand.exceeded and self._fewer_places()
        again: list[SplitTask] = []
        for index, task in sorted(hand.tasks.items()):
            self._tracker.lost(index)
            call = hand.calls.get(index)
            if call is None or hand.hung not in (None, index) or hand.stopped or narrowed:
                again.append(task)
                continue
            loss = Loss.ended(hand.worker.returncode, how, alone=len(hand.calls) == 1)
            if hand.exceeded:
                loss = Loss("worker_lost", f"the worker process {how} in a call with this row alone")
            if hand.hung is not None:
                loss = Loss("deadline_exceeded", f"this row alone took {self._row_timeout_s:g} s longer than usual")
            task, given_up = self._losses.blame(task, call.rows, loss)
            if given_up:
                self._losses_in_a_row = 0
                self._given_up += 1
                self._given_up_in_a_row += 1
            again.append(task)
        self._waiting.extendleft(reversed(again))
        self._stop_if_hopeless(how)

    def _fewer_places(self) -> bool:
        """Fewer at once, so that each has more memory; False where there is one already."""
        if self._n_workers == self._lanes == 1:
            return False
        self._trying = None
        self._n_workers, self._lanes = max(1, self._n_workers - 1), max(1, self._lanes // 2)
        return True

    def _stop_if_hopeless(self, how: str) -> None:
        most = max(MOST_GIVEN_UP, GIVEN_UP_SHARE * self._answered)
        if self._given_up_in_a_row >= GIVEN_UP_IN_A_ROW or self._given_up > most:
            raise RunStopped(
                f"{self._given_up} rows ended or blocked the worker process that computed them; the last one {how}. "
                "That is the model, not the rows, so the run was stopped. Mend the model, then start again with "
                "--overwrite."
            )
        if self._losses_in_a_row >= MOST_LOSSES:
            raise RunStopped(
                f"worker processes were lost {MOST_LOSSES} times in a row without getting on; the last one {how}. "
                "If it was killed, memory may be short: try a smaller --batch-rows, or fewer --workers. What is "
                "committed stays: start again to go on."
            )
