"""jobs.toml, or a Python file with `twofold.Job(…)` at its top level. What is wrong in it is named by line and field.

state = ".twofold/jobs.db"      where firings are kept; relative paths are seen from the file's folder
max_runs = 4                    runs at once
[[job]]                         a table for each job: see `job`
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twofold._errors import UsageError
from twofold._jobs.job import Job, JobSpec, spec_of
from twofold._jobs.wrong import Wrong, did_you_mean

__all__ = ["JobFile", "read_jobs"]

DEFAULT_STATE = ".twofold/jobs.db"
TOP = ("job", "state", "max_runs")


@dataclass(frozen=True)
class JobFile:
    """`folder`: of the file; runs work in it. `state`: the database."""

    path: Path
    folder: Path
    state: Path
    jobs: dict[str, JobSpec]
    max_runs: int

    def job(self, name: str) -> JobSpec:
        if name not in self.jobs:
            raise UsageError(
                f"{self.path} has no job {name!r}. {did_you_mean(name, list(self.jobs), 'Its jobs are')}", job=name
            )
        return self.jobs[name]


def read_jobs(given: str | Path) -> JobFile:
    """The jobs of a file. UsageError says in which line and field what is wrong."""
    path = Path(given)
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise UsageError(
            f"the job file {str(path)!r} cannot be read: {(error.strerror or str(error)).lower()}. Name another with "
            "--file, or write one: each [[job]] has a name, model, input and output."
        ) from None
    except UnicodeDecodeError as error:
        raise UsageError(f"the job file {str(path)!r} is not UTF-8 text ({error.reason}).") from None
    found = _from_python(path, text) if path.suffix == ".py" else _from_toml(path, text)
    _check_after(path, found.jobs, text)
    return found


def _from_toml(path: Path, text: str) -> JobFile:
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML: {error}") from None
    lines = Lines(text)
    for name in values:
        if name not in TOP:
            raise _wrong(path, lines, None, Wrong(name, did_you_mean(name, TOP, "At the top stand only")))
    tables = values.get("job", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise _wrong(path, lines, None, Wrong("job", "each job is a table of its own, and begins with [[job]]."))
    jobs: dict[str, JobSpec] = {}
    for index, table in enumerate(tables):
        try:
            spec = spec_of(table)
            if spec.name in jobs:
                raise Wrong("name", f"there are two jobs {spec.name!r}. Give one of them another name.")
        except Wrong as wrong:
            raise _wrong(path, lines, index, wrong, str(table.get("name", ""))) from None
        jobs[spec.name] = spec
    try:
        return _job_file(path, jobs, values)
    except Wrong as wrong:
        raise _wrong(path, lines, None, wrong) from None


def _job_file(path: Path, jobs: dict[str, JobSpec], values: dict[str, Any]) -> JobFile:
    if not jobs:
        raise Wrong("job", "there is no job in it. Each begins with [[job]], and has a name, model, input and output.")
    state, max_runs = values.get("state", DEFAULT_STATE), values.get("max_runs", os.cpu_count() or 1)
    if not isinstance(state, str) or not state:
        raise Wrong("state", f"it is a path, and {state!r} was given.")
    if isinstance(max_runs, bool) or not isinstance(max_runs, int) or max_runs < 1:
        raise Wrong("max_runs", f"it is a whole number of at least 1, and {max_runs!r} was given.")
    folder = path.resolve().parent
    return JobFile(path, folder, folder / state, jobs, max_runs)


def _from_python(path: Path, text: str) -> JobFile:
    space: dict[str, Any] = {"__name__": path.stem, "__file__": str(path.resolve())}
    try:
        exec(compile(text, str(path), "exec"), space)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(
            f"the job file {str(path)!r} cannot be run: {type(error).__name__}: {error}. "
            "Run again with --traceback to see where."
        ) from error
    jobs: dict[str, JobSpec] = {}
    for value in space.values():
        for job in value if isinstance(value, list | tuple) else [value]:
            if isinstance(job, Job) and jobs.setdefault(job.spec.name, job.spec) is not job.spec:
                raise UsageError(f"{path}: there are two jobs {job.spec.name!r}. Give one of them another name.")
    try:
        return _job_file(path, jobs, {name: space[name] for name in ("state", "max_runs") if name in space})
    except Wrong as wrong:
        raise UsageError(f"{path}: {wrong}", field=wrong.field) from None


def _check_after(path: Path, jobs: dict[str, JobSpec], text: str) -> None:
    """What jobs wait for exists, and none waits for itself."""
    lines = Lines(text)
    for index, spec in enumerate(jobs.values()):
        for name in spec.after:
            if name not in jobs:
                wrong = Wrong("after", f"there is no job {name!r}. {did_you_mean(name, list(jobs), 'The jobs are')}")
                raise _wrong(path, lines, index, wrong, spec.name)
        if spec.name in _before(jobs, spec.after):
            raise _wrong(path, lines, index, Wrong("after", "the job would wait for itself."), spec.name)


def _before(jobs: dict[str, JobSpec], names: Sequence[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in jobs and name not in found:
            found.add(name)
            waiting += jobs[name].after
    return found


def _wrong(path: Path, lines: Lines, index: int | None, wrong: Wrong, job: str = "") -> UsageError:
    line = lines.of(index, wrong.field)
    where = f"{path}{f', line {line}' if line else ''}{f', job {job!r}' if job else ''}"
    return UsageError(f"{where}: {wrong}", field=wrong.field, line=line, job=job)


class Lines:
    """Where in a TOML text the fields stand, as the parser does not say: (number of the job or None, field) -> line."""

    def __init__(self, text: str) -> None:
        self._found: dict[tuple[int | None, str], int] = {}
        index, inside, closing = None, "", ""
        for number, line in enumerate(text.splitlines(), 1):
            if closing:  # within a text of several lines
                closing = "" if line.count(closing) % 2 else closing
                continue
            header = re.match(r"\s*\[\[?\s*([\w.-]+)\s*\]\]?", line)
            key = re.match(r"\s*[\"']?([\w-]+)[\"']?\s*(?:\.[^=]*)?=", line)
            if header:
                name, _, inside = header[1].partition(".")
                if name == "job" and not inside:
                    index = 0 if index is None else index + 1
                self._found.setdefault((index, inside), number)
            elif key:
                self._found.setdefault((index, inside or key[1]), number)
            closing = next((quote for quote in ('"""', "'''") if line.count(quote) % 2), "")

    def of(self, index: int | None, field: str) -> int | None:
        """The field's line, or that of its job."""
        return self._found.get((index, field)) or self._found.get((index, ""))
