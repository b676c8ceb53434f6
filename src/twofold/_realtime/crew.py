"""The processes of a generation: started, put to work, watched, replaced and ended. What for, `generation` decides."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twofold._realtime.place import Place, Premises, Role, State
from twofold._supervisor import Message

__all__ = ["Crew"]

# On top of the deadline: by then every request of a server process that shows no sign of life is over.
SILENCE_S: Final = 2.0
END_S: Final = 2.0
# After a drain: by then what had to be said is on the wire. What writes to the disk at its end may take longer.
CUT_S: Final = 0.15
LAST_S: Final = 3.0
BEATS_S: Final = 1.2


class Crew:
    """Belongs to the server's loop, which gives it the time. Model processes join the newest server process; when that
    has been replaced, they stay with the old one until it has nothing for them to do (see `rolling`).

    facts       of each model, as the first process that loaded it told them
    one_row_s   of each model that is measured; None where one row took too long, or cannot be had
    isolated    the models that run in model processes; None: not laid out yet
    """

    def __init__(self, premises: Premises, before: Sequence[Message]) -> None:
        """`before`: the facts of the models that these must be compatible with."""
        self.places: list[Place] = []
        self.facts: dict[int, Message] = {}
        self.one_row_s: dict[int, float | None] = {}
        self.isolated: frozenset[int] | None = None
        self.served = False  # it has answered at least one request, or could
        self.leaving = False
        self._premises = premises
        self._before = before
        self._token = secrets.token_hex(16)
        self._cut_s = float("inf")  # time.monotonic() when a drain is over
        self._kill_s = float("inf")  # time.monotonic() when what still runs is killed

    @property
    def inline(self) -> tuple[int, ...]:
        """The models that run in the server processes."""
        isolated = self.isolated or frozenset()
        return tuple(n for n in range(len(self._premises.models)) if n not in isolated)

    @property
    def servers(self) -> list[Place]:
        return [place for place in self.places if place.role == "server"]

    # ---- they start

    def _add(self, role: Role, models: tuple[int, ...]) -> Place:
        place = self._premises.new_place(role, models)
        self._start(place)
        self.places.append(place)
        return place

    def _start(self, place: Place) -> None:
        """Raises OSError."""
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
        """Start another process for that place, or take over this one; the old one leaves when it serves. Raises
        OSError."""
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

    # ---- they work

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
        elif not (place.leaving or place.stays):
            servers = [server for server in self.servers if server.worker is not None]
            if servers and (address := servers[-1].addresses.get(place.models[0])) is not None:
                place.send({"join": address})
                if place.front not in servers[:-1]:
                    place.beat_s = time.monotonic()  # it may hang in a call for a server process that is gone

    def _let_join(self, *states: State) -> None:
        for place in self.places:
            if place.role == "model" and place.state in states:
                self._put_to_work(place)

    def _front_ended(self, front: Place) -> None:
        """Those whose calls were its: they join another one soon, or hang in a call that nobody waits for."""
        front.addresses = {}
        others = any(server.addresses for server in self.servers)
        for place in self.places:
            if place.front is front:
                place.front = None
                if others and not place.leaving:
                    place.beat_s = time.monotonic()

    def _remove(self, place: Place) -> None:
        self.places.remove(place)
        self._premises.free_place(place)
        if place.role == "server" and not self.leaving:
            self._let_join("ready")

    # ---- the clock

    def next_s(self) -> float:
        """time.monotonic() of the next start or end."""
        due = [place.restart_s if place.worker is None else place.kill_s for place in self.places]
        return min([*due, self._kill_s, max(self._cut_s, time.monotonic() + CUT_S / 5)])

    def check(self, now: float, *, slept: bool, hold: Callable[[Place], bool]) -> None:
        """Start what is due unless `hold` says to wait, kill what shows no sign of life or outlasts a drain."""
        silence_s = self._premises.options.deadline_s + SILENCE_S
        for place in list(self.places):
            if place.worker is None:
                if now >= place.restart_s and not hold(place):
                    self._start_again(place)
            elif now >= min(self._kill_s, place.kill_s) or (now >= self._cut_s and self._is_late(place, now)):
                place.kill_s = float("inf")
                place.worker.kill()
            elif place.beat_s is not None:
                if slept:  # we were stopped ourselves: their signs of life are still on the way
                    place.beat_s = now
                elif now - place.beat_s > silence_s:
                    did = "gave no sign of life" if place.state != "loaded" else "did not answer a first row"
                    place.failure = f"process {place.worker.pid} {did} for {now - place.beat_s:.0f} s"
                    place.beat_s = None
                    place.worker.kill()

    def _is_late(self, place: Place, now: float) -> bool:
        """The drain is over: whether that process will not end by itself."""
        hangs = place.beat_s is not None and now - place.beat_s > BEATS_S
        return place.role == "model" or place.over or hangs

    # ---- its end

    def send_to_servers(self, message: Message) -> None:
        for place in self.servers:
            place.send(message)

    def leave(self, drain_s: float) -> None:
        """Answer what is in flight, for at most so many seconds, and go."""
        self.leaving = True
        self._cut_s = time.monotonic() + drain_s + CUT_S
        self._kill_s = self._cut_s + LAST_S
        self._drop(place for place in self.places if place.worker is None)
        for place in list(self.places):
            if place.role == "server" or place.state in ("starting", "loaded"):
                self.leave_place(place)
        self._end_models()

    def leave_place(self, place: Place, instead: Place | None = None) -> None:
        """Let a process answer what it has, and go; what does not serve yet is ended. `instead`: what has taken its
        place."""
        place.leaving = True
        if place.worker is None:
            self._remove(place)
        elif place.state != "serving":
            place.worker.kill()
        else:
            if instead is not None:
                place.kill_s = time.monotonic() + self._premises.options.drain_timeout_s + CUT_S + LAST_S
            if place.role == "server":
                place.send({"drain": True, "hand_over": instead is not None})
            else:
                place.send({"end": True})  # it reads that when its server process lets it go
                if place.front is not None and not place.stays:
                    place.front.send({"release": place.worker.pid})

    def stop_replacing(self) -> None:
        """End the processes that were to replace others."""
        for place in list(self.places):
            place.stays = False
            if place.replaces is not None:
                place.replaces = None
                place.leaving = True
                if place.worker is not None:
                    place.worker.kill()
                else:
                    self._remove(place)

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
            self._kill_s = min(self._kill_s, time.monotonic() + END_S)
            for place in self.places:
                place.send({"end": True})
