"""What people do with jobs: run one now, run past firings, pause, resume, cancel."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import islice

from twofold._errors import UsageError
from twofold._jobs.clock import utc_text
from twofold._jobs.job import JobSpec
from twofold._jobs.job_file import JobFile
from twofold._jobs.runs import Run
from twofold._jobs.scheduler import Scheduler, runs_folder
from twofold._jobs.store import OPEN, Firing, NewFiring, Store
from twofold._jobs.times import between

__all__ = ["ask", "attend", "backfill", "cancel", "moment_of"]

MOST_BACKFILLED = 10_000
CANCEL_S = 40.0


def moment_of(text: str, job: JobSpec, what: str) -> int:
    """ "2026-11-24" or "2026-11-24T02:30", in the job's zone unless it says another, in seconds since 1970."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{what} {text!r} is no time. It looks like 2026-11-24 or 2026-11-24T02:30.") from None
    return int((found if found.tzinfo is not None else found.replace(tzinfo=job.zone)).timestamp())


def ask(store: Store, job: JobSpec, at: int, file: str | None, *, anytime: bool) -> list[int]:
    """A firing of this logical time (and file): a new one, or the one that is there, once more. Gives its id."""
    key = utc_text(at)
    if job.watch is not None:
        if file is None:
            raise UsageError(f"the job {job.name!r} runs for a file that arrived. Say which: --for FILE", job=job.name)
        key = f"{file}|{utc_text(at)}"
    elif file is not None:
        raise UsageError(f"the job {job.name!r} does not watch for files, so that --for has no meaning.", job=job.name)
    new = NewFiring(job.name, key, at, "hand", file, due=time.time(), anytime=anytime)
    return _written(store, job, [new], every_state=True)


def backfill(store: Store, job: JobSpec, since: int, until: int, *, anytime: bool) -> list[int]:
    """The firings of a schedule from `since`, up to but without `until`, that are not done; gives their ids."""
    if job.schedule is None:
        raise UsageError(f"the job {job.name!r} has no schedule, so that there is nothing to go back over.")
    if until <= since:
        raise UsageError("--to is not later than --from: there is nothing between them.")
    moments = list(islice(between(job.schedule, since - 1, until - 1), MOST_BACKFILLED + 1))
    if len(moments) > MOST_BACKFILLED:
        raise UsageError(f"there are more than {MOST_BACKFILLED:,} firings between --from and --to. Take a part of it.")
    now = time.time()
    new = [NewFiring(job.name, utc_text(at), at, "backfill", due=now, anytime=anytime) for at in moments]
    return _written(store, job, new, every_state=False)


def _written(store: Store, job: JobSpec, new: Sequence[NewFiring], *, every_state: bool) -> list[int]:
    store.add(new)
    keys = [one.key for one in new]
    store.again(job.name, keys, time.time(), anytime=bool(new and new[0].anytime), every_state=every_state)
    open_ = [firing.id for start in range(0, len(keys), 500) for firing in _open(store, job, keys[start : start + 500])]
    return sorted(open_)


def _open(store: Store, job: JobSpec, keys: Sequence[str]) -> list[Firing]:
    return [firing for firing in store.by_key(job.name, keys) if firing.state in OPEN]


def attend(file: JobFile, store: Store, ids: Sequence[int], say: Callable[[str], None]) -> list[Firing]:
    """Run these firings here, and those that come after them, or wait while another scheduler does; gives how they
    ended. SIGTERM and Ctrl-C hold them, with exit code 143 and 130."""
    ids = list(ids)
    scheduler = Scheduler(file, store, say=say, only=ids)
    ended: list[int] = []

    def all_ended() -> bool:
        if any(firing.state in OPEN for firing in _all(store, ids)):
            return False
        more = [firing.id for firing in store.after(ids) if firing.id not in ids and firing.state in OPEN]
        ids.extend(more)
        return not more

    def stop(number: int, _: object) -> None:
        ended.append(number)
        scheduler.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        scheduler.run(until=all_ended)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if ended:
        raise SystemExit(128 + ended[0])
    return _all(store, ids)


def _all(store: Store, ids: Sequence[int]) -> list[Firing]:
    return [firing for start in range(0, len(ids), 500) for firing in store.get(ids[start : start + 500])]


def cancel(file: JobFile, store: Store, job: JobSpec) -> tuple[int, int]:
    """End a job's runs and drop its waiting firings: how many of each. Returns when the runs have ended."""
    now = time.time()
    n_waiting = store.cancel_waiting(job.name, now, "cancelled")
    running = [firing for firing in store.running() if firing.job == job.name]
    for firing in running:
        store.wish(firing.id, "cancel")
        Run(runs_folder(file.state) / firing.run).tell(signal.SIGTERM)
    if running:
        ids = [firing.id for firing in running]
        until = time.monotonic() + CANCEL_S
        looking = Scheduler(file, store, only=[])  # settles, and tells again; starts nothing
        looking.run(until=lambda: time.monotonic() > until or not any(f.state == "running" for f in store.get(ids)))
    return n_waiting, len(running)
