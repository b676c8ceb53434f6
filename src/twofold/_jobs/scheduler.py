"""The scheduler: writes down what falls due, starts it, watches it, settles it. Its loop is `step`.

Any number of schedulers of one machine share a state. None owns a run: each looks at all that run, and whoever finds
one ended settles it. So one that dies leaves nothing behind that another does not take up.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from twofold._jobs.arrivals import Arrivals
from twofold._jobs.clock import Clock, utc_text
from twofold._jobs.job import JobSpec
from twofold._jobs.job_file import JobFile
from twofold._jobs.outlook import Outlook
from twofold._jobs.placeholders import Occasion
from twofold._jobs.planner import Planner
from twofold._jobs.runs import ALREADY, Run
from twofold._jobs.settling import after_exit
from twofold._jobs.store import Firing, Store
from twofold._jobs.windows import open_window

__all__ = ["Scheduler", "runs_folder"]

TICK_S = 1.0
BEGIN_S = 10.0
"""A run that another scheduler claimed has a process after so long, or that scheduler is dead."""
STOP_S = 40.0


def runs_folder(state: Path) -> Path:
    """Where the runs of a state have their folders: jobs.db -> jobs.runs/"""
    return state.with_name(f"{state.stem}.runs")


class Scheduler:
    """`only`: nothing is planned, and only these firings (the list may grow) are started: for runs by hand."""

    def __init__(
        self,
        file: JobFile,
        store: Store,
        *,
        clock: Clock | None = None,
        say: Callable[[str], None] = lambda _: None,
        only: Sequence[int] | None = None,
    ) -> None:
        self._file = file
        self._store = store
        self._clock = clock or Clock()
        self._say = say
        self._only = only
        self._folder = runs_folder(file.state)
        self._wake = threading.Event()
        self._stop = False
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._unattended: dict[str, float] = {}
        self._told: set[str] = set()
        self._outlook = Outlook(say)
        now = self._clock.now()
        jobs = file.jobs if only is None else {}
        self._planner = Planner(store, jobs, now)
        self._arrivals = Arrivals(store, jobs, file.folder)

    # ---- the loop -------------------------------------------------------------------------------------------------

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Go on until `stop` is called, or `until` is true; then end the runs that this scheduler started."""
        try:
            while not self._stop and not until():
                self._clock.wait(self.step() - self._clock.now(), self._wake)
                self._wake.clear()
        finally:
            self._hold_own()

    def stop(self) -> None:
        """Ask `run` to return; a signal handler may."""
        self._stop = True
        self._wake.set()

    def step(self) -> float:
        """Do all that is to be done now; when to look again at the latest."""
        now = self._clock.now()
        paused = {name for name, seen in self._store.progressed().items() if seen.paused}
        for new in self._planner.plan(now):
            if new.state == "skipped":
                self._say(f"{new.job}: the firing of {utc_text(new.time)} is skipped: {new.reason}")
        for new in self._arrivals.look(now, paused):
            self._say(f"{new.job}: {new.file} arrived")
        running = self._settle(now)
        self._watch(running, now)
        self._start(now, paused, len(running))
        moments = [self._planner.next_due(), self._arrivals.next_look(), now + TICK_S]
        return min(moment for moment in moments if moment is not None)

    # ---- starting -------------------------------------------------------------------------------------------------

    def _start(self, now: float, paused: set[str], n_running: int) -> None:
        for name, has_anytime in self._store.ready_jobs(now):
            if n_running >= self._file.max_runs:
                return
            job = self._file.jobs.get(name)
            if job is None or (name in paused and self._only is None):
                continue
            closed = bool(job.windows) and open_window(job.windows, now) is None
            if closed and not has_anytime:
                continue
            firing = self._store.claim(name, now, self._only, closed=closed)
            if firing is not None:
                n_running += 1
                self._begin(job, firing, now)

    def _begin(self, job: JobSpec, firing: Firing, now: float) -> None:
        task = job.task(Occasion(firing.time, job.zone, firing.file))
        run = self._run_of(firing)
        workers, priority = _in_window(job, now)
        task |= {
            "folder": str(self._file.folder),
            "priority": priority or job.priority,
            "window": [workers, priority],
            "environment": {
                "TWOFOLD_JOB": job.name,
                "TWOFOLD_JOB_TIME": utc_text(firing.time),
                "TWOFOLD_JOB_FILE": firing.file or "",
            },
        }
        if workers is not None and "options" in task:
            task["options"]["workers"] = workers
        record = str(run.folder)
        self._store.record(firing, record)
        self._processes[firing.run] = run.begin(task)
        threading.Thread(target=self._wait_for, args=(self._processes[firing.run],), daemon=True).start()
        again = f", attempt {firing.attempt}" if firing.attempt > 1 else ""
        self._say(f"{job.name}: run {firing.run} for {firing.file or utc_text(firing.time)} starts{again}")

    def _wait_for(self, process: subprocess.Popen[bytes]) -> None:
        process.wait()
        self._wake.set()

    def _run_of(self, firing: Firing) -> Run:
        return Run(self._folder / firing.run)

    # ---- watching -------------------------------------------------------------------------------------------------

    def _watch(self, running: Sequence[Firing], now: float) -> None:
        """Windows that closed, and runs that will not be done in time."""
        for firing in running:
            job = self._file.jobs.get(firing.job)
            if job is None:
                continue
            run = self._run_of(firing)
            if firing.wish:
                self._tell_once(firing.run, run)
            elif job.windows and not firing.anytime and not self._fits(job, run, now):
                if self._store.wish(firing.id, "hold"):
                    self._tell_once(firing.run, run)
                    self._say(f"{job.name}: the window closes; run {firing.run} is held")
            else:
                self._outlook.look(job, firing, run.progress(), now)

    def _tell_once(self, name: str, run: Run) -> None:
        """Ask the run to stop, as soon as it has a process."""
        if name not in self._told and run.tell(signal.SIGTERM):
            self._told.add(name)

    def _fits(self, job: JobSpec, run: Run, now: float) -> bool:
        """A window is open, and the run was started with what holds in it."""
        if open_window(job.windows, now) is None:
            return False
        try:
            return bool(list(_in_window(job, now)) == run.task()["window"])
        except OSError:  # it is about to be written
            return True

    # ---- settling -------------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> list[Firing]:
        """Settle the runs that ended; gives those that run."""
        running = []
        for firing in self._store.running():
            run = self._run_of(firing)
            how = run.exit()
            if how is None and self._is_lost(firing, run):
                how = run.seal()
            if how is None:
                running.append(firing)
                continue
            self._unattended.pop(firing.run, None)
            values, followers, words = after_exit(firing, how, self._file.jobs, now)
            if self._store.settle(firing, values, followers):
                self._say(f"{firing.job}: run {firing.run} {words}")
        for name in self._processes.keys() - {firing.run for firing in running}:  # another scheduler settled it
            if self._processes[name].poll() is not None:
                del self._processes[name]
        return running

    def _is_lost(self, firing: Firing, run: Run) -> bool:
        """Nobody attends it, nor will."""
        process = self._processes.get(firing.run)
        if process is not None and process.poll() is None:
            return False
        if process is not None:
            del self._processes[firing.run]
            if process.returncode != ALREADY:
                return True
        if run.is_held():
            self._unattended.pop(firing.run, None)
            return False
        if run.began():
            return True
        since = self._unattended.setdefault(firing.run, time.monotonic())
        return time.monotonic() - since > BEGIN_S

    def _hold_own(self) -> None:
        """End the runs that this scheduler started: they go on when a scheduler is there again."""
        own = [firing for firing in self._store.running() if firing.run in self._processes]
        for firing in own:
            self._store.wish(firing.id, "hold")
        until = time.monotonic() + STOP_S
        while self._processes and time.monotonic() < until:
            for firing in own:
                self._tell_once(firing.run, self._run_of(firing))
            self._settle(self._clock.now())
            self._wake.wait(0.05)
            self._wake.clear()
        for process in self._processes.values():
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            process.wait()
        self._settle(self._clock.now())


def _in_window(job: JobSpec, now: float) -> tuple[int | None, str | None]:
    """The workers and the priority that hold now."""
    found = open_window(job.windows, now) if job.windows else None
    return found[0].settings if found else (None, None)
