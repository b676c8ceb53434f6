"""What becomes of a firing whose run ended: done, tried again, held, cancelled or failed; and what comes after it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twofold._jobs.job import JobSpec
from twofold._jobs.runs import LOST, RunExit
from twofold._jobs.store import Firing, Follower, NewFiring

__all__ = ["after_exit"]

DONE = (0, 3)
"""3: rows are in quarantine; the others are done, and the next try would quarantine them again."""
STOPPED = (LOST, 130, 143, -2, -9, -15)
MOST_LOSSES = 5
MOST_BACKOFF_S = 3600

Outcome = tuple[dict[str, Any], list[Follower], str]


def after_exit(firing: Firing, how: RunExit, jobs: Mapping[str, JobSpec], now: float) -> Outcome:
    """The firing's new values, those that come after it, and what happened, in words."""
    job = jobs.get(firing.job)
    if how.code in DONE:
        values = {"state": "done", "ended": now, "exit_code": how.code, "reason": how.words, "losses": 0}
        return values, _followers(firing, jobs, now), f"is done: {how.words}" if how.words else "is done"
    if firing.wish == "cancel":
        values = {"state": "cancelled", "ended": now, "exit_code": how.code, "reason": "cancelled"}
        return values, [], "is cancelled"
    if how.code in STOPPED and firing.wish == "hold":
        values = {"state": "waiting", "due": now, "wish": "", "losses": 0, "reason": "held; it goes on where it was"}
        return values, [], "is held; it goes on where it was"
    if how.code in STOPPED and firing.losses + 1 < MOST_LOSSES:
        values = {"state": "waiting", "due": now, "losses": firing.losses + 1, "reason": "killed; it is started again"}
        return values, [], f"was killed ({how.words or how.code}); it is started again"
    words = how.words or f"exit code {how.code}"
    if job is not None and how.code not in STOPPED and firing.failures < job.retries:
        wait_s = min(job.backoff_s * 2**firing.failures, MOST_BACKOFF_S)
        values = {
            "state": "waiting",
            "due": now + wait_s,
            "failures": firing.failures + 1,
            "losses": 0,
            "exit_code": how.code,
            "reason": words,
        }
        return values, [], f"failed: {words}; tried again in {wait_s} s ({job.retries - firing.failures} tries left)"
    values = {"state": "failed", "ended": now, "exit_code": how.code, "reason": words}
    return values, [], f"failed: {words}"


def _followers(firing: Firing, jobs: Mapping[str, JobSpec], now: float) -> list[Follower]:
    """The jobs that run after this one, for the same logical time and file."""
    return [
        Follower(
            NewFiring(job.name, firing.key, firing.time, "after", firing.file, due=now, anytime=bool(firing.anytime)),
            job.after,
        )
        for job in jobs.values()
        if firing.job in job.after
    ]
