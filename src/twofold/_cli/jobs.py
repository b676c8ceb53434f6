"""twofold jobs: batch runs and commands that start by themselves."""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import closing
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from twofold._cli.base import at_least, json_option, option, subcommand, subgroup

if TYPE_CHECKING:
    from twofold._jobs.store import Firing

SHOWN_NEXT = 5

file_option = option(
    "--file", "file", metavar="FILE", default="jobs.toml", help="The job file, jobs.toml or a Python file."
)
now_option = option("--now", "anytime", is_flag=True, help="Also while the job's window is closed.")


@subcommand(
    "jobs check",
    examples="""
Examples:
  twofold jobs check jobs.toml

Exit code: 0 the file is right; 2 it is not, and the line and field are named.
""",
)
@click.argument("file", metavar="FILE")
@json_option
def check(file: str, as_json: bool) -> int:
    """Read a job file, and show when each job falls due next, and what it then runs."""
    from twofold._jobs.job_file import read_jobs
    from twofold._jobs.views import next_firings, started_by

    jobs, now = read_jobs(file).jobs, time.time()
    found: list[dict[str, Any]] = [
        {"job": job.name, "starts": started_by(job), "next": next_firings(job, now, SHOWN_NEXT)}
        for job in jobs.values()
    ]
    if as_json:
        click.echo(json.dumps(found))
        return 0
    for one in found:
        click.echo(f"{one['job']}: {one['starts']}")
        for firing in one["next"]:
            waits = f" (starts {firing['starts']}, when its window opens)" if firing["starts"] != firing["time"] else ""
            click.echo(f"  {firing['time']}{waits}  {firing['runs']}")
    return 0


@subcommand(
    "jobs up",
    examples="""
Examples:
  twofold jobs up jobs.toml

It stays in the foreground, for systemd or a container, and logs to standard error. SIGTERM and Ctrl-C stop the runs
it started; they go on where they were when it is started again. Killed, it leaves them running, and the next one takes
them up. Several on one state share the work.

Exit code: 0 stopped by SIGTERM; 130 by Ctrl-C; 1 the state cannot be written; 2 the file is wrong.
""",
)
@click.argument("file", metavar="FILE")
def up(file: str) -> int:
    """Run the jobs of a file when they fall due."""
    from twofold._jobs.job_file import read_jobs
    from twofold._jobs.scheduler import Scheduler
    from twofold._jobs.store import Store

    jobs = read_jobs(file)
    told: list[int] = []
    with closing(Store(jobs.state)) as store:
        scheduler = Scheduler(jobs, store, say=_say)

        def stop(number: int, _: object) -> None:
            told.append(number)
            scheduler.stop()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        n = len(jobs.jobs)
        _say(f"{n} job{'s' if n != 1 else ''} of {file}; state in {jobs.state}")
        scheduler.run()
    _say("stopped")
    return 130 if told and told[0] == signal.SIGINT else 0


@subcommand(
    "jobs run",
    examples="""
Examples:
  twofold jobs run nightly
  twofold jobs run nightly --time 2026-11-23T02:30      the firing of that time, again
  twofold jobs run scores --for incoming/day.csv        as if that file had arrived

Exit code: 0 done; 3 done, with rows in quarantine; 1 it failed or was cancelled; 2 usage.
""",
)
@click.argument("name", metavar="NAME")
@file_option
@option("--time", "at", metavar="TIME", help="The logical time, in the job's zone. Default: now.")
@option("--for", "arrived", metavar="FILE", help="The file that the job is to run for.")
@now_option
@json_option
def run(name: str, file: str, at: str | None, arrived: str | None, anytime: bool, as_json: bool) -> int:
    """Run a job once, here and now, and wait for it. Where its window is closed, it waits for that."""
    from pathlib import Path

    from twofold._jobs.by_hand import ask, attend, moment_of
    from twofold._jobs.job_file import read_jobs
    from twofold._jobs.store import Store

    jobs = read_jobs(file)
    job = jobs.job(name)
    moment = int(time.time()) if at is None else moment_of(at, job, "--time")
    path = None if arrived is None else str(Path(arrived).resolve())
    with closing(Store(jobs.state)) as store:
        return _shown(attend(jobs, store, ask(store, job, moment, path, anytime=anytime), _say), as_json)


