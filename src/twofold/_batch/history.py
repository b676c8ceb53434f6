"""The runs whose records lie in a folder, read without changing anything: `twofold runs`.

A record is a `run.json`: beside its output in OUTPUT.twofold/, or, where the output is a table or an object, in a
folder of its own below .twofold/runs/. The log beside it says what the record does not: names, times, splits.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from twofold._batch.events import ID_CHARACTERS, LOG, read_events

__all__ = ["Rate", "RunRecord", "Start", "find_runs", "read_run", "timeline"]

STATE = ".twofold"
BINS = 20
TOLD = frozenset(["format", "model", "signature", "inputs"])
"""What of a fingerprint has another place, or none, here."""
UNSET: tuple[object, ...] = (None, False, [], {})
NICE_S = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 43200, 86400)

Fields = dict[str, Any]


@dataclass(frozen=True)
class Start:
    """One time that the run was started. `ended`: done, stopped, working; "" where it was killed without a word."""

    at: str
    process: int | None
    host: str
    splits_done: int
    """By earlier starts."""
    splits: int
    """It committed itself."""
    rows: int
    workers_lost: int
    seconds: float | None
    ended: str
    message: str = ""


@dataclass(frozen=True)
class RunRecord:
    """A run. `state`: working, done, stopped; `rows_total` and `splits_total` are None where no log says them."""

    id: str
    state: str
    output: str
    folder: str
    model: str
    model_version: str
    inputs: int
    rows_in: int
    rows_out: int
    rows_quarantined: int
    rows_total: int | None
    splits: int
    splits_total: int | None
    begun: str
    seconds: float | None
    """Of all its starts together, as far as the log says."""
    process: int | None
    """That works at it."""
    reasons: dict[str, int] = field(default_factory=dict)
    quarantine: str | None = None
    options: Fields = field(default_factory=dict)
    """That shape the output."""
    shape: Fields = field(default_factory=dict)
    starts: tuple[Start, ...] = ()

    def to_json(self) -> Fields:
        return asdict(self)


@dataclass(frozen=True)
class Rate:
    """What was committed in a piece of a start's time: `begin` seconds after the start."""

    start: int
    begin: float
    seconds: float
    rows: int
    rows_quarantined: int

    @property
    def rows_per_second(self) -> float:
        return self.rows / self.seconds


def find_runs(folder: Path) -> list[RunRecord]:
    """The runs below a folder, the one that was begun last first."""
    found = [run for place in _places(folder) if (run := read_run(place)) is not None]
    return sorted(found, key=lambda run: (run.begun, run.output), reverse=True)


def _places(folder: Path) -> Iterator[Path]:
    for where, folders, files in os.walk(folder):
        path = Path(where)
        if "run.json" in files:
            yield path
        if path.name.endswith(STATE) and "run.json" in files:
            folders.clear()  # its parts
        folders[:] = [name for name in folders if name == STATE or not name.startswith(".")]


