"""A generation: the processes that serve one state of the models, in one layout.

    inline      N server processes, each with one event loop and all models in it
    isolated    one server process, with the inline models in it ══ N model processes for each other model

Its first processes load one model each and say what it is and how long one row takes (`measured`). By that the server
decides the layout (`lay_out`), and the other processes start. A place goes through these states:

    server   starting → loaded → ready → prepared → serving      prepared: could accept connections
    model    starting → loaded → ready → serving                 serving: has joined its server process

A patient generation accepts connections as soon as it can, and fills its places again and again: the one that serves.
One that is to take over holds until all of it is prepared, and the first failure is its end.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable
from typing import Final

from twofold._errors import ModelError
from twofold._realtime.place import Place, Premises
from twofold._supervisor import Message, available_cores, error_from_message

__all__ = ["Generation"]

# A first row that takes longer needs no measuring.
FIRST_ROW_S: Final = 2.0
# On top of the deadline: by then every request of a server process that shows no sign of life is over.
SILENCE_S: Final = 2.0
DEATHS_BEFORE_READY: Final = 3
END_S: Final = 2.0


class Generation:
    """Belongs to the server's loop, which gives it the messages of its processes and the time.

    facts       of each model, as the first process that loaded it told them
    one_row_s   of each model that is measured; None where one row took too long, or cannot be had
    isolated    the models that run in model processes; None: not laid out yet
    failure     why it cannot take over ("": it still may)
    stale       a process found that a model's files are not those of this generation any more
    crashed     how a server process with models in it ended, where that is a reason to isolate them
    """

    def __init__(self, premises: Premises, *, patient: bool, before: Generation | None = None) -> None:
        """`before`: the generation whose signatures this one must keep."""
        self.places: list[Place] = []
        self.facts: dict[int, Message] = {}
        self.one_row_s: dict[int, float | None] = {}
        self.isolated: frozenset[int] | None = None
        self.patient = patient
        self.opened = patient
        self.served = False  # it has answered at least one request, or could
        self.leaving = False
        self.kill_s = float("inf")  # time.monotonic() when what still runs is killed
        self.failure = ""
        self.stale = False
        self.crashed = ""
        self.roll_failure = ""
        self._premises = premises
        self._before = [] if before is None else [before.facts[number] for number in sorted(before.facts)]
        self._deaths = 0
        self._token = secrets.token_hex(16)
        self._addresses: dict[int, Message] = {}  # where model processes join

    # ---- what it is

    @property
    def measured(self) -> bool:
        return len(self.one_row_s) == len(self.facts) == len(self._premises.models)

    @property
    def inline(self) -> tuple[int, ...]:
        """The models that run in the server processes."""
        isolated = self.isolated or frozenset()
        return tuple(n for n in range(len(self._premises.models)) if n not in isolated)

    @property
    def servers(self) -> list[Place]:
        return [place for place in self.places if place.role == "server"]

    @property
    def accepting(self) -> bool:
        """Somebody answers."""
        return any(place.state == "serving" for place in self.servers)

    @property
    def complete(self) -> bool:
        """Every place serves."""
        return self.isolated is not None and all(place.state == "serving" for place in self.places)

    @property
    def prepared(self) -> bool:
        """All of it could serve at once."""
        return self.isolated is not None and all(place.state in ("prepared", "serving") for place in self.places)

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
        for number in sorted(isolated):
            for _ in range(self._processes(isolated) - (number in loaders)):
                self._add("model", (number,))
        self.become_servers(loaders, 1 if isolated else self._processes(frozenset()))
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
        for _ in range(count - len(found[:1])):
            self._add("server", inline)

    def _processes(self, isolated: frozenset[int]) -> int:
        """How many for an isolated model, or for the server."""
        waits = not isolated and any(facts["waits"] for facts in self.facts.values())
        return self._premises.options.workers or (1 if waits else available_cores())

    def _add(self, role: str, models: tuple[int, ...]) -> Place:
        place = self._premises.new_place("server" if role == "server" else "model", models)
        self.places.append(place)
        self._start(place)
        return place

    def _start(self, place: Place) -> None:
        may_serve = place.role == "server" or self.isolated is None
        before = self._before or [self.facts[number] for number in sorted(self.facts)]
        self._premises.start(place, may_serve=may_serve, before=before if self.served or self._before else [])

    def _start_again(self, place: Place) -> None:
        try:
            self._start(place)
        except OSError as error:  # no memory, too many processes: not for ever
            place.restart_s = time.monotonic() + place.backoff.next_s()
            self._premises.say(f"a process could not be started: {error.strerror}.", "error")

    def replace(self, place: Place, by: Place | None = None) -> None:
        """Start another process for that place, or take over this one; the old one leaves when it serves."""
        if by is None:
            by = self._add(place.role, place.models)
        else:
            self.places.append(by)
            if by.state == "ready":
                self._put_to_work(by)
        by.replaces = place

    def give(self, place: Place) -> Place:
        """Let another generation have it."""
        self.places.remove(place)
        return place

    def open(self) -> None:
        """Let every server process accept connections."""
        self.opened = True
        for place in self.servers:
            if place.state == "prepared":
                place.send({"accept": True})

    def _put_to_work(self, place: Place) -> None:
        if place.role == "server":
            entries = [
                {"number": n, "name": self.facts[n]["name"], "one_row_s": self.one_row_s.get(n)}
                for n in sorted(self.facts)
            ]
            for entry in entries:
                if entry["number"] not in place.models:
                    entry |= {"facts": self.facts[entry["number"]], "path": self._premises.meeting_path()}
            place.send({"serve": {"models": entries, "token": self._token, **self._premises.handed_to(place)}})
        elif (address := self._addresses.get(place.models[0])) is not None:
            place.send({"join": address})
            place.beat_s = time.monotonic()  # it may hang in a call for a server process that is gone

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
        elif "failed" in message:
            self._failed(place, message["failed"])
        elif "address" in message:
            number = message["address"].pop("number")
            self._addresses[number] = message["address"]
            for other in self.places:
                if other.role == "model" and other.models == (number,) and other.state in ("ready", "serving"):
                    self._put_to_work(other)
        elif "joined" in message:
            place.beat_s = None  # the server process watches its calls
            place.enter("serving")
        elif "prepared" in message:
            place.enter("prepared")
            if self.opened:
                place.send({"accept": True})
        elif "serving" in message:
            self._serving(place)

    def _loaded(self, place: Place, facts: Message) -> None:
        number: int = facts["number"]
        known = self.facts.setdefault(number, facts)
        place.enter("loaded")
        place.first_row_of, place.beat_s = number, place.state_s  # its first row may hang
        if known["version"] != facts["version"]:
            place.stale = self.stale = True
            place.failure = f"the files of {known['name']} have changed"
            if not self.patient:
                self.failure = self.failure or f"{place.failure} meanwhile"
            if place.worker is not None:
                place.worker.kill()

    def _failed(self, place: Place, failure: Message) -> None:
        if not self.served and self.patient:
            raise error_from_message(failure)
        place.failure, place.first_row_of = failure["message"], None
        if not self.patient:
            self.failure = self.failure or failure["message"]

    def _serving(self, place: Place) -> None:
        place.enter("serving")
        place.backoff.reset()
        self.served = True
        old, place.replaces = place.replaces, None
        if old is not None and old in self.places:
            self.leave_place(old)

    # ---- its processes end

    def ended(self, place: Place) -> None:
        """The process there has ended: fill the place again, or let it go."""
        worker, place.worker = place.worker, None
        assert worker is not None
        self._premises.left(place)
        why = place.failure or f"process {worker.pid} {worker.how_it_ended()}"
        if place.leaving or (self.leaving and not self._needed(place)):
            self._remove(place)
            if self.leaving:
                self._end_models()
            return
        if self.patient and place.state == "loaded" and place.first_row_of is not None and not place.stale:
            self._premises.cold.add(place.first_row_of)  # let requests be the first
        if place.role == "server" and self.isolated:
            self._addresses.clear()
        if place.replaces is not None:
            self.roll_failure = why
            self._remove(place)
        elif not self.patient:
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

    def _remove(self, place: Place) -> None:
        self.places.remove(place)
        self._premises.free_place(place)

    # ---- the clock

    def next_s(self) -> float:
        """time.monotonic() of the next start or end."""
        return min([*(place.restart_s for place in self.places if place.worker is None), self.kill_s])

    def check(self, now: float, *, slept: bool, hold: Callable[[Place], bool]) -> None:
        """Start what is due unless `hold` says to wait, kill what shows no sign of life or outlasts a drain."""
        silence_s = self._premises.options.deadline_s + SILENCE_S
        for place in list(self.places):
            if place.worker is None:
                if now >= place.restart_s and not hold(place):
                    self._start_again(place)
            elif now >= self.kill_s:
                place.worker.kill()
            elif place.beat_s is not None:
                if slept:  # we were stopped ourselves: their signs of life are still on the way
                    place.beat_s = now
                elif now - place.beat_s > silence_s:
                    did = "gave no sign of life" if place.state != "loaded" else "did not answer a first row"
                    place.failure = f"process {place.worker.pid} {did} for {now - place.beat_s:.0f} s"
                    place.beat_s = None
                    place.worker.kill()
            if self.patient and place.state == "loaded" and now - place.state_s > FIRST_ROW_S:
                self._give_up_measuring(place)

    def _give_up_measuring(self, place: Place) -> None:
        number = place.first_row_of
        if number is not None and number not in self.one_row_s:
            self._premises.cold.add(number)
            self.one_row_s[number] = None

    # ---- its end

    def send_to_servers(self, message: Message) -> None:
        for place in self.servers:
            place.send(message)

    def leave(self, drain_s: float) -> None:
        """Answer what is in flight, for at most so many seconds, and go."""
        self.leaving = True
        self.kill_s = time.monotonic() + drain_s
        self._drop(place for place in self.places if place.worker is None)
        for place in list(self.places):
            if place.role == "server" or place.state in ("starting", "loaded"):
                self.leave_place(place)
        self._end_models()

    def leave_place(self, place: Place) -> None:
        """Let a server process answer what it has, and go; what does not serve yet is ended."""
        place.leaving = True
        if place.worker is None:
            self._remove(place)
        elif place.state == "serving":
            place.send({"drain": True})
        else:
            place.worker.kill()

    def abandon(self) -> None:
        """End it at once: nobody has seen it yet."""
        self.leaving = True
        self._drop(place for place in self.places if place.worker is None)
        for place in self.places:
            place.leaving = True
            if place.worker is not None:
                place.worker.kill()

    def _drop(self, places: Iterable[Place]) -> None:
        for place in list(places):
            self._remove(place)

    def _end_models(self) -> None:
        """When no server process is left, the model processes have nothing more to do."""
        if not self.servers:
            self.kill_s = min(self.kill_s, time.monotonic() + END_S)
            for place in self.places:
                place.send({"end": True})
