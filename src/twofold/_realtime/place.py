"""A place for one process of `serve`, and what the processes of all generations share: sockets, board, models."""

from __future__ import annotations

import os
import secrets
import socket
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

from twofold._options import ServeOptions
from twofold._realtime.board import Board
from twofold._realtime.listening import Sockets, hand_over
from twofold._realtime.logs import Lines, check_folder, traces_wanted
from twofold._supervisor import LINUX, Backoff, Message, Worker

__all__ = ["Place", "Premises", "workers_of"]

WORKER: Final = "twofold._realtime.worker"
LONGEST_UNIX_PATH: Final = 100

Role = Literal["server", "model"]
State = Literal["starting", "loaded", "ready", "prepared", "serving"]


@dataclass(eq=False)
class Place:
    """A place for one process, filled again when that dies.

    role    "server": accepts connections and computes its models; "model": answers the calls of a server process
    models  which models it loads, by their numbers
    """

    role: Role
    models: tuple[int, ...]
    slot: int  # its place on the board
    worker: Worker | None = None
    state: State = "starting"
    state_s: float = 0.0  # time.monotonic() when that began
    leaving: bool = False  # told to go, and not filled again
    backoff: Backoff = field(default_factory=Backoff)
    restart_s: float = 0.0  # time.monotonic() of the next start, while there is no worker
    beat_s: float | None = None  # time.monotonic() of its last sign of life
    first_row_of: int | None = None  # the model that answers its first row now
    stale: bool = False  # it found files that are not those of its generation
    replaces: Place | None = None  # leaves when this one serves
    stays: bool = False  # a model process that is replaced together with its server process, and leaves with that
    front: Place | None = None  # of a model process: whose calls it answers now
    addresses: dict[int, Message] = field(default_factory=dict)  # of a server process: where each model's join
    over: bool = False  # a server process that has drained
    kill_s: float = float("inf")  # time.monotonic() when it is killed
    failure: str = ""  # what it said before it ended
    counted: dict[str, int] = field(default_factory=dict)  # its model calls and their rows, at its last sign of life

    def enter(self, state: State) -> None:
        self.state, self.state_s = state, time.monotonic()

    def send(self, message: Message) -> None:
        if self.worker is not None:
            self.worker.send(message)


class Premises:
    """What all processes of a server share. The parent listens on the sockets, and only server processes accept.

    models   of each the name it was given ("": its own) and its ModelRef as JSON
    cold     numbers of the models that could not take a first row: requests are their first
    """

    def __init__(self, models: Sequence[tuple[str, Message]], options: ServeOptions, events: Any) -> None:
        self.models = models
        self.options = options
        lines = Lines(options)
        self.say = lines.say
        traces_wanted(lines)
        self.events = events
        self.cold: set[int] = set()
        self._slots: set[int] = set()
        self._folder: Path | None = None
        check_folder(options)
        self.sockets = Sockets(options)
        try:
            self.board = Board.create(len(models)) if os.name == "posix" else None
        except BaseException:
            self.sockets.close()
            raise

    def close(self) -> None:
        self.sockets.close()
        if self.board is not None:
            self.board.close()
        if self._folder is not None:
            import shutil

            shutil.rmtree(self._folder, ignore_errors=True)

    def new_place(self, role: Role, models: tuple[int, ...]) -> Place:
        slot = next(slot for slot in range(Board.SLOTS) if slot not in self._slots)
        self._slots.add(slot)
        return Place(role, models, slot)

    def free_place(self, place: Place) -> None:
        self._slots.discard(place.slot)

    def left(self, place: Place) -> None:
        """The process of that place has ended."""
        if self.board is not None:
            self.board.clear(place.slot)

    def start(self, place: Place, *, may_serve: bool, before: Sequence[Message]) -> None:
        """Start a process there. `may_serve`: it gets the sockets. `before`: the facts of the models that it must be
        compatible with. Raises OSError."""
        fds: list[int] = []
        if self.board is not None and may_serve:
            fds = [*(listening.fileno() for listening in self.sockets.values()), self.board.fd]
        args: Message = {
            "role": "model" if place.models else "front",
            "load": place.models,
            "models": [{"name": name, "ref": reference} for name, reference in self.models],
            "before": before,
            "options": asdict(self.options),
            "fds": fds,
            "warm_up": [number for number in place.models if number not in self.cold],
        }
        place.worker = Worker.start(WORKER, args, events=self.events, pass_fds=fds)
        if self.board is not None:
            self.board.enter(place.slot, place.worker.pid)
        place.enter("starting")
        place.beat_s, place.first_row_of, place.failure, place.stale = None, None, "", False
        place.front, place.addresses, place.over = None, {}, False

    def handed_to(self, place: Place) -> Message:
        """The sockets and the place on the board, for the process there."""
        worker = place.worker
        assert worker is not None
        board = {} if self.board is None else {"board": self.board.fd, "slot": place.slot}
        return {"sockets": {name: hand_over(found, worker) for name, found in self.sockets.items()}, **board}

    def meeting_path(self) -> str | None:
        """A new address for the socket where model processes join: on Linux a name that leaves no file behind,
        elsewhere a path in a folder of this user only. None: there are no such sockets."""
        if not hasattr(socket, "AF_UNIX"):
            return None
        name = f"twofold-{secrets.token_hex(8)}"
        if LINUX:
            return f"\0{name}"
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="twofold-"))
        path = str(self._folder / name)
        return path if len(path.encode()) <= LONGEST_UNIX_PATH else None


def workers_of(places: Iterable[Place]) -> Iterator[Worker]:
    """The processes that run there."""
    return (place.worker for place in places if place.worker is not None)
