"""Worker processes: started by exec, told what to do in JSON, watched, and never left behind.

    parent                                        worker (python -m MODULE JSON)
    Worker.start(module, args, events=queue) ---> channel = worker_channel()
    worker.send({...})                       ---> channel.receive()  or  channel.on_message
    queue.get() -> (worker, {...})           <--- channel.send({...})
    queue.get() -> (worker, None)                 it ended; worker.returncode is set

Messages are JSON objects, one a line, over the worker's stdin and stdout. The worker moves both to private
descriptors first: what the user's code prints goes to standard error and cannot corrupt a message.

No orphans: a worker ends when its parent is gone. A thread watches for the end of its input, and on Linux the
kernel kills it when the parent dies (PR_SET_PDEATHSIG), also while a call holds the GIL. Each worker has a session of
its own, so a Ctrl-C at the terminal reaches the parent alone, and a kill reaches the model's own children too.

Nothing here imports the model, pyarrow, NumPy or asyncio: the parent stays light.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from twofold import _errors
from twofold._errors import ModelError, TwofoldError, UsageError

__all__ = [
    "EARLY",
    "LINUX",
    "Backoff",
    "Channel",
    "Events",
    "Message",
    "Worker",
    "available_cores",
    "begin",
    "end_workers",
    "error_from_message",
    "error_to_message",
    "refuse_in_worker",
    "spare_collector",
    "worker_channel",
]

Message = dict[str, Any]

GARBAGE_OBJECTS: Final = 50_000
EARLY: Final = "early"

LINUX: Final = sys.platform.startswith("linux")
PR_SET_PDEATHSIG: Final = 1


class Events(Protocol):
    """Where a worker's messages go: a `queue.SimpleQueue`, whose `put` a signal handler may call too."""

    def put(self, item: tuple[Worker, Message | None], /) -> None: ...


