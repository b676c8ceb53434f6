"""What `jobs check`, `status` and `history` show, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from twofold._jobs.clock import utc_text
from twofold._jobs.job import JobSpec
from twofold._jobs.job_file import JobFile
from twofold._jobs.outlook import outlook
from twofold._jobs.placeholders import Occasion
from twofold._jobs.runs import Run
from twofold._jobs.scheduler import runs_folder
from twofold._jobs.store import Firing, Store
from twofold._jobs.windows import next_opening, open_window

__all__ = ["firing_view", "next_firings", "started_by", "status_view"]


def started_by(job: JobSpec) -> str:
    """What starts a job, in words."""
    if job.schedule is not None:
        return job.schedule.key()
    if job.watch is not None:
        return f"files in {job.watch}"
    return f"after {' and '.join(job.after)}" if job.after else "by hand"


def next_firings(job: JobSpec, now: float, n: int) -> list[dict[str, Any]]:
    """The next `n` firings of a schedule: when each falls due, when a window lets it start, and what it runs."""
    if job.schedule is None:
        return []
    return list(islice(_next(job, int(now)), n))


def _next(job: JobSpec, now: int) -> Iterator[dict[str, Any]]:
    assert job.schedule is not None
    for moment in job.schedule.after(now):
        starts = moment
        if job.windows and open_window(job.windows, moment) is None:
            starts = next_opening(job.windows, moment)
        yield {
            "time": local_text(moment, job),
            "starts": local_text(starts, job),
            "runs": run_view(job, Occasion(moment, job.zone)),
        }


def run_view(job: JobSpec, occasion: Occasion) -> str:
    task = job.task(occasion)
    return " ".join(task["command"]) if "command" in task else f"{task['model']}: {task['input']} -> {task['output']}"


def local_text(at: float, job: JobSpec) -> str:
    return datetime.fromtimestamp(int(at), job.zone).isoformat()


def status_view(file: JobFile, store: Store, job: JobSpec, now: float) -> dict[str, Any]:
    """How a job stands."""
    seen = store.progressed().get(job.name)
    opened = store.open_firings(job.name)
    running = [running_view(file, job, firing, now) for firing in opened if firing.state == "running"]
    last = store.last_ended(job.name)
    cursor = seen.cursor if seen is not None and seen.cursor is not None else None
    following = next_firings(job, max(now, cursor or 0), 1)
    window = open_window(job.windows, now) if job.windows else None
    return {
        "job": job.name,
        "starts": started_by(job),
        "paused": seen is not None and seen.paused,
        "next": following[0]["time"] if following else None,
        "window": None if not job.windows else "open" if window is not None else "closed",
        "window_changes": None if not job.windows else local_text(_changes(job, now), job),
        "waiting": sum(firing.state == "waiting" for firing in opened),
        "running": running,
        "last": firing_view(last) if last is not None else None,
    }


def _changes(job: JobSpec, now: float) -> int:
    """When its window closes, or opens."""
    found = open_window(job.windows, now)
    return found[1] if found is not None else next_opening(job.windows, now)


def running_view(file: JobFile, job: JobSpec, firing: Firing, now: float) -> dict[str, Any]:
    """A firing that runs: how far it is, and by how many seconds it will be late for what."""
    progress = Run(runs_folder(file.state) / firing.run).progress()
    shown = {key: value for key, value in (progress or {}).items() if key != "at"}
    return {**firing_view(firing), **shown, "late_s": outlook(job, firing, progress, now)}


def firing_view(firing: Firing) -> dict[str, Any]:
    """A firing, with the paths of what its run left."""
    folder = Path(firing.record) if firing.record else None
    return {
        "run": firing.run if firing.attempt else None,
        "job": firing.job,
        "time": utc_text(firing.time),
        "cause": firing.cause,
        "file": firing.file,
        "state": firing.state,
        "attempts": firing.attempt,
        "started": utc_text(firing.started) if firing.started else None,
        "ended": utc_text(firing.ended) if firing.ended else None,
        "exit_code": firing.exit_code,
        "reason": firing.reason,
        "record": firing.record,
        "log": str(folder / "log") if folder else None,
    }
