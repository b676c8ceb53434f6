"""Firings, in SQLite: each is one row, (job, key) is unique, and who changes its state first has changed it.

    waiting --claim--> running --settle--> done | failed | cancelled, or waiting again (a retry, a closed window)
    skipped            missed or overlapping; it never runs

A key is the logical time of a scheduled firing, the identity of a file that arrived (path, size and time, or etag), or
that of the firing it comes after. Nothing here depends on the order of clock readings: a clock that jumps back makes no
firing twice, as `cursor`, up to which a schedule's firings are written down, never goes back.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from twofold._errors import OutputError

__all__ = ["OPEN", "Firing", "Follower", "NewFiring", "Progressed", "Store"]

BUSY_S = 30.0
VERSION = 1
OPEN = ("waiting", "running")

SCHEMA = """
CREATE TABLE jobs (
    name TEXT PRIMARY KEY,
    schedule TEXT,                 -- the one that `cursor` belongs to
    cursor INTEGER,                -- up to this moment its firings are written down
    paused INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE firings (
    id INTEGER PRIMARY KEY,
    job TEXT NOT NULL,
    key TEXT NOT NULL,
    time INTEGER NOT NULL,         -- the logical time
    cause TEXT NOT NULL,           -- schedule, file, after, hand, backfill
    file TEXT,                     -- the one that arrived
    state TEXT NOT NULL,
    due REAL NOT NULL,             -- not before
    anytime INTEGER NOT NULL DEFAULT 0,  -- also while the job's window is closed
    wish TEXT NOT NULL DEFAULT '', -- what a running one was told: cancel, hold
    attempt INTEGER NOT NULL DEFAULT 0,  -- how often it was started
    failures INTEGER NOT NULL DEFAULT 0, -- how often it failed
    losses INTEGER NOT NULL DEFAULT 0,   -- how often in a row its process was killed
    started REAL,                  -- the first time
    ended REAL,
    exit_code INTEGER,
    reason TEXT NOT NULL DEFAULT '',
    record TEXT,                   -- the path of what is known about the run
    UNIQUE (job, key)
);
CREATE INDEX open_firings ON firings (state, job, due) WHERE state IN ('waiting', 'running');
CREATE INDEX job_times ON firings (job, time);
"""


@dataclass(frozen=True, slots=True)
class NewFiring:
    """A firing that is to be written down, if it is not there yet."""

    job: str
    key: str
    time: int
    cause: str
    file: str | None = None
    state: str = "waiting"
    due: float = 0.0
    anytime: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Firing:
    """A firing as it stands; the fields are the columns of its table."""

    id: int
    job: str
    key: str
    time: int
    cause: str
    file: str | None
    state: str
    due: float
    anytime: int
    wish: str
    attempt: int
    failures: int
    losses: int
    started: float | None
    ended: float | None
    exit_code: int | None
    reason: str
    record: str | None

    @property
    def run(self) -> str:
        """The name of its run, and of the folder that it has."""
        return f"{self.id:06d}-{self.attempt}"


@dataclass(frozen=True, slots=True)
class Follower:
    """A firing that is written down once all these jobs are done with the same key."""

    firing: NewFiring
    after: tuple[str, ...]


COLUMNS = ", ".join(f.name for f in fields(Firing))


@dataclass(frozen=True, slots=True)
class Progressed:
    """What is known about a job."""

    schedule: str | None = None
    cursor: int | None = None
    paused: bool = False


class Store:
    """One connection; for one thread. Schedulers of this machine share the file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            self._wal()
            # FULL: a firing that was claimed is so after a power cut, too
            self._connection.execute("PRAGMA synchronous = FULL")
            with self._transaction() as db:
                version = db.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in SCHEMA.split(";\n"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {VERSION}")
        except (sqlite3.Error, OSError) as error:
            raise OutputError(
                f"the state of the jobs, {str(path)!r}, cannot be opened: {error}. Name another file: state = … in the "
                "job file."
            ) from error
        if version not in (0, VERSION):
            raise OutputError(f"{str(path)!r} was written by another version of twofold ({version}).")

    def _wal(self) -> None:
        """Two that open a new file at once: one finds it locked, and asks again."""
        until = time.monotonic() + BUSY_S
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)

    def close(self) -> None:
        self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield self._connection
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    # ---- jobs -------------------------------------------------------------------------------------------------------

    def progressed(self) -> dict[str, Progressed]:
        """Every job that was seen so far."""
        rows = self._connection.execute("SELECT name, schedule, cursor, paused FROM jobs").fetchall()
        return {name: Progressed(schedule, cursor, bool(paused)) for name, schedule, cursor, paused in rows}

    def advance(self, job: str, schedule: str, seen: Progressed, cursor: int, new: Sequence[NewFiring]) -> bool:
        """Write down a schedule's firings up to `cursor`. False, and nothing is written: another was here first."""
        return self.advance_all([(job, schedule, seen, cursor, new)])[0]

    def advance_all(self, steps: Sequence[tuple[str, str, Progressed, int, Sequence[NewFiring]]]) -> list[bool]:
        """`advance` for several jobs, in one transaction."""
        with self._transaction() as db:
            done = []
            for job, schedule, seen, cursor, new in steps:
                db.execute("INSERT OR IGNORE INTO jobs (name) VALUES (?)", (job,))
                moved = db.execute(
                    "UPDATE jobs SET schedule = ?, cursor = ? WHERE name = ? AND schedule IS ? AND cursor IS ?",
                    (schedule, cursor, job, seen.schedule, seen.cursor),
                ).rowcount
                if moved:
                    self._insert(db, new)
                done.append(bool(moved))
            return done

    def pause(self, job: str, paused: bool) -> bool:
        """Whether it was otherwise."""
        with self._transaction() as db:
            db.execute("INSERT OR IGNORE INTO jobs (name) VALUES (?)", (job,))
            changed = db.execute(
                "UPDATE jobs SET paused = ? WHERE name = ? AND paused != ?", (paused, job, paused)
            ).rowcount
            return bool(changed)

    # ---- firings ----------------------------------------------------------------------------------------------------

    def add(self, new: Sequence[NewFiring]) -> list[int]:
        """Write these down; gives the ids of those that are new."""
        with self._transaction() as db:
            return self._insert(db, new)

    def _insert(self, db: sqlite3.Connection, new: Sequence[NewFiring]) -> list[int]:
        ids = []
        for one in new:
            done = db.execute(
                "INSERT OR IGNORE INTO firings (job, key, time, cause, file, state, due, anytime, reason)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (one.job, one.key, one.time, one.cause, one.file, one.state, one.due, one.anytime, one.reason),
            )
            if done.rowcount:
                assert done.lastrowid is not None
                ids.append(done.lastrowid)
        return ids

    def again(
        self, job: str, keys: Sequence[str], due: float, *, anytime: bool, every_state: bool = False
    ) -> list[int]:
        """Let these run (once more) where they failed, were cancelled or skipped; `every_state`: also where done."""
        states = ("failed", "cancelled", "skipped", *(("done",) if every_state else ()))
        ids = []
        with self._transaction() as db:
            for key in keys:
                found = db.execute(
                    "UPDATE firings SET state = 'waiting', due = ?, anytime = ?, failures = 0, losses = 0, reason = '',"
                    f" exit_code = NULL, ended = NULL WHERE job = ? AND key = ? AND state IN ({_marks(states)})"
                    " RETURNING id",
                    (due, anytime, job, key, *states),
                ).fetchall()
                ids += [row[0] for row in found]
        return ids

    def claim(self, job: str, now: float, only: Sequence[int] | None = None, *, closed: bool = False) -> Firing | None:
        """The firing of this job that is to start now, which the caller must start. One of a job runs at a time.

        `closed`: the job's window is, so that only a firing for any time may start. `only`: one of these.
        """
        chosen = "" if only is None else f" AND id IN ({_marks(only)})"
        with self._transaction() as db:
            if db.execute("SELECT 1 FROM firings WHERE job = ? AND state = 'running'", (job,)).fetchone():
                return None
            found = db.execute(
                "UPDATE firings SET state = 'running', attempt = attempt + 1, wish = '', ended = NULL, reason = '',"
                " started = coalesce(started, ?) WHERE id = (SELECT id FROM firings WHERE job = ? AND state = 'waiting'"
                f" AND due <= ? AND anytime >= ?{chosen} ORDER BY due, time, id LIMIT 1) RETURNING {COLUMNS}",
                (now, job, now, int(closed), *(only or ())),
            ).fetchone()
            return Firing(*found) if found else None

    def ready_jobs(self, now: float) -> list[tuple[str, bool]]:
        """Jobs with a firing that is due and none that runs, the longest due first; and whether one of them may start
        at any time."""
        rows = self._connection.execute(
            "SELECT job, max(anytime) FROM firings WHERE state = 'waiting' AND due <= ?"
            " AND job NOT IN (SELECT job FROM firings WHERE state = 'running') GROUP BY job ORDER BY min(due), min(id)",
            (now,),
        ).fetchall()
        return [(job, bool(anytime)) for job, anytime in rows]

    def next_due(self) -> float | None:
        found = self._connection.execute("SELECT min(due) FROM firings WHERE state = 'waiting'").fetchone()[0]
        return None if found is None else float(found)

    def wish(self, firing: int, wish: str) -> bool:
        """Tell a running firing to cancel or to hold. False: it was told so before, or does not run."""
        with self._transaction() as db:
            changed = db.execute(
                "UPDATE firings SET wish = ? WHERE id = ? AND state = 'running' AND wish NOT IN (?, 'cancel')",
                (wish, firing, wish),
            ).rowcount
            return bool(changed)

    def cancel_waiting(self, job: str, now: float, reason: str) -> int:
        with self._transaction() as db:
            return db.execute(
                "UPDATE firings SET state = 'cancelled', ended = ?, reason = ? WHERE job = ? AND state = 'waiting'",
                (now, reason, job),
            ).rowcount

    def settle(self, firing: Firing, values: dict[str, Any], followers: Sequence[Follower] = ()) -> bool:
        """A run ended: its firing's new state, and the firings that come after it. False: another settled it."""
        sets = ", ".join(f"{name} = ?" for name in values)
        with self._transaction() as db:
            done = db.execute(
                f"UPDATE firings SET {sets} WHERE id = ? AND state = 'running' AND attempt = ?",
                (*values.values(), firing.id, firing.attempt),
            ).rowcount
            for follower in followers if done else ():
                n_done = db.execute(
                    "SELECT count(*) FROM firings WHERE key = ? AND state = 'done'"
                    f" AND job IN ({_marks(follower.after)})",
                    (firing.key, *follower.after),
                ).fetchone()[0]
                if n_done == len(follower.after):
                    self._insert(db, [follower.firing])
            return bool(done)

    def record(self, firing: Firing, path: str) -> None:
        """Where what is known about its run lies."""
        with self._transaction() as db:
            db.execute("UPDATE firings SET record = ? WHERE id = ?", (path, firing.id))

    # ---- looking ----------------------------------------------------------------------------------------------------

    def running(self) -> list[Firing]:
        return self._select("WHERE state = 'running' ORDER BY id")

    def get(self, ids: Sequence[int]) -> list[Firing]:
        return self._select(f"WHERE id IN ({_marks(ids)}) ORDER BY id", *ids)

    def by_key(self, job: str, keys: Sequence[str]) -> list[Firing]:
        return self._select(f"WHERE job = ? AND key IN ({_marks(keys)}) ORDER BY id", job, *keys)

    def after(self, ids: Sequence[int]) -> list[Firing]:
        """The firings that came after one of these, or of jobs that wait for the same."""
        keys = f"SELECT key FROM firings WHERE id IN ({_marks(ids)})"
        return self._select(f"WHERE cause = 'after' AND key IN ({keys}) ORDER BY id", *ids)

    def history(self, job: str, most: int) -> list[Firing]:
        """The latest firings, the newest first."""
        return self._select("WHERE job = ? ORDER BY time DESC, id DESC LIMIT ?", job, most)

    def open_firings(self, job: str) -> list[Firing]:
        return self._select("WHERE job = ? AND state IN ('waiting', 'running') ORDER BY state, due, id", job)

    def last_ended(self, job: str) -> Firing | None:
        found = self._select("WHERE job = ? AND ended IS NOT NULL ORDER BY ended DESC LIMIT 1", job)
        return found[0] if found else None

    def keys(self, job: str, cause: str) -> set[str]:
        rows = self._connection.execute("SELECT key FROM firings WHERE job = ? AND cause = ?", (job, cause)).fetchall()
        return {key for (key,) in rows}

    def _select(self, rest: str, *values: Any) -> list[Firing]:
        rows = self._connection.execute(f"SELECT {COLUMNS} FROM firings {rest}", values).fetchall()
        return [Firing(*row) for row in rows]


def _marks(values: Sequence[Any]) -> str:
    return ", ".join("?" * len(values))
