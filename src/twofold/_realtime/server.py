"""The light parent of `serve`: it starts, watches and replaces the processes that serve one model.

    inline      parent ── N server processes, each with one event loop and the model in it
    isolated    parent ── one front (the server process) ══ N model processes, joined by a socket

The parent never loads the model. The first worker loads it and says what it is and how long one row takes; by that
the layout is chosen. A process that dies or hangs is replaced; where that happens inline, the model runs in model
processes from then on.
"""

from __future__ import annotations

import os
import queue
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final, Literal

from twofold._errors import ModelError
from twofold._options import ServeOptions
from twofold._realtime.board import Board
from twofold._realtime.listening import bind, hand_over, refusal, url_of
from twofold._supervisor import Backoff, Message, Worker, available_cores, end_workers, error_from_message

__all__ = ["Server"]

WORKER: Final = "twofold._realtime.worker"
# A one-row call that takes longer than this would hold the event loop up.
INLINE_S: Final = 0.0005
# A first row that takes longer needs no measuring.
FIRST_ROW_S: Final = 2.0
DEATHS_BEFORE_READY: Final = 3
# On top of the deadline: by then every request of a server process that shows no sign of life is over.
SILENCE_S: Final = 2.0
# On top of the deadline, for a drain: the processes end by themselves before.
DRAIN_S: Final = 3.0
END_S: Final = 2.0
BACKLOG: Final = 2048
LONGEST_UNIX_PATH: Final = 100

Role = Literal["server", "front", "model"]


@dataclass(eq=False)
class _Place:
    """A place for one process, filled again when that dies."""

    role: Role
    slot: int  # its place on the board
    worker: Worker | None = None
    state: Literal["starting", "loaded", "ready", "serving"] = "starting"
    state_s: float = 0.0  # time.monotonic() when that began
    leaving: bool = False  # to be drained, and not filled again
    backoff: Backoff = field(default_factory=Backoff)
    restart_s: float = 0.0  # time.monotonic() of the next start, while there is no worker
    beat_s: float | None = None  # time.monotonic() of its last sign of life
    failure: str = ""  # what it said before it ended
    counted: dict[str, int] = field(default_factory=dict)  # its model calls and their rows, at its last sign of life


