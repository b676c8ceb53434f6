"""twofold runs: what batch runs did, from their records."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from twofold._cli.base import json_option, option, subcommand, subgroup
from twofold._errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from twofold._batch.history import Rate, RunRecord, Start

BAR = 30


@subcommand(
    "runs list",
    examples="""
Examples:
  twofold runs list
  twofold runs list /data/scores --json
  watch twofold runs list
""",
)
@click.argument("folder", default=".")
@json_option
def list_command(folder: str, as_json: bool) -> int:
    """List the batch runs below FOLDER (default: here), the newest first.

    Their records lie beside their outputs, in OUTPUT.twofold/, or, for tables and object stores, in .twofold/runs/.
    """
    from twofold._batch.history import find_runs

    if not Path(folder).is_dir():
        raise UsageError(f"{folder!r} is no folder.")
    found = find_runs(Path(folder))
    if as_json:
        click.echo(json.dumps([_without_starts(run) for run in found], ensure_ascii=False))
    elif not found:
        click.echo(f"No run has its record in {folder!r} or below.", err=True)
    else:
        head = ["RUN", "STATE", "BEGUN (UTC)", "ROWS", "QUARANTINED", "SPLITS", "OUTPUT"]
        click.echo(table([head, *(_line(run) for run in found)], right={3, 4, 5}))
    return 0


@subcommand(
    "runs show",
    examples="""
Examples:
  twofold runs show labels.parquet
  twofold runs show a6060f2a5fb6 --folder /data/scores
  twofold runs show 'postgresql://db/app?table=scores' --json
""",
)
@click.argument("run")
@option("--folder", default=".", metavar="FOLDER", help="Where to look for a RUN that is named by its id or its table.")
@json_option
def show_command(run: str, folder: str, as_json: bool) -> int:
    """Show what a batch run did.

    Its state, rows in and out, what is in quarantine and what is committed, each time that it was started, and how fast
    rows were committed over time.

    RUN is its OUTPUT, the folder of its record, or its id as `twofold runs list` shows it.
    """
    from twofold._batch.history import timeline

    found = _the_run(run, Path(folder))
    rates = timeline(Path(found.folder))
    if as_json:
        from dataclasses import asdict

        timed = [{**asdict(rate), "rows_per_second": round(rate.rows_per_second, 3)} for rate in rates]
        click.echo(json.dumps({**found.to_json(), "timeline": timed}, ensure_ascii=False))
    else:
        click.echo(text(found, rates))
    return 0


@subgroup(
    "runs",
    examples="""
Examples:
  twofold runs list
  twofold runs show labels.parquet
