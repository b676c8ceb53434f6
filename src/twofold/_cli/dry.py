"""What `twofold batch --dry-run` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twofold._cli.runs import table

if TYPE_CHECKING:
    from twofold._batch.dry import DryRun, Sample

SHOWN_NAMES = 12
STATES = {
    "begins": "",
    "goes on": "; goes on with a run that was stopped",
    "done": "; all of it is done already",
}


def text(run: DryRun) -> str:
    """A plan, for people."""
    files = f"{run.files:,} file{'' if run.files == 1 else 's'}"
    calls = "rows of like length share one" if run.by_length else "in the input's order"
    places = f"{run.places} place{'' if run.places == 1 else 's'}"
    facts = [
        ["input", f"{run.input}: {files}, {run.rows:,} rows, {_size(run.bytes)}"],
        ["output", f"{run.output}{STATES[run.state]}"],
        ["model", f"{run.model}  version {run.model_version}"],
        *_named("fields", [f"{name} <- {_columns(column)}" for name, column in run.columns.items()]),
        *_named("defaults", list(run.defaults)),
        *_named("kept", [f"{name} ({run.types[name]})" for name in run.kept]),
        *_named("left out", list(run.unread)),
        *_named("answers", [f"{name} -> {column} ({run.types[column]})" for name, column in run.answers.items()]),
        ["splits", f"{run.splits:,} of up to {run.split_rows:,} rows, {run.splits_done:,} done before"],
        ["calls", f"up to {run.batch_rows:,} rows each, {calls}; at {places} at once"],
        *_sampled(run.sample),
        ["time", _time(run)],
    ]
    return "\n".join(["dry run: nothing is written", table(facts)])


def _columns(column: str | list[str]) -> str:
    return column if isinstance(column, str) else f"{column[0]} … {column[-1]} ({len(column)} columns)"


def _named(title: str, given: list[str]) -> list[list[str]]:
    """One line for each of a few names; none where there is none."""
    shown = given[:SHOWN_NAMES]
    if len(given) > SHOWN_NAMES:
        shown.append(f"and {len(given) - SHOWN_NAMES:,} more")
    return [[title if not at else "", name] for at, name in enumerate(shown)]


def _sampled(sample: Sample | None) -> list[list[str]]:
    from twofold._batch.report import error_lines

    if sample is None or not sample.rows_in + sample.rows_left_out:
        return []
    left_out = f", {sample.rows_left_out:,} left out by --where" if sample.rows_left_out else ""
    bad = f", {sample.rows_quarantined:,} without an answer" if sample.rows_quarantined else ""
    lines = [["sample", f"{sample.rows_in:,} rows tried, {sample.rows_out:,} answered{bad}{left_out}"]]
    return lines + [["", line.strip()] for line in error_lines(sample.reasons, sample.first_errors)]


def _time(run: DryRun) -> str:
    if run.seconds is None:
        return "unknown: no row of the sample could be timed"
    if run.sample is None or not run.rows_left:
        return "none: nothing is left to do"
    speed = run.sample.rows_per_second * run.places
    return f"about {_clock(run.seconds)} for {run.rows_left:,} rows ({speed:,.0f} rows/s), and the model's start"


def _clock(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _size(n_bytes: int) -> str:
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.3g} {unit}"
