"""A job: what to run, what starts it, and when it may run. The same fields in jobs.toml and in Python."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal
from zoneinfo import ZoneInfo

from twofold._errors import UsageError
from twofold._jobs.placeholders import Occasion, filled, placeholders
from twofold._jobs.times import Cron, Every, Schedule, seconds_of, zone_of
from twofold._jobs.windows import PRIORITIES, Window, time_of_day, window_of
from twofold._jobs.wrong import Wrong, did_you_mean
from twofold._options import BatchOptions

__all__ = ["FIELDS", "Job", "JobSpec", "spec_of"]

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
OWN = (
    *("name", "model", "input", "output", "run", "schedule", "timezone", "every", "watch", "settle", "after"),
    *("window", "finish_by", "retries", "backoff", "missed", "overlap", "priority", "set", "outputs", "nulls"),
)
RENAMED = {"limit_rows": "limit", "row_timeout_s": "row_timeout"}
BATCH = {RENAMED.get(f.name, f.name): f.name for f in fields(BatchOptions) if f.name != "output_format"}
"""Option of `twofold batch`, with _ for - -> its field of BatchOptions."""
FIELDS = (*OWN, *BATCH)
TRIGGERS = ("schedule", "every", "watch", "after")


@dataclass(frozen=True)
class JobSpec:
    """A job that was found to be right. Times are in seconds; `texts` have their placeholders still."""

    name: str
    texts: dict[str, str]
    command: tuple[str, ...]
    zone: ZoneInfo
    schedule: Schedule | None = None
    watch: str | None = None
    settle_s: int = 2
    after: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    finish_by: int | None = None
    """Minutes since midnight, in the job's zone."""
    retries: int = 0
    backoff_s: int = 60
    missed: Literal["once", "skip", "all"] = "once"
    overlap: Literal["queue", "skip"] = "queue"
    priority: str = "normal"
    settings: dict[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    nulls: str = "refuse"
    options: BatchOptions = field(default_factory=BatchOptions)

    def task(self, occasion: Occasion) -> dict[str, Any]:
        """What a firing runs, as JSON: a command, or a batch run."""
        if self.command:
            return {"command": [filled(word, occasion, "run") for word in self.command]}
        texts = {name: filled(text, occasion, name) for name, text in self.texts.items()}
        options: dict[str, Any] = {f.name: getattr(self.options, f.name) for f in fields(self.options)}
        options |= {option: texts[option] for option in ("quarantine", "where") if option in texts}
        return {
            "model": texts["model"],
            "settings": {name: filled(text, occasion, "set") for name, text in self.settings.items()},
            "outputs": list(self.outputs),
            "nulls": self.nulls,
            "input": texts["input"],
            "output": texts["output"],
            "options": options,
        }


class Job:
    """A job for `twofold jobs`, in a Python file: `twofold jobs up jobs.py` takes every Job at the file's top level.

    The fields are those of a [[job]] table in jobs.toml; UsageError for one that is wrong.
    """

    def __init__(self, **given: Any) -> None:
        try:
            self.spec = spec_of(given)
        except Wrong as wrong:
            raise UsageError(f"twofold.Job {given.get('name', '')!r}: {wrong}", field=wrong.field) from None


def spec_of(given: Mapping[str, Any]) -> JobSpec:
    """The job of these fields. Raises Wrong for the first one that is not right."""
    for field_name in given:
        if field_name not in FIELDS:
            raise Wrong(field_name, f"there is no such field. {did_you_mean(field_name, FIELDS, 'The fields are')}")
    name = given.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Wrong("name", f"{name!r} is no name. A job has one, of letters, digits, _, - and .")
    zone = zone_of(given.get("timezone", "UTC"))
    triggers = [trigger for trigger in TRIGGERS if trigger in given]
    if len(triggers) > 1:
        raise Wrong(triggers[1], f"there is {triggers[0]!r} already; one thing starts a job. Make it two jobs.")
    texts = _texts(given)
    spec = JobSpec(
        name=name,
        texts=texts,
        command=_command(given),
        zone=zone,
        schedule=_schedule(given, zone),
        watch=_watch(given),
        settle_s=seconds_of(given.get("settle", "2s"), "settle"),
        after=tuple(_list(given, "after")),
        windows=_windows(given, zone),
        finish_by=time_of_day(given["finish_by"], "finish_by") if "finish_by" in given else None,
        retries=_count(given, "retries"),
        backoff_s=seconds_of(given.get("backoff", "1m"), "backoff"),
        missed=_one_of(given, "missed", ("once", "skip", "all")),
        overlap=_one_of(given, "overlap", ("queue", "skip")),
        priority=_one_of(given, "priority", PRIORITIES),
        settings={str(key): _as_text(value) for key, value in _table(given, "set").items()},
        outputs=tuple(_list(given, "outputs")),
        nulls=_one_of(given, "nulls", ("refuse", "nan")),
        options=_options(given),
    )
    _check_placeholders(spec)
    return spec


def _texts(given: Mapping[str, Any]) -> dict[str, str]:
    if "run" in given:
        for name in ("model", "input", "output", "set", "outputs", "nulls", *BATCH):
            if name in given:
                raise Wrong(name, "it belongs to a batch run, and this job runs a command (run).")
        return {}
    defaults = {"input": "{file.path}"} if "watch" in given else {}
    found = {}
    for name in ("model", "input", "output"):
        if name not in given and name not in defaults:
            raise Wrong(name, "it is missing. A job has model, input and output; or run, a command.")
        found[name] = _text({**defaults, **given}, name)
    return found | {name: _text(given, name) for name in ("quarantine", "where") if name in given}


def _command(given: Mapping[str, Any]) -> tuple[str, ...]:
    if "run" not in given:
        return ()
    try:
        words = shlex.split(given["run"]) if isinstance(given["run"], str) else _list(given, "run")
    except ValueError as error:
        raise Wrong("run", f"{given['run']!r} cannot be cut into words: {str(error).lower()}.") from None
    if not words:
        raise Wrong("run", 'it is empty. It is a command, such as "python train.py", or a list of its words.')
    return tuple(words)


def _schedule(given: Mapping[str, Any], zone: ZoneInfo) -> Schedule | None:
    if "every" in given:
        return Every(seconds_of(given["every"], "every"))
    return Cron(_text(given, "schedule"), zone) if "schedule" in given else None


def _watch(given: Mapping[str, Any]) -> str | None:
    if "watch" not in given:
        return None
    place = _text(given, "watch")
    if "://" in place:
        raise Wrong("watch", f"{place!r} is no folder of this machine, nor a glob such as incoming/*.csv.")
    return place


def _windows(given: Mapping[str, Any], zone: ZoneInfo) -> tuple[Window, ...]:
    if "window" not in given:
        return ()
    found = given["window"] if isinstance(given["window"], list) else [given["window"]]
    if not found:
        raise Wrong("window", "the list is empty: the job could never run.")
    return tuple(window_of(one, zone) for one in found)


def _options(given: Mapping[str, Any]) -> BatchOptions:
    found: dict[str, Any] = {}
    for name, field_name in BATCH.items():
        if name not in given:
            continue
        value, default = given[name], getattr(BatchOptions(), field_name)
        if name in ("map", "rename"):
            value = {str(key): _as_text(text) for key, text in _table(given, name).items()}
        elif name in ("keep", "key"):
            value = tuple(_list(given, name))
        elif isinstance(default, bool):
            if not isinstance(value, bool):
                raise Wrong(name, f"it is true or false, and {value!r} was given.")
        elif name in ("workers", "batch_rows", "split_rows", "limit"):
            value = _count(given, name)
        elif name == "row_timeout":
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise Wrong(name, f"it is a number of seconds, and {value!r} was given.")
        elif name == "max_bad_rows":
            if isinstance(value, bool) or not isinstance(value, int | str):
                raise Wrong(name, f'it is a number of rows or a share such as "0.5%", and {value!r} was given.')
        else:
            value = _text(given, name)
        found[field_name] = value
    try:
        return BatchOptions(**found)
    except UsageError as error:
        at_fault = next((name for name, inner in BATCH.items() if error.message.startswith(inner)), "")
        raise Wrong(at_fault, error.message) from None


def _check_placeholders(spec: JobSpec) -> None:
    texts = [
        *spec.texts.items(),
        *(("run", word) for word in spec.command),
        *(("set", t) for t in spec.settings.values()),
    ]
    has_file = spec.watch is not None or spec.after
    for name, text in texts:
        if "file" in placeholders(text, name) and not has_file:
            raise Wrong(name, f"{text!r} names the file that arrived, and this job does not watch for files (watch).")
        filled(text, Occasion(0, spec.zone, "/folder/file.csv"), name)
    output = spec.texts.get("output", "")
    once = spec.schedule is None and spec.watch is None and not spec.after
    if output and not (once or spec.options.overwrite or placeholders(output, "output") or "://" in output):
        raise Wrong(
            "output",
            f"every firing would write the same {output!r}. Give each its own, such as scores-{{time:%Y-%m-%d}}.parquet"
            f"{' or {file.stem}.parquet' if spec.watch else ''}; or replace it each time: overwrite = true",
        )


def _text(given: Mapping[str, Any], name: str) -> str:
    if not isinstance(given[name], str | Path) or not str(given[name]):
        raise Wrong(name, f"it is a text, and {given[name]!r} was given.")
    return str(given[name])


def _as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _list(given: Mapping[str, Any], name: str) -> list[str]:
    value = given.get(name, [])
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise Wrong(name, f"it is a list of texts, and {value!r} was given.")
    return list(value)


def _table(given: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = given.get(name, {})
    if not isinstance(value, dict):
        raise Wrong(name, f'it is a table, such as {{ amount = "total" }}, and {value!r} was given.')
    return value


def _count(given: Mapping[str, Any], name: str) -> int:
    value = given.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Wrong(name, f"it is a whole number, and {value!r} was given.")
    return value


def _one_of(given: Mapping[str, Any], name: str, known: tuple[str, ...]) -> Any:
    value = given.get(name, known[0])
    if value not in known:
        raise Wrong(name, f"it is one of {', '.join(known)}, and {value!r} was given.")
    return value