""",
    commands=[list_command, show_command],
)
def command() -> None:
    """List batch runs, and show what one did. Nothing is changed, and nothing is asked of a database or an object
    store: records and logs are read where they lie."""


def _without_starts(run: RunRecord) -> dict[str, Any]:
    return {key: value for key, value in run.to_json().items() if key != "starts"}


def _the_run(name: str, folder: Path) -> RunRecord:
    from twofold._batch.history import find_runs, read_run
    from twofold._batch.places import is_url, shown

    name = shown(name)
    if not is_url(name):
        given = Path(name.rstrip("/"))
        for place in (given.with_name(f"{given.name}.twofold"), given):
            run = read_run(place) if given.name else None
            if run is not None:
                return run
    there = find_runs(folder)
    matching = [run for run in there if run.id.startswith(name) or name in (run.output, Path(run.folder).name)]
    if len({run.folder for run in matching}) == 1:
        return matching[0]
    if matching:
        places = ", ".join(run.folder for run in matching)
        raise UsageError(f"{name!r} is the name of {len(matching)} runs. Name one by its folder: {places}.")
    known = ", ".join(run.output for run in there[:5])
    hint = f"The newest there: {known}." if known else "None is there: --folder says where to look."
    raise UsageError(f"There is no run {name!r} in {str(folder)!r} or below. {hint}")


def _line(run: RunRecord) -> list[str]:
    splits = f"{run.splits:,}" if run.splits_total in (None, run.splits) else f"{run.splits:,} of {run.splits_total:,}"
    return [
        run.id,
        run.state,
        _time(run.begun),
        f"{run.rows_in:,}" if run.rows_total in (None, run.rows_in) else f"{run.rows_in:,} of {run.rows_total:,}",
        f"{run.rows_quarantined:,}" if run.rows_quarantined else "",
        splits,
        run.output,
    ]


def text(run: RunRecord, rates: Sequence[Rate]) -> str:
    """A run, for people."""
    total = "" if run.rows_total in (None, run.rows_in) else f" of {run.rows_total:,}"
    bad = f", {run.rows_quarantined:,} in quarantine" if run.rows_quarantined else ""
    facts = [
        ["output", run.output],
        ["state", _state(run)],
        ["rows", f"{run.rows_in:,}{total} in, {run.rows_out:,} out{bad}"],
        ["splits", f"{run.splits:,}{'' if run.splits_total is None else f' of {run.splits_total:,}'} committed"],
        ["model", f"{run.model}  version {run.model_version}".strip()],
        ["input", f"{run.inputs:,} file{'' if run.inputs == 1 else 's'}"],
        *([["options", _options(run.options)]] if run.options else []),
        ["cut", _options(run.shape)],
        ["record", run.folder],
        *([["quarantine", run.quarantine]] if run.quarantine else []),
        *([f"  {count:,}", f"× {reason}"] for reason, count in sorted(run.reasons.items(), key=lambda item: -item[1])),
    ]
    parts = [f"run {run.id}", table(facts)]
    if run.starts:
        head = ["START (UTC)", "PROCESS", "SECONDS", "SPLITS", "ROWS", "LOST WORKERS", "ENDED"]
        parts.append(table([head, *(_start_line(start) for start in run.starts)], right={2, 3, 4, 5}))
    if any(rate.rows for rate in rates):
        parts.append(_rates(rates, len(run.starts)))
    return "\n\n".join(parts)


def _state(run: RunRecord) -> str:
    if run.state == "working":
        return f"working{f' (process {run.process})' if run.process else ''}"
    if run.state == "stopped":
        return "stopped: what is committed stays; start the same command again to go on"
    return "done"


def _options(options: dict[str, Any]) -> str:
    return ", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in options.items())


def _start_line(start: Start) -> list[str]:
    return [
        _time(start.at),
        f"{start.process or ''}",
        "" if start.seconds is None else f"{start.seconds:,.1f}",
        f"{start.splits:,}",
        f"{start.rows:,}",
        f"{start.workers_lost:,}" if start.workers_lost else "",
        f"{start.ended or 'killed'}{f': {_short(start.message)}' if start.message else ''}",
    ]


def _short(message: str) -> str:
    from twofold._errors import shorten

    return shorten(message.partition(";")[0])


def _rates(rates: Sequence[Rate], n_starts: int) -> str:
    most = max(rate.rows_per_second for rate in rates)
    lines = [[*(["START"] if n_starts > 1 else []), "FROM", "ROWS/S", "QUARANTINED", ""]]
    for rate in rates:
        bar = "█" * round(BAR * rate.rows_per_second / most)
        bad = f"{rate.rows_quarantined:,}" if rate.rows_quarantined else ""
        first = [f"{rate.start + 1}"] if n_starts > 1 else []
        lines.append([*first, _clock(rate.begin), f"{rate.rows_per_second:,.0f}", bad, bar])
    at = len(lines[0]) - 3
    return table(lines, right={at - 1, at, at + 1})


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def _time(at: str) -> str:
    return at[:19].replace("T", " ")


def table(rows: Sequence[Sequence[str]], right: set[int] | None = None) -> str:
    """Lines of cells below each other; the columns `right` are numbers."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if column in (right or ()) else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
