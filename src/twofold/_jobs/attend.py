"""The process that attends one run: `python -m twofold._jobs.attend FOLDER`. It outlives its scheduler.

It takes the run's lock (who finds it taken, or the run over, leaves), does what task.json says, and writes exit.json.
Killed, it writes nothing: the run is then started again, and a batch run goes on where it was.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from twofold._errors import TwofoldError
from twofold._jobs.runs import ALREADY, Run, RunExit
from twofold._supervisor import LINUX, PR_SET_PDEATHSIG

__all__ = ["main"]

PROGRESS_S = 0.5
CALM_S = 0.2
GRACE_S = 30.0
HOLD_TRIES, HOLD_AGAIN_S = 10, 0.02
STOPPED = "it was stopped"
NICE = {"low": 10, "idle": 19}


def main(folder: Path) -> int:
    run = Run(folder)
    lock = _hold(run)
    if lock is None or run.exit() is not None:
        return ALREADY
    os.ftruncate(lock, 0)
    os.write(lock, str(os.getpid()).encode())
    task = run.task()
    os.chdir(task["folder"])
    os.environ.update(task["environment"])
    _calm(task["priority"])
    how = _command(task["command"], lock, run) if "command" in task else _batch(task, run)
    run.ended(how)
    return how.code


def _hold(run: Run) -> int | None:
    """Take the run. Who only looks whether it is held has it for a moment."""
    for _ in range(HOLD_TRIES):
        lock = run.hold()
        if lock is not None:
            return lock
        time.sleep(HOLD_AGAIN_S)
    return None


def _batch(task: dict[str, Any], run: Run) -> RunExit:
    """A batch run in this process, with its exit codes."""
    from twofold._batch.places import is_url
    from twofold._batch.run import run_batch
    from twofold._model import model_ref
    from twofold._options import BatchOptions

    sys.path.insert(0, task["folder"])
    given = task["options"]
    keep = None if given["keep"] is None else tuple(given["keep"])
    try:
        ref = model_ref(task["model"], settings=task["settings"], outputs=task["outputs"], nulls=task["nulls"])
        options = BatchOptions(**{**given, "key": tuple(given["key"]), "keep": keep})
        if not is_url(task["output"]):  # a day's folder, perhaps
            Path(task["output"]).absolute().parent.mkdir(parents=True, exist_ok=True)
        report = run_batch(ref, task["input"], task["output"], options, on_progress=_told(run))
    except TwofoldError as error:
        return _said(RunExit(error.exit_code, error.message))
    except KeyboardInterrupt as error:
        return _said(RunExit(130, str(error)))
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return _said(RunExit(1, f"{where}{error.strerror or error}"))
    except Exception as error:
        return _said(RunExit(1, f"unexpected {type(error).__name__}: {error}"))
    put_aside = f", {report.rows_quarantined:,} in quarantine: {report.quarantine}" if report.rows_quarantined else ""
    return _said(RunExit(report.exit_code, f"{report.rows_out:,} rows in {report.seconds:.3g} s{put_aside}"))


def _said(how: RunExit) -> RunExit:
    print(how.words, file=sys.stderr, flush=True)
    return how


def _told(run: Run) -> Callable[[Any], None]:
    """Writes down where a batch run stands, now and then."""
    last = -PROGRESS_S

    def told(progress: Any) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < PROGRESS_S and progress.stage == "rows":
            return
        last = now
        run.progressed(
            {
                "at": time.time(),
                "stage": progress.stage,
                "rows_done": progress.rows_done,
                "rows_total": progress.rows_total,
                "rows_quarantined": progress.rows_quarantined,
                "rows_per_second": progress.rows_per_second,
                "seconds_left": progress.seconds_left,
            }
        )

    return told


def _command(words: list[str], lock: int, run: Run) -> RunExit:
    """A command, in a session of its own; it holds the lock as well, and is killed when this process is."""
    stopped = threading.Event()
    started: list[subprocess.Popen[bytes]] = []

    def stop(_: int, __: FrameType | None) -> None:
        stopped.set()
        for process in started:
            _signal_group(process, signal.SIGTERM)
            timer = threading.Timer(GRACE_S, _signal_group, (process, signal.SIGKILL))
            timer.daemon = True
            timer.start()

    signal.signal(signal.SIGTERM, stop)  # before there is something to stop: nothing is left running
    here, libc = os.getpid(), ctypes.CDLL(None) if LINUX else None
    try:
        process = subprocess.Popen(
            words,
            pass_fds=(lock,),
            start_new_session=True,
            preexec_fn=None if libc is None else lambda: _die_with(here, libc),
        )
    except OSError as error:
        return _said(RunExit(127, f"{words[0]!r} cannot be started: {(error.strerror or str(error)).lower()}."))
    started.append(process)
    if stopped.is_set():
        stop(signal.SIGTERM, None)
    code = process.wait()
    if stopped.is_set() and code != 0:
        return RunExit(143, STOPPED)
    if code == 0:
        return RunExit(0)
    how = f"exit code {code}" if code > 0 else f"killed by signal {-code}"
    last = run.last_line()
    return RunExit(code, f"{how}: {last}" if last else how)


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if process.returncode is None:
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            pass


def _die_with(parent: int, libc: ctypes.CDLL) -> None:
    """In the child: be killed when this parent ends."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def _calm(priority: str) -> None:
    """Let others have the processor first: this process, those it starts, and, where the kernel groups processes by
    session, each of their sessions."""
    if priority not in NICE:
        return
    os.nice(NICE[priority])
    if LINUX and priority == "idle":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    if Path("/proc/self/autogroup").exists():
        threading.Thread(target=_calm_sessions, args=(NICE[priority],), name="priority", daemon=True).start()


def _calm_sessions(nice: int) -> None:
    known: set[int] = set()
    while True:
        for pid in _family(os.getpid()) - known:
            known.add(pid)
            try:
                Path(f"/proc/{pid}/autogroup").write_text(str(nice))
            except OSError:  # ended, or the kernel was told too often within a moment
                known.discard(pid)
        time.sleep(CALM_S)


def _family(pid: int) -> set[int]:
    """A process and its descendants."""
    found, waiting = set(), [pid]
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                waiting += map(int, children.read_text().split())
            except OSError:
                continue
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
