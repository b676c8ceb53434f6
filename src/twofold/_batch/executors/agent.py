"""What an executor of many machines has on each of them: worker processes as the local executor has them, told what to
do and asked what happened by one call, over and over. All that goes in and out is JSON.

exchange({"work": …, "token": …})   before the first split: proves that this machine sees the output
exchange({"splits": [task, …]})     computes these as well, and tells what happened since the last time:
                                    {"events": [["began", …], ["called", …], ["lost", …], ["gone", …], ["done", …]],
                                    "calls": n}
                                    or {"error": …}: then nothing more is computed

The user's code runs in the worker processes, never in this one: a row that ends its process, or blocks it, is found as
on one machine.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from twofold._batch.executors.local import LocalRun
from twofold._batch.executors.workers import Workers
from twofold._batch.report import FIRST_SHOWN, merge_reasons
from twofold._batch.shipping import Parcel, refuse_other_packages, unpack
from twofold._batch.stores import LocalStore, Store
from twofold._batch.work import SplitTask, Work
from twofold._errors import ModelError, UsageError
from twofold._supervisor import error_to_message
from twofold._version import __version__

__all__ = ["FENCE_S", "Agent", "prove_seen", "write_token"]

FENCE_S = 10.0
"""Whoever gave the splits has not asked for so long: it gives them to another machine soon, so they end here."""

Event = list[Any]


class _Notes:
    """A Tracker that writes down what happened, for the next exchange."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.events: list[Event] = []
        self.urgent = False

    def began(self, index: int, place: str) -> None:
        with self.changed:
            self.events.append(["began", index, place])

    def called(
        self, index: int, n_rows: int, n_failed: int, reasons: dict[str, int], first: list[dict[str, Any]]
    ) -> None:
        with self.changed:
            last = self.events[-1] if self.events else None
            if last is None or last[:2] != ["called", index]:
                last = ["called", index, 0, 0, {}, []]
                self.events.append(last)
            last[2] += n_rows
            last[3] += n_failed
            merge_reasons(last[4], reasons)
            last[5].extend(first[: FIRST_SHOWN - len(last[5])])

    def lost(self, index: int) -> None:
        with self.changed:
            self.events.append(["lost", index])

    def gone(self, place: str, how: str, splits: list[int]) -> None:
        with self.changed:
            self.events.append(["gone", place, how, splits])

    def done(self, report: dict[str, Any]) -> None:
        with self.changed:
            self.events.append(["done", report])
            self.wake()

    def tick(self) -> None:
        pass

    def wake(self) -> None:
        self.urgent = True
        self.changed.notify_all()

    def take(self, wait_s: float) -> list[Event]:
        """All since the last time; waits so long for a split to be done."""
        with self.changed:
            self.changed.wait_for(lambda: self.urgent, wait_s)
            found, self.events, self.urgent = self.events, [], False
            return found