@subcommand(
    "jobs backfill",
    examples="""
Examples:
  twofold jobs backfill nightly --from 2026-11-01 --to 2026-11-08

Each firing has the logical time it would have had, so that {time} gives the same files. What is done stays as it is;
what failed, was skipped or never was, runs, one after the other.

Exit code: 0 all done; 3 done, with rows in quarantine; 1 one failed; 2 usage.
""",
)
@click.argument("name", metavar="NAME")
@option("--from", "since", metavar="TIME", required=True, help="The first logical time, in the job's zone.")
@option("--to", "until", metavar="TIME", required=True, help="Up to this time, without it.")
@file_option
@now_option
@json_option
def backfill(name: str, since: str, until: str, file: str, anytime: bool, as_json: bool) -> int:
    """Run the past firings of a schedule that are not done."""
    from twofold._jobs.by_hand import attend, moment_of
    from twofold._jobs.by_hand import backfill as fill
    from twofold._jobs.job_file import read_jobs
    from twofold._jobs.store import Store

    jobs = read_jobs(file)
    job = jobs.job(name)
    first, last = moment_of(since, job, "--from"), moment_of(until, job, "--to")
    with closing(Store(jobs.state)) as store:
        ids = fill(store, job, first, last, anytime=anytime)
        if not ids:
            click.echo(f"{name}: all firings of that time are done", err=True)
            return 0
        return _shown(attend(jobs, store, ids, _say), as_json)


@subcommand(
    "jobs status",
    examples="""
Examples:
  twofold jobs status
  twofold jobs status nightly --json
""",
)
@click.argument("name", metavar="[NAME]", required=False)
@file_option
@json_option
def status(name: str | None, file: str, as_json: bool) -> int:
    """Show how jobs stand: what runs, how far it is and whether it will be done in time, and what falls due next."""
    from twofold._jobs.job_file import read_jobs
    from twofold._jobs.store import Store
    from twofold._jobs.views import status_view

    jobs = read_jobs(file)
    chosen = jobs.jobs.values() if name is None else [jobs.job(name)]
    with closing(Store(jobs.state)) as store:
        found = [status_view(jobs, store, job, time.time()) for job in chosen]
    if as_json:
        click.echo(json.dumps(found if name is None else found[0]))
        return 0
    for one in found:
        click.echo("\n".join(_status_lines(one)))
    return 0


def _status_lines(one: dict[str, Any]) -> list[str]:
    parts = [one["starts"]]
    if one["paused"]:
        parts.append("paused")
    if one["next"]:
        parts.append(f"next {one['next']}")
    if one["window"]:
        parts.append(
            f"window {one['window']}, {'closes' if one['window'] == 'open' else 'opens'} {one['window_changes']}"
        )
    if one["waiting"]:
        parts.append(f"{one['waiting']} waiting")
    lines = [f"{one['job']}: {'; '.join(parts)}"]
    for running in one["running"]:
        done = ""
        if "rows_total" in running:
            left = running["seconds_left"]
            done = f", {running['rows_done']:,} of {running['rows_total']:,} rows"
            done += f", {running['rows_per_second']:,.0f} rows/s"
            done += f", {left:.0f} s left" if left is not None else ""
        late = "".join(f", will miss {what} by {seconds} s" for what, seconds in running["late_s"].items())
        lines.append(f"  runs {running['run']} for {running['file'] or running['time']}{done}{late}")
    if one["last"]:
        lines.append(f"  last {_line(one['last'])}")
    return lines