class Server:
    """Serves one model until it is told to stop. `run` it in one thread; `stop` may be called from any."""

    def __init__(self, model: Message, options: ServeOptions, announce: Callable[[str], None]) -> None:
        """`model` is a ModelRef as JSON; `announce` gets the one line that says where it is served."""
        self._model = model
        self._options = options
        self._announce = announce
        self._events: queue.SimpleQueue[tuple[Worker | None, Message | None]] = queue.SimpleQueue()
        self._places: list[_Place] = []
        self._facts: Message | None = None
        self._warm_up = True
        self._laid_out = False
        self._isolated = options.layout == "isolate"
        self._announced = False
        self._deaths = 0
        self._address: Message | None = None
        self._token = secrets.token_hex(16)
        self._folder: Path | None = None
        self._stopping = False
        self._kill_s = float("inf")  # time.monotonic() when what still runs is killed
        self._checked_s = time.monotonic()
        self._listening = bind(options.host, options.port)
        self._board = Board.create() if os.name == "posix" else None

    @property
    def url(self) -> str:
        """Where it listens. To be asked before it ends."""
        return url_of(self._listening, self._options.host)

    def stop(self) -> None:
        """Drain: requests in flight are answered, then `run` returns. The second time: end at once."""
        self._events.put((None, {"stop": True}))

    def counted(self) -> dict[str, int]:
        """Model calls and the rows they saw, of the processes that are there, as of their last signs of life."""
        places = list(self._places)
        return {name: sum(place.counted.get(name, 0) for place in places) for name in ("calls", "rows")}

    def run(self) -> int:
        """Serve. Returns 0 after a drain, 130 when that was cut short. Raises ModelError for a broken model."""
        try:
            self._add("model")
            while self._places:
                self._take_events()
                if self._kill_s == 0:
                    return 130
                self._check()
            return 0
        finally:
            end_workers(place.worker for place in self._places if place.worker is not None)
            self._listening.close()
            if self._board is not None:
                self._board.close()
            if self._folder is not None:
                shutil.rmtree(self._folder, ignore_errors=True)

    # Processes

    def _add(self, role: Role) -> None:
        place = _Place(role, min(set(range(Board.SLOTS)) - {other.slot for other in self._places}, default=0))
        self._places.append(place)
        self._start(place)

    def _start(self, place: _Place) -> None:
        fds: list[int] = []
        if self._board is not None and not (place.role == "model" and self._laid_out):
            fds = [self._listening.fileno(), self._board.fd]
        args: Message = {
            "role": "front" if place.role == "front" else "model",
            "model": self._model,
            "options": asdict(self._options),
            "fds": fds,
            "warm_up": self._warm_up,
        }
        place.worker = Worker.start(WORKER, args, events=self._events, pass_fds=fds)
        self._enter(place, "starting")
        place.beat_s, place.failure = None, ""
        if place.role == "front":
            self._put_to_work(place)

    def _enter(self, place: _Place, state: Literal["starting", "loaded", "ready", "serving"]) -> None:
        place.state, place.state_s = state, time.monotonic()

    def _start_again(self, place: _Place) -> None:
        try:
            self._start(place)
        except OSError as error:  # no memory, too many processes: not for ever
            place.restart_s = time.monotonic() + place.backoff.next_s()
            _say(f"a process could not be started: {error.strerror}.")

    def _put_to_work(self, place: _Place) -> None:
        worker = place.worker
        assert worker is not None
        if place.role == "server":
            worker.send({"serve": self._socket_for(place, worker)})
        elif place.role == "front":
            assert self._facts is not None
            facts = {name: self._facts[name] for name in ("name", "version", "signature", "example")}
            where = {"token": self._token, "path": self._meeting_path(), "socket": self._socket_for(place, worker)}
            worker.send({"front": {**facts, **where}})
        elif self._address is not None:
            worker.send({"join": self._address})
            place.beat_s = time.monotonic()  # it may hang in a call for a front that is gone

    def _socket_for(self, place: _Place, worker: Worker) -> Message:
        board = {} if self._board is None else {"board": self._board.fd, "slot": place.slot}
        return {**hand_over(self._listening, worker), **board}

    def _meeting_path(self) -> str | None:
        """A new path for the socket where model processes join, in a folder of this user only."""
        if not hasattr(socket, "AF_UNIX"):
            return None
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="twofold-"))
        path = str(self._folder / secrets.token_hex(4))
        return path if len(path.encode()) <= LONGEST_UNIX_PATH else None

    # What the processes say

    def _take_events(self) -> None:
        """Wait for an event, or for the next thing to do by the clock; handle all that came."""
        wait_s = self._idle_s()
        while True:
            try:
                sender, message = self._events.get(timeout=wait_s)
            except queue.Empty:
                return
            if sender is None:
                self._stop()
            else:
                place = next((p for p in self._places if p.worker is sender), None)
                if place is not None:
                    self._take(place, message)
            wait_s = 0.0

    def _take(self, place: _Place, message: Message | None) -> None:
        if message is None:
            self._ended(place)
        elif "beat" in message:
            place.beat_s = time.monotonic()
            place.counted = message["beat"]
        elif "joined" in message:
            place.beat_s = None  # the front watches its calls
        elif "kill" in message:
            self._kill_hung(message["kill"])
        elif self._stopping:
            pass
        elif "loaded" in message:
            self._facts = self._facts or message["loaded"]
            self._enter(place, "loaded")
            place.beat_s = place.state_s  # its first row may hang
        elif "ready" in message:
            self._ready(place, message["ready"])
        elif "failed" in message:
            self._failed(place, message["failed"])
        elif "address" in message:
            self._address = message["address"]
            for other in self._places:
                if other.role == "model" and other.state == "ready":
                    self._put_to_work(other)
        elif "serving" in message:
            self._serving(place)

    def _ready(self, place: _Place, one_row_s: float | None) -> None:
        self._enter(place, "ready")
        place.beat_s = None
        place.backoff.reset()
        if not self._laid_out:
            self._lay_out(place, one_row_s)
        self._put_to_work(place)

    def _lay_out(self, first: _Place, one_row_s: float | None) -> None:
        """Decide where the model runs, and start the other processes. None: one row took too long, or cannot be had."""
        options, facts = self._options, self._facts
        assert facts is not None
        self._laid_out = True
        try:
            self._listening.listen(BACKLOG)
        except OSError as error:  # bound twice, and the other one was first
            raise refusal(error, options.host, options.port) from error
        if options.layout == "auto":
            self._isolated = not facts["waits"] and (one_row_s is None or one_row_s > INLINE_S)
        first.role = "model" if self._isolated else "server"
        if self._isolated:
            self._add("front")
        for _ in range(self._process_count() - 1):
            self._add(first.role)

    def _process_count(self) -> int:
        assert self._facts is not None
        return self._options.workers or (1 if self._facts["waits"] else available_cores())

    def _failed(self, place: _Place, failure: Message) -> None:
        if self._facts is None:
            raise error_from_message(failure)
        place.failure = failure["message"]

    def _serving(self, place: _Place) -> None:
        self._enter(place, "serving")
        place.backoff.reset()
        if place.role == "front":  # what served inline before can go
            for other in [other for other in self._places if other.role == "server"]:
                self._leave(other)
        if not self._announced:
            assert self._facts is not None
            self._announced = True
            self._announce(f"twofold serving {self._facts['name']} (version {self._facts['version']}) at {self.url}")

    def _leave(self, place: _Place) -> None:
        """Let a server process answer what it has, and go; what does not serve yet is ended."""
        place.leaving = True
        if place.worker is None:
            self._places.remove(place)
        elif place.state == "serving":
            place.worker.send({"drain": True})
        else:
            place.worker.kill()

    def _kill_hung(self, pid: int) -> None:
        for place in self._places:
            if place.worker is not None and place.worker.pid == pid:
                place.failure = f"process {pid} did not answer before the deadline"
                place.worker.kill()

    def _ended(self, place: _Place) -> None:
        worker, place.worker = place.worker, None
        assert worker is not None
        if self._board is not None:
            self._board.clear(place.slot)
        why = place.failure or f"process {worker.pid} {worker.how_it_ended()}"
        if place.state == "loaded":
            self._warm_up = False  # it cannot take a first row: let requests be the first
        if place.leaving or (self._stopping and not self._front_needs(place)):
            self._places.remove(place)
            if self._stopping:
                self._end_models()
            return
        if not self._announced:
            self._deaths += 1
            if self._deaths >= DEATHS_BEFORE_READY:
                raise ModelError(
                    f"The model {self._model['ref']} cannot be served: its processes ended {self._deaths} times before "
                    f"one was ready (the last: {why}). Load it alone to see why: twofold describe {self._model['ref']}"
                )
        elif place.role == "server" and place.state == "serving" and self._options.layout == "auto":
            self._isolate(place, why)
            return
        if place.role == "front":
            self._address = None
        wait_s = place.backoff.next_s()
        place.restart_s = time.monotonic() + wait_s
        if self._facts is not None:
            _say(f"{why}; another one starts in {wait_s:.1f} s.")

    def _front_needs(self, place: _Place) -> bool:
        """While it drains, the front still has calls to make."""
        return place.role == "model" and any(other.role == "front" for other in self._places)

    def _isolate(self, place: _Place, why: str) -> None:
        """A server process with the model in it died: from now on the model runs in model processes."""
        self._places.remove(place)
        if not self._isolated:
            _say(f"{why}; from now on the model runs in model processes beside the server.")
            self._isolated = True
            self._add("front")
            for _ in range(self._process_count()):
                self._add("model")

    # The clock

    def _idle_s(self) -> float:
        now = time.monotonic()
        until = [place.restart_s for place in self._places if place.worker is None]
        return max(0.0, min([*until, self._kill_s, now + 1.0]) - now)

    def _check(self) -> None:
        """Start what is due, kill what shows no sign of life or outlasts a drain."""
        now = time.monotonic()
        slept, self._checked_s = now - self._checked_s > 2.5, now
        silence_s = self._options.deadline_s + SILENCE_S
        for place in list(self._places):
            if place.worker is None:
                if now >= place.restart_s:
                    self._start_again(place)
            elif now >= self._kill_s:
                place.worker.kill()
            elif place.beat_s is not None:
                if slept:  # we were stopped ourselves: their signs of life are still on the way
                    place.beat_s = now
                elif now - place.beat_s > silence_s:
                    did = "gave no sign of life" if place.state != "loaded" else "did not answer a first row"
                    place.failure = f"process {place.worker.pid} {did} for {now - place.beat_s:.0f} s"
                    place.beat_s = None
                    place.worker.kill()
            if place.state == "loaded" and not self._laid_out and now - place.state_s > FIRST_ROW_S:
                self._warm_up = False
                self._lay_out(place, None)

    # The end

    def _stop(self) -> None:
        now = time.monotonic()
        if self._stopping:
            self._kill_s = 0
            return
        self._stopping = True
        self._kill_s = now + self._options.deadline_s + DRAIN_S
        self._listening.close()
        self._places = [place for place in self._places if place.worker is not None]
        for place in self._places:
            if place.role != "model" or place.state == "starting":
                self._leave(place)
        self._end_models()

    def _end_models(self) -> None:
        """When no server process is left, the model processes have nothing more to do."""
        if any(place.role != "model" for place in self._places):
            return
        self._kill_s = min(self._kill_s, time.monotonic() + END_S)
        for place in self._places:
            if place.worker is not None:
                place.worker.send({"end": True})


def _say(text: str) -> None:
    print(f"twofold: {text}", file=sys.stderr, flush=True)
