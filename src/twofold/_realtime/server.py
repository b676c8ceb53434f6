"""The light parent of `serve`: it starts, watches and replaces the processes that serve the models, and loads none.

Whatever changes, a reload, a restart, another layout, goes the same way: new processes start and load, are checked
and warmed up, take over, and the old ones answer what they have and go. Where the new ones fail, the old ones stay.

    first start        a patient generation: it accepts as soon as it can
    reload, SIGHUP     a new generation takes over as a whole; if nothing has changed, one process after the other
    slow, crashed      a new generation, in which those models run in model processes
    a process ended    its place is filled again
"""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

from twofold._options import ServeOptions
from twofold._realtime.generation import Generation
from twofold._realtime.names import check_names
from twofold._realtime.place import Place, Premises, workers_of
from twofold._realtime.rolling import Roll
from twofold._realtime.watching import PERIOD_S, Watch
from twofold._supervisor import Backoff, Message, Worker, end_workers

__all__ = ["Server"]

# A one-row call that takes longer than this would hold the event loop up.
INLINE_S: Final = 0.0005
# A new version of an inline model goes on inline up to this: it is measured beside a server that is busy.
SLOW_S: Final = 0.005

Why = Literal["file", "signal", "stale"]


class Server:
    """Serves models until it is told to stop. `run` it in one thread; `stop` and `reload` may be called from any."""

    def __init__(
        self, models: Sequence[tuple[str, Message]], options: ServeOptions, announce: Callable[[str], None]
    ) -> None:
        """`models`: of each its name ("": its own) and its ModelRef as JSON; `announce` gets the one line that says
        where they are served."""
        self._options = options
        self._announce = announce
        self._events: queue.SimpleQueue[tuple[Worker | None, Message | None]] = queue.SimpleQueue()
        self._premises = Premises(models, options, self._events)
        self._current = Generation(self._premises, patient=True)
        self._coming: Generation | None = None
        self._leaving: list[Generation] = []
        self._because: Why = "signal"  # why one is coming
        self._retry = Backoff()
        self._forced: frozenset[int] = frozenset()  # models that must run in model processes
        self._roll: Roll | None = None
        self._watch = Watch() if options.reload else None
        self._watch_s = 0.0
        self._announced = False
        self._stopping = False
        self._drain_s = float("inf")  # time.monotonic() when the drain begins
        self._cut = False
        self._checked_s = time.monotonic()

    @property
    def url(self) -> str:
        """Where it listens. To be asked before it ends."""
        return self._premises.sockets.url

    @property
    def grpc_address(self) -> str | None:
        """host:port of the gRPC port, where there is one."""
        return self._premises.sockets.grpc_address

    def stop(self) -> None:
        """Drain: requests in flight are answered, then `run` returns. The second time: end at once."""
        self._events.put((None, {"stop": True}))

    def reload(self) -> None:
        """Load the models again, and replace every process."""
        self._events.put((None, {"reload": True}))

    def counted(self) -> dict[str, int]:
        """Model calls and the rows they saw, of the processes that are there, as of their last signs of life."""
        places = [place for generation in self._generations() for place in list(generation.places)]
        return {name: sum(place.counted.get(name, 0) for place in places) for name in ("calls", "rows")}

    def run(self) -> int:
        """Serve. Returns 0 after a drain, 130 when that was cut short. Raises ModelError for a broken model."""
        try:
            self._current.begin()
            while not (self._stopping and not any(generation.places for generation in self._generations())):
                self._take_events()
                if self._cut:
                    return 130
                self._check()
                self._step()
            return 0
        finally:
            end_workers(workers_of(place for generation in self._generations() for place in generation.places))
            self._premises.close()

    def _generations(self) -> Iterator[Generation]:
        yield from self._leaving
        yield self._current
        if self._coming is not None:
            yield self._coming
        if self._roll is not None:
            yield self._roll.loaded

    # ---- what happens

    def _take_events(self) -> None:
        """Wait for an event, or for the next thing to do by the clock; handle all that came."""
        wait_s = self._idle_s()
        while True:
            try:
                sender, message = self._events.get(timeout=wait_s)
            except queue.Empty:
                return
            wait_s = 0.0
            if sender is not None:
                self._take_from(sender, message)
            elif message is not None and "stop" in message:
                self._stop()
            elif self._announced and not self._stopping:
                self._reload("signal")

    def _take_from(self, worker: Worker, message: Message | None) -> None:
        for generation in self._generations():
            for place in generation.places:
                if place.worker is worker:
                    if message is None:
                        generation.ended(place)
                    else:
                        self._take(generation, place, message)
                    return

    def _take(self, generation: Generation, place: Place, message: Message) -> None:
        if "beat" in message:
            place.beat_s = time.monotonic()
            place.counted = message["beat"]
        elif "kill" in message:
            self._kill_hung(message["kill"])
        elif "slow" in message:
            self._slow(generation, message["slow"])
        elif not generation.leaving or "joined" in message or "over" in message:
            generation.take(place, message)
            if self._stopping and "serving" in message:
                place.send({"unready": True})

    def _kill_hung(self, pid: int) -> None:
        for generation in self._generations():
            for place in generation.places:
                if place.worker is not None and place.worker.pid == pid:
                    place.failure = f"process {pid} did not answer before the deadline"
                    place.worker.kill()

    def _idle_s(self) -> float:
        now = time.monotonic()
        until = [generation.next_s() for generation in self._generations()]
        watch_s = self._watch_s if self._watch is not None else now + 1.0
        return max(0.0, min([*until, self._drain_s, watch_s, now + 1.0]) - now)

    def _check(self) -> None:
        """What is due by the clock."""
        now = time.monotonic()
        slept, self._checked_s = now - self._checked_s > 2.5, now
        for generation in self._generations():
            # what found other files than its generation's waits for the generation that is made of them
            generation.check(now, slept=slept, hold=lambda place: place.stale and self._coming is not None)
        if now >= self._drain_s:
            self._drain()
        if self._stopping:
            return
        if self._watch is not None and self._announced and now >= self._watch_s:
            self._watch_s = now + PERIOD_S
            if self._watch.changed():
                self._reload("file")

    def _step(self) -> None:
        """Go on with what has begun, as far as the processes have come."""
        self._leaving = [generation for generation in self._leaving if generation.places]
        if self._stopping:
            return
        for each in (self._current, self._coming):
            if each is not None and each.measured and each.isolated is None and not (each.leaving or each.failure):
                self._lay_out(each)
        current, coming = self._current, self._coming
        if not self._announced:
            if current.accepting:
                self._serves(current)
        elif coming is not None:
            if coming.failure:
                self._give_up(coming)
            elif coming.stale:
                self._reload("stale")
            elif coming.accepting if coming.patient else coming.complete:
                self._switch(coming)
            elif coming.prepared and not coming.opened:
                coming.open()
        elif current.crashed:
            self._crashed(current)
        elif current.stale:
            current.stale = False
            self._reload("stale")
        self._go_on_replacing()

    # ---- from one generation to the next

    def _reload(self, why: Why) -> None:
        """Load the models as they are now. One that was coming already is forgotten."""
        self._end_roll()
        self._end_coming()
        if self._watch is not None:
            self._watch.begin()
        self._because = why
        self._coming = Generation(self._premises, patient=False, before=self._current)
        self._begin(self._coming.begin)

    def _begin(self, begin: Callable[[], None]) -> None:
        try:
            begin()
        except OSError as error:
            assert self._coming is not None
            self._coming.failure = f"a process could not be started: {error.strerror}"

    def _lay_out(self, generation: Generation) -> None:
        """All of its models are loaded and measured: decide where they run."""
        if generation is self._current:
            check_names((facts["name"], facts["name"]) for facts in generation.facts.values())
            self._premises.sockets.listen()
        elif generation.same_as(self._current):
            if self._because == "file":  # touched, or saved as it was
                self._end_coming()
                return
            isolated = (self._current.isolated or frozenset()) | self._forced
            if isolated == self._current.isolated:
                self._coming, self._roll = None, Roll(self._current, generation)
                return
            self._begin(lambda: generation.lay_out(isolated))
            return
        self._forced = frozenset()  # another version, another cost
        if generation is not self._current:
            self._premises.cold.clear()
        isolated = self._chosen(generation)
        if generation is self._current:
            generation.lay_out(isolated)
        else:
            self._begin(lambda: generation.lay_out(isolated))

    def _chosen(self, generation: Generation) -> frozenset[int]:
        """The models that run in model processes."""
        layout = self._options.layout
        found = set()
        for number, facts in generation.facts.items():
            one_row_s = generation.one_row_s[number]
            most_s = SLOW_S if generation is not self._current and number in self._current.inline else INLINE_S
            slow = one_row_s is None or one_row_s > most_s
            if layout == "isolate" or (not facts["waits"] and (facts["streams"] or (layout == "auto" and slow))):
                found.add(number)
        return frozenset(found)

    def _switch(self, coming: Generation) -> None:
        """It serves: the old one answers what it has, and goes."""
        before, self._current, self._coming = self._current, coming, None
        coming.patient = True
        before.leave(self._options.drain_timeout_s)
        self._leaving.append(before)
        self._end_roll()
        self._retry.reset()
        self._look_at(coming)
        if not coming.same_as(before):
            self._premises.say(f"now serving {coming}; it was {before}.")
        elif coming.isolated == before.isolated:
            self._premises.say(f"every process of {coming} has been replaced.")

    def _give_up(self, coming: Generation) -> None:
        """The new processes failed: keep the old ones."""
        current = self._current
        self._end_coming()
        self._premises.say(f"what was to replace {current} failed, and nothing changes: {coming.failure}", "error")
        if len(current.servers) < current.n_servers:  # it was to be another layout
            current.refill(self._retry.next_s())

    def _end_coming(self) -> None:
        """Forget what was to take over; unless it has begun to."""
        coming = self._coming
        if coming is not None and coming.accepting:
            self._switch(coming)
        elif coming is not None:
            coming.abandon()
            self._leaving.append(coming)
            self._coming = None

    def _slow(self, generation: Generation, number: int) -> None:
        """A server process says that one-row calls of an inline model take too long."""
        if generation is not self._current or self._coming is not None or self._stopping or number in self._forced:
            return
        if self._options.layout == "auto" and number in generation.inline:
            name = generation.facts[number]["name"]
            self._premises.say(
                f"one row of {name} takes too long; from now on the model runs in model processes beside the server.",
                "warning",
            )
            self._isolate({number}, patient=False)

    def _crashed(self, current: Generation) -> None:
        """A server process with models in it died: from now on they run in model processes."""
        self._premises.say(
            f"{current.crashed}; from now on the model runs in model processes beside the server.", "error"
        )
        current.crashed = ""
        self._isolate({n for n in current.inline if not current.facts[n]["waits"]}, patient=True)

    def _isolate(self, numbers: set[int], *, patient: bool) -> None:
        self._forced |= numbers
        current = self._current
        coming = self._coming = Generation(self._premises, patient=patient, before=current)
        self._begin(lambda: coming.begin_as(current, (current.isolated or frozenset()) | numbers))

    # ---- one process after the other

    def _go_on_replacing(self) -> None:
        current, roll = self._current, self._roll
        if roll is not None:
            try:
                roll.step()
            except OSError as error:
                current.roll_failure = f"a process could not be started: {error.strerror}"
        if current.roll_failure:
            self._premises.say(
                f"a process of {current} could not be replaced, and the others stay: {current.roll_failure}", "error"
            )
            current.roll_failure = ""
            current.stop_replacing()
            self._end_roll()
        elif roll is not None and roll.over:
            self._end_roll()
            self._premises.say(f"every process of {current} has been replaced.")

    def _end_roll(self) -> None:
        """Begin with no other process; what is under way goes on."""
        if self._roll is not None:
            self._roll.loaded.abandon()
            self._leaving.append(self._roll.loaded)
            self._roll = None

    # ---- what is said, and the end

    def _serves(self, current: Generation) -> None:
        self._announced = True
        self._look_at(current)
        grpc = f", gRPC at {self.grpc_address}" if self.grpc_address else ""
        self._announce(f"twofold serving {current} at {self.url}{grpc}")

    def _look_at(self, generation: Generation) -> None:
        if self._watch is not None:
            self._watch.look_at({path: s for facts in generation.facts.values() for path, s in facts["files"].items()})

    def _stop(self) -> None:
        if self._stopping:
            self._cut = True
            return
        self._stopping = True
        self._end_roll()
        self._end_coming()
        for generation in self._generations():
            generation.send_to_servers({"unready": True})
        delay_s = self._options.drain_delay_s if self._current.accepting else 0.0
        self._drain_s = time.monotonic() + delay_s
        if delay_s == 0:
            self._drain()

    def _drain(self) -> None:
        self._drain_s = float("inf")
        self._premises.sockets.close()
        self._current.leave(self._options.drain_timeout_s)