def read_run(folder: Path) -> RunRecord | None:
    """The run whose record lies in this folder; None where there is none that this version knows."""
    try:
        record = json.loads((folder / "run.json").read_bytes())
        fingerprint, shape = dict(record["fingerprint"]), dict(record["shape"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    events = read_events(folder / LOG)
    begun: Fields = next((event for event in events if event["event"] == "started"), {})
    plan: Fields = next((event for event in reversed(events) if event["event"] == "plan"), {})
    finished, process = record.get("finished"), _working(folder)
    done = finished or _committed(folder, events)
    state = "working" if process is not None else "done" if finished else "stopped"
    starts = tuple(_starts(events, state))
    options = {key: value for key, value in fingerprint.items() if key not in TOLD and value not in UNSET}
    return RunRecord(
        id=_digest(fingerprint)[:ID_CHARACTERS],
        state=state,
        output=_output(folder, begun),
        folder=str(folder),
        model=plan.get("model", ""),
        model_version=fingerprint.get("model", ""),
        inputs=len(fingerprint.get("inputs", ())),
        rows_in=done["rows_in"],
        rows_out=done["rows_out"],
        rows_quarantined=done["rows_quarantined"],
        rows_total=plan.get("rows"),
        splits=done["splits"],
        splits_total=plan.get("splits", done["splits"] if finished else None),
        begun=begun.get("at", _modified(folder / "run.json")),
        seconds=sum(start.seconds for start in starts if start.seconds is not None) if starts else None,
        process=process,
        reasons=done.get("reasons", {}),
        quarantine=_quarantine(folder, events),
        options=options,
        shape=shape,
        starts=starts,
    )


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _output(folder: Path, begun: Fields) -> str:
    """Beside its output, a record's folder says its name, from here; else the log does."""
    if folder.name.endswith(STATE):
        return str(folder.with_name(folder.name.removesuffix(STATE)))
    return begun.get("output") or folder.name


def _modified(path: Path) -> str:
    from datetime import UTC

    return datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _working(folder: Path) -> int | None:
    """The process that holds the run's lock; 0 where somebody does and nobody says who."""
    from twofold._batch.stores.locks import holder_of

    return holder_of(folder)


def _committed(folder: Path, events: list[Fields]) -> Fields:
    """What is committed of a run that is not finished: by its parts where they lie here, else by its log."""
    parts, splits = folder / "parts", folder / "splits"
    if parts.is_dir():
        reports: list[Fields] = []
        with suppress(OSError, ValueError):
            reports.extend(
                json.loads((splits / f"{part.name.partition('.')[0]}.json").read_bytes()) for part in parts.iterdir()
            )
        return _sum(reports)
    return _sum(list({event["split"]: event for event in events if event["event"] == "split_done"}.values()))


def _sum(reports: list[Fields]) -> Fields:
    found: Fields = {key: sum(report[key] for report in reports) for key in ("rows_in", "rows_out", "rows_quarantined")}
    reasons: dict[str, int] = {}
    for report in reports:
        for reason, count in report.get("reasons", {}).items():
            reasons[reason] = reasons.get(reason, 0) + count
    return {**found, "splits": len(reports), "reasons": reasons}


def _quarantine(folder: Path, events: list[Fields]) -> str | None:
    told = next((event["quarantine"] for event in reversed(events) if event.get("quarantine")), None)
    beside = folder / "quarantine.jsonl"
    return told or (str(beside) if beside.is_file() else None)


def _by_start(events: list[Fields]) -> list[list[Fields]]:
    found: list[list[Fields]] = []
    for event in events:
        if event["event"] == "started" or not found:
            found.append([])
        found[-1].append(event)
    return found


def _starts(events: list[Fields], state: str) -> Iterator[Start]:
    groups = _by_start(events)
    for number, group in enumerate(groups):
        began, last = group[0], group[-1]
        kinds = [event["event"] for event in group]
        plan: Fields = next((event for event in group if event["event"] == "plan"), {})
        done = [event for event in group if event["event"] == "split_done"]
        ended = last["event"] if last["event"] in ("done", "stopped") else ""
        if not ended and number == len(groups) - 1 and state != "stopped":
            ended = state
        yield Start(
            at=began["at"],
            process=began.get("process"),
            host=began.get("host", ""),
            splits_done=plan.get("splits_done", 0),
            splits=len(done),
            rows=sum(event["rows_in"] for event in done),
            workers_lost=kinds.count("worker_lost"),
            seconds=_seconds(began, last),
            ended=ended,
            message=last.get("message", "") if ended == "stopped" else "",
        )


def _seconds(first: Fields, last: Fields) -> float:
    return round((datetime.fromisoformat(last["at"]) - datetime.fromisoformat(first["at"])).total_seconds(), 3)


def timeline(folder: Path, bins: int = BINS) -> list[Rate]:
    """How fast rows were committed, start by start, in about so many pieces of the time that the log covers."""
    groups = _by_start(read_events(folder / LOG))
    total_s = sum(_seconds(group[0], group[-1]) for group in groups)
    width_s = next((width for width in NICE_S if width * bins >= total_s), NICE_S[-1])
    found = []
    for number, group in enumerate(groups):
        length_s = _seconds(group[0], group[-1])
        done = [(_seconds(group[0], event), event) for event in group if event["event"] == "split_done"]
        n_pieces = max(1, round(length_s / width_s))
        for at in range(n_pieces):
            begin, end = at * width_s, (at + 1) * width_s if at < n_pieces - 1 else math.inf
            inside = [event for when, event in done if begin <= when < end]
            rows, bad = (sum(event[key] for event in inside) for key in ("rows_in", "rows_quarantined"))
            found.append(Rate(number, begin, max(min(end, length_s) - begin, 0.001), rows, bad))
    return found