class Agent:
    """The end of a run on one machine. Its calls come one after the other; none raises, an error is an answer."""

    def __init__(self) -> None:
        self._workers: Workers | None = None
        self._row_timeout_s = 0.0
        self._run: LocalRun | None = None
        self._notes = _Notes()
        self._coming: list[SplitTask] = []
        self._failed: BaseException | None = None
        self._heard = time.monotonic()

    def load(self, given: str, pieces: Iterable[bytes]) -> str:
        """Start a worker with the model of a parcel; what it says about it, once it is loaded.

        `given`: {parcel, row_timeout_s, priority, version (of twofold, where the run was started)}.
        """
        return _answer(lambda: self._load(json.loads(given), pieces))

    def _load(self, given: dict[str, Any], pieces: Iterable[bytes]) -> dict[str, Any]:
        if given["version"] != __version__:
            raise ModelError(
                f"twofold {__version__} is installed there, and the run was started by twofold {given['version']}. "
                "Install the same version on all machines."
            )
        parcel = Parcel.from_json(given["parcel"])
        refuse_other_packages(parcel)
        ref, folder = unpack(parcel, pieces)
        workers = self._workers = Workers(ref, moved=(parcel.origin, folder), priority=given["priority"])
        self._row_timeout_s = given["row_timeout_s"]
        while not workers.facts:
            workers.next_event(None)
            if not workers.hands:
                workers.start()
        return workers.facts

    def probe(self, message: str) -> str:
        """What a few rows of a split cost."""
        return _answer(lambda: {"measured": self._probe(json.loads(message))})

    def _probe(self, message: dict[str, Any]) -> dict[str, Any] | None:
        from twofold._batch.executors.local import LocalExecutor

        assert self._workers is not None
        local = LocalExecutor(self._workers, 1, self._row_timeout_s)
        work, task = Work.from_json(message["work"]), SplitTask.from_json(message["split"])
        found = local.probe(work, task, message["n_rows"])
        return None if found is None else asdict(found)

    def exchange(self, message: str) -> str:
        """See the top of this module."""
        return _answer(lambda: self._exchange(json.loads(message)))

    def _exchange(self, message: dict[str, Any]) -> dict[str, Any]:
        if "work" in message:
            return self._begin(message)
        assert self._run is not None
        with self._notes.changed:
            self._coming += [SplitTask.from_json(task) for task in message["splits"]]
            self._notes.changed.notify_all()
            self._heard = float("inf")
        events = self._notes.take(message["wait_s"])
        self._heard = time.monotonic()
        if self._failed is not None:
            raise self._failed
        return {"events": events, "calls": self._run.model_calls}

    def _begin(self, message: dict[str, Any]) -> dict[str, Any]:
        assert self._workers is not None
        work = Work.from_json(message["work"])
        wrote = prove_seen(work.store, message["token"])
        self._run = LocalRun(self._workers, work, self._notes, 1, 1, self._row_timeout_s)
        self._heard = time.monotonic()
        threading.Thread(target=self._compute, args=(self._run,), name="splits", daemon=True).start()
        return {"wrote": wrote}

    def _compute(self, run: LocalRun) -> None:
        try:
            while True:
                with self._notes.changed:
                    if not run.unfinished:
                        self._notes.changed.wait_for(lambda: self._coming, 0.5)
                    run.add(self._coming)
                    self._coming = []
                if run.unfinished:
                    run.step()
                if time.monotonic() - self._heard > FENCE_S:
                    os._exit(1)  # and with it its workers, as always
        except BaseException as error:
            with self._notes.changed:
                self._failed = error
                self._notes.wake()


def _answer(call: Callable[[], dict[str, Any]]) -> str:
    try:
        return json.dumps(call())
    except BaseException as error:
        return json.dumps({"error": error_to_message(error)})


# ---- does this machine see the output? -------------------------------------------------------------------------------


def write_token(store: Store) -> str:
    """Leaves a file beside what is being written, for other machines to find: what they must be told to find it. "":
    the output is nothing that machines could see or not."""
    if not isinstance(store, LocalStore):
        return ""
    token = uuid.uuid4().hex
    (store.scratch / f"seen-{token}").write_text(token)
    return token


def prove_seen(store: Store, token: str) -> str:
    """Finds the token's file and writes one beside it, whose name is returned. UsageError where one of them fails."""
    if not token:
        return ""
    path, answer = store.scratch / f"seen-{token}", store.scratch / f"seen-{token}-{uuid.uuid4().hex[:12]}"
    try:
        if path.read_text() != token:
            raise FileNotFoundError(path)
        answer.write_text(token)
    except OSError as error:
        raise UsageError(
            f"it does not see the output: {_why(path, error)}. A run on several machines needs OUTPUT (and INPUT) in a "
            "folder that all of them share, under the same path."
        ) from error
    return answer.name


def _why(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{str(path.parent)!r} has no file {path.name!r} there, which the run has just written"
    return f"it cannot write into {str(path.parent)!r} ({error.strerror})"