@subcommand(
    "jobs history",
    examples="""
Examples:
  twofold jobs history nightly
  twofold jobs history nightly --limit 100 --json
""",
)
@click.argument("name", metavar="NAME")
@file_option
@option("--limit", type=at_least(1), default=20, metavar="N", help="So many firings.")
@json_option
def history(name: str, file: str, limit: int, as_json: bool) -> int:
    """Show a job's firings, the latest first, and where their logs lie."""
    from twofold._jobs.job_file import read_jobs
    from twofold._jobs.store import Store
    from twofold._jobs.views import firing_view

    jobs = read_jobs(file)
    jobs.job(name)
    with closing(Store(jobs.state)) as store:
        found = [firing_view(firing) for firing in store.history(name, limit)]
    if as_json:
        click.echo(json.dumps(found))
        return 0
    for one in found:
        click.echo(_line(one))
    if not found:
        click.echo(f"{name}: no firing yet")
    return 0


@subcommand("jobs pause", examples="\nExamples:\n  twofold jobs pause nightly\n")
@click.argument("name", metavar="NAME")
@file_option
def pause(name: str, file: str) -> int:
    """Start no firing of a job. Those that fall due are skipped; what runs goes on; files that arrive wait."""
    return _paused(name, file, True)


@subcommand("jobs resume", examples="\nExamples:\n  twofold jobs resume nightly\n")
@click.argument("name", metavar="NAME")
@file_option
def resume(name: str, file: str) -> int:
    """Go on with a job that was paused."""
    return _paused(name, file, False)


def _paused(name: str, file: str, paused: bool) -> int:
    from twofold._jobs.job_file import read_jobs
    from twofold._jobs.store import Store

    jobs = read_jobs(file)
    jobs.job(name)
    with closing(Store(jobs.state)) as store:
        changed = store.pause(name, paused)
    word = "paused" if paused else "not paused"
    click.echo(f"{name}: {word}{' now' if changed else ' before as well'}", err=True)
    return 0


@subcommand("jobs cancel", examples="\nExamples:\n  twofold jobs cancel nightly\n")
@click.argument("name", metavar="NAME")
@file_option
def cancel(name: str, file: str) -> int:
    """End what runs of a job, and drop what waits. Its later firings stay: see `pause`."""
    from twofold._jobs.by_hand import cancel as end
    from twofold._jobs.job_file import read_jobs
    from twofold._jobs.store import Store

    jobs = read_jobs(file)
    job = jobs.job(name)
    with closing(Store(jobs.state)) as store:
        n_waiting, n_running = end(jobs, store, job)
    click.echo(f"{name}: {n_running} running and {n_waiting} waiting cancelled", err=True)
    return 0


@subgroup(
    "jobs",
    examples="""
Examples:
  twofold jobs check jobs.toml
  twofold jobs up jobs.toml
  twofold jobs status
  twofold jobs run nightly --file jobs.toml

The page "Jobs" of the documentation has all fields of a job file.
""",
    commands=[check, up, run, backfill, status, history, pause, resume, cancel],
)
def command() -> None:
    """Batch runs and commands that start by themselves: on a schedule, when files arrive, one after the other.

    A job file says what to run and when; `jobs up` runs it. Each firing runs exactly once, whatever is restarted.
    """


def _shown(ended: list[Firing], as_json: bool) -> int:
    """How firings ended; the exit code says the worst of it."""
    from twofold._jobs.views import firing_view

    found = [firing_view(firing) for firing in ended]
    if as_json:
        click.echo(json.dumps(found))
    else:
        for one in found:
            click.echo(_line(one), err=True)
    if any(firing.state != "done" for firing in ended):
        return 1
    return 3 if any(firing.exit_code == 3 for firing in ended) else 0


def _line(one: dict[str, Any]) -> str:
    why = f": {one['reason']}" if one["reason"] else ""
    code = f" (exit code {one['exit_code']})" if one["exit_code"] and "exit code" not in one["reason"] else ""
    log = f"  {one['log']}" if one["log"] else ""
    return f"{one['time']}  {one['file'] or one['cause']}  {one['state']}{code}{why}{log}"


def _say(text: str) -> None:
    stamp = datetime.now().astimezone().strftime("%Y-%m-%dT%H:%M:%S%z")
    print(f"{stamp} {text}", file=sys.stderr, flush=True)