class Worker:
    """One child process. Start it from a thread that outlives it: Linux counts that thread as the parent."""

    def __init__(self, process: subprocess.Popen[bytes], events: Events) -> None:
        self._process = process
        self._events = events
        self._sending = threading.Lock()
        self.pid = process.pid
        self.started_s = time.monotonic()
        reader = threading.Thread(target=self._read, name=f"worker {self.pid} messages", daemon=True)
        self._waiter = threading.Thread(target=self._wait, args=(reader,), name=f"worker {self.pid}", daemon=True)
        reader.start()
        self._waiter.start()

    @classmethod
    def start(
        cls, module: str, args: Message, *, events: Events, pass_fds: Sequence[int] = (), holds: Sequence[int] = ()
    ) -> Worker:
        """Run `python -m module` with `args`, which the worker finds in `worker_channel().args`.

        It has the descriptors `pass_fds` under the same numbers, and holds those of `holds` open until it ends.

        They go through its input: everybody on the machine may read a command line, and `args` may hold secrets. Only
        their "role", where there is one, stands on it.
        """
        envelope = {"parent": os.getpid(), "path": [entry or str(Path.cwd()) for entry in sys.path], "args": args}
        words = [args["role"]] if "role" in args else []
        begun = None if words or pass_fds else _begun.pop(module, None)  # it has neither
        if begun is None:
            process = _launch(module, words, (*pass_fds, *holds))
        else:
            process, envelope["handed"] = begun.process, begun.hand(holds)
        worker = cls(process, events)
        worker.send(envelope)
        return worker

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.returncode

    def send(self, message: Message) -> None:
        """Give the worker a message. One that ended takes none: `events` says so."""
        line = json.dumps(message).encode() + b"\n"
        stdin = self._process.stdin
        assert stdin is not None
        with self._sending:
            try:
                stdin.write(line)
                stdin.flush()
            except (OSError, ValueError):
                pass

    def terminate(self) -> None:
        """End it by closing its input; it goes at once, unless a call holds the GIL (then: kill)."""
        with self._sending:
            self._close_stdin()

    def kill(self) -> None:
        """End it now, with the processes that the model started."""
        if self._process.returncode is None:
            self._kill_group()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until it ended and its last event was put. False: it still runs after `timeout_s`."""
        self._waiter.join(timeout_s)
        return not self._waiter.is_alive()

    def how_it_ended(self) -> str:
        """For messages: "exited with code 3", "was killed by SIGSEGV"."""
        code = self._process.returncode
        if code is None:
            return "still runs"
        if code >= 0:
            return f"exited with code {code}"
        try:
            return f"was killed by {signal.Signals(-code).name}"
        except ValueError:
            return f"was killed by signal {-code}"

    def _read(self) -> None:
        stdout = self._process.stdout
        assert stdout is not None
        for message in _messages(stdout.fileno()):
            self._events.put((self, message))
        stdout.close()

    def _wait(self, reader: threading.Thread) -> None:
        if hasattr(os, "waitid"):
            # Before it is reaped its id cannot go to another process: the moment to end what the model forked, which
            # would also keep the pipe open.
            try:
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
            except ChildProcessError:
                pass
            self._kill_group()
        self._process.wait()
        reader.join(timeout=1.0)
        with self._sending:
            self._close_stdin()
        self._events.put((self, None))

    def _kill_group(self) -> None:
        try:
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)
            else:
                self._process.kill()
        except (ProcessLookupError, PermissionError):  # gone; macOS says EPERM for a group of zombies
            pass

    def _close_stdin(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        try:
            stdin.close()
        except OSError:
            pass


@dataclass(frozen=True)
class _Begun:
    """A process without arguments yet, and a socket to hand it descriptors (None: this system has no such thing)."""

    process: subprocess.Popen[bytes]
    socket: socket.socket | None

    def hand(self, descriptors: Sequence[int]) -> int:
        """How many it must take."""
        if self.socket is None:
            return 0
        with self.socket:
            if descriptors:
                with suppress(OSError):  # it was killed meanwhile: whoever starts it is told that it ended
                    socket.send_fds(self.socket, [b"."], descriptors)
            return len(descriptors)


_begun: dict[str, _Begun] = {}
_taken: list[int] = []
"""Descriptors that were handed to this process: open until it ends."""


def begin(module: str) -> None:
    """Launch the process that the next `Worker.start(module, …)` takes, of one without a role and `pass_fds`. It finds
    EARLY in `sys.argv`, and does what it can before it has its arguments. Where none is started, it ends with this
    process."""
    if not _begun:
        atexit.register(_end_begun)
    if os.name != "posix":
        _begun[module] = _Begun(_launch(module, [EARLY]), None)
        return
    ours, theirs = socket.socketpair()
    with theirs:
        _begun[module] = _Begun(_launch(module, [EARLY, str(theirs.fileno())], [theirs.fileno()]), ours)


def _end_begun() -> None:
    for begun in _begun.values():
        begun.process.kill()
        begun.process.wait()
        begun.hand([])


def _take_handed(words: Sequence[str], number: int) -> None:
    """In a process that was launched before its arguments were known: what `Worker.start` has for it to inherit."""
    if words[:1] == [EARLY] and len(words) > 1:
        with socket.socket(fileno=int(words[1])) as theirs:
            if number:
                _taken.extend(socket.recv_fds(theirs, 1, number)[1])


def _launch(module: str, words: Sequence[str], pass_fds: Sequence[int] = ()) -> subprocess.Popen[bytes]:
    if os.name == "posix":
        apart: dict[str, Any] = {"start_new_session": True, "pass_fds": tuple(pass_fds)}
    else:
        apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}  # type: ignore[attr-defined,unused-ignore]
    command = [sys.executable, "-P", "-m", module, *words]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, **apart)


def end_workers(workers: Iterable[Worker], grace_s: float = 0.0) -> None:
    """End all of them: those that still run after `grace_s` are killed. Returns when none is left."""
    workers = list(workers)
    until = time.monotonic() + grace_s
    for worker in workers:
        worker.join(max(0.0, until - time.monotonic()))
    for worker in workers:
        worker.kill()
    for worker in workers:
        worker.join()


class Channel:
    """The worker's end: its arguments, and messages to and from the parent.

    Messages wait for `receive`, or go to `on_message` (called in the reading thread) from when that is set.
    """

    def __init__(self, args: Message, incoming: Iterator[Message], outgoing: int) -> None:
        self.args = args
        self._incoming = incoming
        self._outgoing = outgoing
        self._sending = threading.Lock()
        self._receiving = threading.RLock()
        self._waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()
        self._on_message: Callable[[Message], None] | None = None
        threading.Thread(target=self._read, name="messages of the parent", daemon=True).start()

    def send(self, message: Message) -> None:
        data = memoryview(json.dumps(message).encode() + b"\n")
        with self._sending:
            try:
                while data:
                    data = data[os.write(self._outgoing, data) :]
            except OSError:  # the parent is gone: so are we
                os._exit(1)

    def receive(self) -> Message:
        """The next message of the parent; waits for it."""
        return self._waiting.get()

    @property
    def on_message(self) -> Callable[[Message], None] | None:
        return self._on_message

    @on_message.setter
    def on_message(self, handler: Callable[[Message], None] | None) -> None:
        with self._receiving:
            self._on_message = handler
            while handler is not None and not self._waiting.empty():
                handler(self._waiting.get())

    def _read(self) -> None:
        for message in self._incoming:
            with self._receiving:
                if self._on_message is None:
                    self._waiting.put(message)
                else:
                    self._on_message(message)
        # The parent closed our input or is gone. Nobody waits for us, and a call in progress may never end.
        os._exit(1)


def _messages(descriptor: int) -> Iterator[Message]:
    """The messages that arrive on a pipe, until its end. A line cut off by a kill is dropped."""
    rest = b""
    while data := os.read(descriptor, 65536):
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            yield json.loads(line)


_in_worker = False


def worker_channel(*, starts_workers: bool = False) -> Channel:
    """In a worker: take over stdin and stdout, and make sure that this process ends with its parent.

    `starts_workers`: it is a parent itself, and does not run the model's file as a worker.
    """
    global _in_worker
    incoming, outgoing = _messages(os.dup(0)), os.dup(1)
    words = sys.argv[1:]
    sys.argv[1:] = []
    envelope = next(incoming, None)
    if envelope is None:  # the parent is gone already
        os._exit(1)
    _end_with_parent(envelope["parent"])
    _take_handed(words, envelope.get("handed", 0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    # The parent decides when to end. A handler, not SIG_IGN, which the model's own children would inherit.
    signal.signal(signal.SIGTERM, _stay)
    signal.signal(signal.SIGINT, _stay)
    sys.path[:] = dict.fromkeys([*envelope["path"], *sys.path])  # what the parent can import, in its order
    _in_worker = not starts_workers
    return Channel(envelope["args"], incoming, outgoing)


def refuse_in_worker(call: str) -> None:
    """Called first by what starts workers: in a worker, the model's file runs again, and must not start more.

    Raises UsageError that shows the line to write. `call`: "twofold.serve", for the message.
    """
    if _in_worker:
        raise UsageError(
            f"{call}() was called while a worker process loaded the model's file: workers run that file again. Put the "
            f'call below this line, which is true in the main program only: if __name__ == "__main__":',
            call=call,
        )


def _stay(signum: int, frame: object) -> None:
    pass


def _end_with_parent(parent: int) -> None:
    if LINUX:
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.name == "posix" and os.getppid() != parent:  # it died before the line above
        os._exit(1)


class Backoff:
    """How long to wait before the next try: twice as long each time, from `first_s` to `most_s`."""

    def __init__(self, first_s: float = 0.1, most_s: float = 10.0) -> None:
        self.first_s = first_s
        self.most_s = most_s
        self._next_s = first_s

    def next_s(self) -> float:
        """Seconds to wait now."""
        wait_s = self._next_s
        self._next_s = min(2 * wait_s, self.most_s)
        return wait_s

    def reset(self) -> None:
        """It works again: the next wait is a short one."""
        self._next_s = self.first_s


def error_to_message(error: BaseException) -> Message:
    """An exception as JSON, for `error_from_message` on the other side."""
    told = isinstance(error, TwofoldError)
    return {
        "kind": type(error).__name__,
        "message": str(error) if told else f"{type(error).__name__}: {error}",
        "traceback": "".join(traceback.format_exception(error)),
    }


def error_from_message(message: Message) -> TwofoldError:
    """The exception that a worker sent. One that is not twofold's own becomes a ModelError.

    `.data["traceback"]` is the worker's traceback, for those who ask.
    """
    kind = getattr(_errors, message["kind"], None)
    if not (isinstance(kind, type) and issubclass(kind, TwofoldError)):
        kind = ModelError
    error = kind.__new__(kind)
    TwofoldError.__init__(error, message["message"], traceback=message["traceback"])
    return error


def available_cores() -> int:
    """Cores that this process may use: affinity and the container's CPU quota, rounded up; at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        cores = min(cores, -(-int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or "max"
        pass
    return max(1, cores)


def spare_collector() -> None:
    """Called by a worker once its model is loaded: what is there stays, and is not looked at again.

    Rows are made by the thousand, and hardly one is part of a cycle. A collector that looks at them after every 700
    objects, and now and then at all that the model and its libraries hold, costs a cheap model a fifth of its speed.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_OBJECTS, *gc.get_threshold()[1:])
