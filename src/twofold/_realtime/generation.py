"""A generation: the processes that serve one state of the models, in one layout.

    inline      N server processes, each with one event loop and all models in it
    isolated    one server process, with the inline models in it ══ N model processes for each other model

Its first processes load one model each and say what it is and how long one row takes (`measured`). By that the server
decides the layout (`lay_out`), and the other processes start. A place goes through these states:

    server   starting → loaded → ready → prepared → serving      prepared: could accept connections
    model    starting → loaded → ready → serving                 serving: has joined its server process

A patient generation accepts connections as soon as it can, and fills its places again and again: the one that serves.
One that is to take over starts one process after the other, so that the one that serves is not short of cores. It holds
until all of it is prepared, and until then the first failure is its end; once it is open, it is like the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from twofold._errors import ModelError
from twofold._realtime.crew import Crew
from twofold._realtime.place import Place, Premises, Role
from twofold._supervisor import Message, available_cores, error_from_message

__all__ = ["Generation"]

# A first row that takes longer needs no measuring.
FIRST_ROW_S: Final = 2.0
DEATHS_BEFORE_READY: Final = 3


class Generation(Crew):
    """Belongs to the server's loop, which gives it the messages of its processes and the time.

    failure       why it cannot take over ("": it still may)
    stale         a process found that a model's files are not those of this generation any more
    crashed       how a server process with models in it ended, where that is a reason to isolate them
    roll_failure  why a process could not be replaced by a new one
    """

    def __init__(self, premises: Premises, *, patient: bool, before: Generation | None = None) -> None:
        """`before`: the generation whose signatures this one must keep."""
        super().__init__(premises, [] if before is None else [before.facts[number] for number in sorted(before.facts)])
        self.patient = patient
        self.opened = patient
        self.failure = ""
        self.stale = False
        self.crashed = ""
        self.roll_failure = ""
        self._first = before is None and patient
        self._deaths = 0
        self._to_start: list[tuple[Role, tuple[int, ...]]] = []

    # ---- what it is

    @property
    def measured(self) -> bool:
        return len(self.one_row_s) == len(self.facts) == len(self._premises.models)

    @property
    def accepting(self) -> bool:
        """Somebody answers."""
        return any(place.state == "serving" for place in self.servers)

    @property
    def complete(self) -> bool:
        """Every place serves."""
        return self._started and all(place.state == "serving" for place in self.places)

    @property
    def prepared(self) -> bool:
        """All of it could serve at once."""
        return self._started and all(place.state in ("prepared", "serving") for place in self.places)

    @property
    def _started(self) -> bool:
        return self.isolated is not None and not self._to_start

    def version(self, number: int) -> str:
        return str(self.facts[number]["version"])

    def same_as(self, other: Generation) -> bool:
        """Both are of the same versions of the models."""
        numbers = range(len(self._premises.models))
        return all(self.version(number) == other.version(number) for number in numbers)

    def __str__(self) -> str:
        """For messages: "fraud (version 1…) and risk (version 2…)"."""
        return " and ".join(f"{self.facts[n]['name']} (version {self.version(n)})" for n in sorted(self.facts))

    # ---- its start

    def begin(self) -> None:
        """Load each model, in a process of its own."""
        for number in range(len(self._premises.models)):
            self._add("model", (number,))

    def begin_as(self, other: Generation, isolated: frozenset[int]) -> None:
        """Start as a generation of the models that `other` is of, in another layout."""
        self.facts, self.one_row_s = dict(other.facts), dict(other.one_row_s)
        self.lay_out(isolated)

    def lay_out(self, isolated: frozenset[int]) -> None:
        """Start what is missing. Processes that have loaded a model become what is needed first."""
        self.isolated = isolated
        loaders = {place.models[0]: place for place in self.places}
        self.become_servers(loaders, self.n_servers)
        for number in sorted(isolated):
            self._to_start += [("model", (number,))] * (self._processes() - (number in loaders))
        self._start_more()
        for place in self.places:
            if place.state == "ready":
                self._put_to_work(place)

    def become_servers(self, loaders: dict[int, Place], count: int) -> None:
        """Have this many server processes; the first is made of a process that has loaded one of their models."""
        inline = self.inline
        found = [loaders[number] for number in inline if number in loaders]
        for place in found[1:]:
            self.leave_place(place)
        for place in found[:1]:
            place.role = "server"
            if missing := [number for number in inline if number not in place.models]:
                place.models = inline
                place.enter("starting")
                place.send({"load": missing})
        self._to_start += [("server", inline)] * (count - len(found[:1]))

    def _processes(self) -> int:
        """How many for an isolated model, or for the server."""
        waits = not self.isolated and any(facts["waits"] for facts in self.facts.values())
        return self._premises.options.workers or (1 if waits else available_cores())

    @property
    def n_servers(self) -> int:
        """How many server processes there are to be."""
        return 1 if self.isolated else self._processes()

    def _start_more(self) -> None:
        """All at once where somebody waits for them; else one when the last one has loaded."""
        while self._to_start:
            if not self.patient and any(place.state in ("starting", "loaded") for place in self.places):
                return
            try:
                self._add(*self._to_start[0])
            except OSError as error:
                if self._first:
                    raise
                self.failure = self.failure or f"a process could not be started: {error.strerror}"
                return
            self._to_start.pop(0)

    def refill(self, wait_s: float) -> None:
        """Fill the places of server processes that were given up for another layout, after so many seconds."""
        for _ in range(self.n_servers - sum(not place.leaving for place in self.servers)):
            place = self._premises.new_place("server", self.inline)
            place.restart_s = time.monotonic() + wait_s
            self.places.append(place)

    def open(self) -> None:
        """Let every server process accept connections."""
        self.opened = True
        for place in self.servers:
            if place.state == "prepared":
                place.send({"accept": True})

    # ---- what the processes say

    def take(self, place: Place, message: Message) -> None:
        """One of the messages about loading, measuring, getting ready and serving."""
        if "loaded" in message:
            self._loaded(place, message["loaded"])
        elif "measured" in message:
            self.one_row_s.setdefault(message["measured"]["number"], message["measured"]["one_row_s"])
            place.beat_s = place.first_row_of = None
        elif "ready" in message:
            if set(message["ready"]) >= set(place.models) and not place.stale:
                place.enter("ready")
                place.backoff.reset()
                if self.isolated is not None:
                    self._put_to_work(place)
                    self._start_more()
        elif "failed" in message:
            self._failed(place, message["failed"])
        elif "address" in message:
            place.addresses[message["address"].pop("number")] = message["address"]
            self._let_join("ready", "serving")
        elif "joined" in message:
            self._joined(place)
        elif "prepared" in message:
            place.enter("prepared")
            if self.opened:
                place.send({"accept": True})
        elif "serving" in message:
            self._serving(place)
        elif "over" in message:
            place.over = True

    def _loaded(self, place: Place, facts: Message) -> None:
        number: int = facts["number"]
        known = self.facts.setdefault(number, facts)
        place.enter("loaded")
        place.first_row_of, place.beat_s = number, place.state_s  # its first row may hang
        if known["version"] != facts["version"]:
            place.stale = self.stale = True
            place.failure = f"the files of {known['name']} have changed"
            if not self.opened:
                self.failure = self.failure or f"{place.failure} meanwhile"
            if place.worker is not None:
                place.worker.kill()

    def _failed(self, place: Place, failure: Message) -> None:
        if self._first and not self.served:
            raise error_from_message(failure)
        place.failure, place.first_row_of = failure["message"], None
        if not (self.opened and self.served):
            self.failure = self.failure or failure["message"]

    def _joined(self, place: Place) -> None:
        place.enter("serving")
        place.beat_s = None  # the server process watches its calls
        place.front = next((server for server in reversed(self.servers) if place.models[0] in server.addresses), None)
        if place.replaces is not None and not place.replaces.stays:
            self._taken_over(place)

    def _serving(self, place: Place) -> None:
        place.enter("serving")
        place.backoff.reset()
        self.served = True
        for each in list(self.places):
            if each is place or (each.replaces is not None and each.replaces.stays):
                self._taken_over(each)

    def _taken_over(self, place: Place) -> None:
        old, place.replaces = place.replaces, None
        if old is not None and old in self.places:
            self.leave_place(old, instead=place)

    # ---- its processes end

    def ended(self, place: Place) -> None:
        """The process there has ended: fill the place again, or let it go."""
        worker, place.worker = place.worker, None
        assert worker is not None
        self._premises.left(place)
        why = place.failure or f"process {worker.pid} {worker.how_it_ended()}"
        if place.role == "server":
            self._front_ended(place)
        if place.leaving or (self.leaving and not self._needed(place)):
            self._remove(place)
            if self.leaving:
                self._end_models()
            return
        if self.patient and place.state == "loaded" and place.first_row_of is not None and not place.stale:
            self._premises.cold.add(place.first_row_of)  # let requests be the first
        if place.replaces is not None:
            self.roll_failure = why
            self._remove(place)
        elif not self.opened:
            self.failure = self.failure or why
            self._remove(place)
        elif place.role == "server" and place.state == "serving" and not self.leaving and self._may_isolate(place):
            self.crashed = self.crashed or why
            self._remove(place)
        else:
            if not self.served:
                self._count_death(why)
            wait_s = place.backoff.next_s()
            place.restart_s = time.monotonic() + wait_s
            if self.facts:
                self._premises.say(f"{why}; another one starts in {wait_s:.1f} s.", "error")

    def _count_death(self, why: str) -> None:
        self._deaths += 1
        if self._deaths >= DEATHS_BEFORE_READY:
            if not self._first:
                self.failure = self.failure or why
                return
            shown = " ".join(str(reference["ref"]) for _, reference in self._premises.models)
            raise ModelError(
                f"The model {shown} cannot be served: its processes ended {self._deaths} times before one was ready "
                f"(the last: {why}). Load it alone to see why: twofold describe {shown}"
            )

    def _may_isolate(self, place: Place) -> bool:
        """Models that wait stay where they are."""
        own = [self.facts[number] for number in place.models]
        return self._premises.options.layout == "auto" and not all(facts["waits"] for facts in own)

    def _needed(self, place: Place) -> bool:
        """While it drains, the server process still has calls to make."""
        return place.role == "model" and bool(self.servers)

    # ---- the clock

    def check(self, now: float, *, slept: bool, hold: Callable[[Place], bool]) -> None:
        super().check(now, slept=slept, hold=hold)
        for place in self.places:
            if self.patient and place.state == "loaded" and now - place.state_s > FIRST_ROW_S:
                self._give_up_measuring(place)

    def _give_up_measuring(self, place: Place) -> None:
        number = place.first_row_of
        if number is not None and number not in self.one_row_s:
            self._premises.cold.add(number)
            self.one_row_s[number] = None
