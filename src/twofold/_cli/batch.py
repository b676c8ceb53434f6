"""twofold batch: stored data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from twofold._cli.base import ModelChoice, at_least, json_option, model_options, names, option, pairs, subcommand
from twofold._cli.units import SIZE, WORKERS
from twofold._errors import UsageError

if TYPE_CHECKING:
    from twofold._batch import BatchReport
    from twofold._options import BatchOptions


@subcommand(
    "batch",
    examples="""
Examples:
  twofold batch parity.py numbers.parquet labels.parquet
  twofold batch fraud.onnx 'data/*.csv.gz' scores/ --map features=f0..f29 --keep id
  twofold batch parity.py numbers.csv labels.jsonl --dry-run           what would it do, and how long
  twofold batch parity.py numbers.csv labels.jsonl --limit 1000        try it on a few rows
  twofold batch parity.py numbers.csv labels.jsonl --limit 9 --in-process       stop in it: breakpoint()
  twofold batch fixed.py labels.parquet.twofold/quarantine.jsonl rest.parquet
  twofold batch fraud.onnx /shared/rows/ /shared/scores/ --executor ray --address 10.0.0.1:6379
  twofold batch parity.py 'sqlite:///app.db?query=select number from t where day > 9' labels.csv
  twofold batch ocr.py 'files:scans/*.png' texts.jsonl --row-timeout 60
  zcat numbers.jsonl.gz | twofold batch parity.py - labels.parquet
  twofold batch score.py users.parquet 'postgresql://host/shop?table=scores' --key id --quarantine bad.jsonl
  twofold batch parity.py s3://bucket/numbers/ s3://bucket/labels/
  twofold batch parity.py numbers.csv - --output-format csv | head

INPUT is a file, a folder or a quoted glob of .parquet, .csv, .jsonl or .arrow files (.csv and .jsonl also .gz, .zst),
here or in an object store (s3://, gs://, az://); a database's sqlite:///FILE?table=NAME or postgresql://…?query=SQL;
files:PATTERN, a row for each file with path, bytes, size and modified; or -, standard input (JSON lines).
OUTPUT is one such file or a folder (ends with /), here or in an object store; a database's table; or -, standard
output. It appears all at once, when it is complete. A run that was stopped goes on where it was when the same command
is started again; one to standard output keeps nothing. Rows without an answer go to OUTPUT.twofold/quarantine.jsonl (or
--quarantine), which is itself an input.

Exit code: 0 done; 1 broken input or model, full disk, too many bad rows; 2 usage, or OUTPUT may not be overwritten;
3 done, with rows in quarantine; 130 and 143 stopped by Ctrl-C and SIGTERM.
""",
)
@model_options
@click.argument("source", metavar="INPUT")
@click.argument("output", metavar="OUTPUT")
@option(
    "--workers",
    type=WORKERS,
    default="auto",
    metavar="N|auto",
    help="How many places compute at once. auto: one a core, fewer for a model that computes in threads of its own; "
    "more are tried where it waits for something else than a core.",
)
@option(
    "--memory",
    "memory_bytes",
    type=SIZE,
    metavar="SIZE",
    help="What all processes of the run may hold together, say 2GiB: workers and rows in hand are planned to fit, "
    "and a worker that outgrows its share is ended and its rows are computed fewer at a time.",
)
@option(
    "--priority",
    type=click.Choice(["normal", "idle"]),
    default="normal",
    help="idle: compute, read and write when nothing else on the machine does.",
)
@option(
    "--batch-rows",
    type=at_least(1),
    metavar="N",
    help="The most rows that one model call sees. Default: as many as make a row cheap, by a few calls at the start.",
)
@option(
    "--unsorted",
    is_flag=True,
    help="A model call sees rows that are neighbours in INPUT. Default: texts and lists of like length share a call "
    "where that is cheaper; the output has INPUT's order either way.",
)
@option(
    "--split-rows",
    type=at_least(1),
    metavar="N",
    help="Rows between two commits. Default: about two seconds of work.",
)
@option(
    "--map",
    "columns",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="Read a field from a column of another name; a vector from a range of columns: features=f0..f29. "
    "May be repeated.",
)
@option("--keep", metavar="COLUMN,…", help="The input's columns that OUTPUT has. Default: all; '' for none.")
@option(
    "--rename",
    metavar="ANSWER=COLUMN",
    multiple=True,
    help="Write an answer to a column of another name. May be repeated.",
)
@option("--limit", "limit_rows", type=at_least(1), metavar="N", help="Only the first N rows (that pass --where).")
@option(
    "--input-format",
    type=click.Choice(["jsonl", "csv", "arrow"]),
    help="What INPUT - (standard input) holds. Default: jsonl.",
)
@option(
    "--where",
    metavar="TEXT",
    help="Only the rows that pass: comparisons of a column with a value, joined by and. "
    "amount > 0 and country = 'DE'. What statistics or names of folders rule out is not read.",
)
@option(
    "--max-bad-rows",
    metavar="N|x%",
    help="Stop with exit 1 when more rows than this have no answer; up to that many, exit 0.",
)
@option("--overwrite", is_flag=True, help="Replace OUTPUT, whoever made it.")
@option(
    "--quarantine",
    metavar="FILE",
    help="Where rows without an answer go. Default: OUTPUT.twofold/quarantine.jsonl; a table needs this option.",
)
@option(
    "--key",
    metavar="COLUMN",
    multiple=True,
    help="In a table: the rows that have the same value in this column are updated, all others stay. May be repeated.",
)
@option(
    "--state",
    metavar="FOLDER",
    default=".twofold/runs",
    help="What must lie on this machine while OUTPUT does not. Default: .twofold/runs",
)
@option(
    "--output-format",
    type=click.Choice(["jsonl", "csv", "arrow"]),
    help="What goes to standard output (OUTPUT -). Default: jsonl.",
)
@option(
    "--row-timeout",
    "row_timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=300.0,
    metavar="SECONDS",
    help="How much longer than usual a row may take. A call that hangs is ended, its rows are tried apart, and the row "
    "that hangs alone goes to quarantine.",
)
@option(
    "--dry-run",
    is_flag=True,
    help="Write nothing: show the columns that were matched, the splits, what the first rows give and about how long "
    "all would take.",
)
@option(
    "--events",
    metavar="FILE|-",
    help="Add what happens to this file as JSON lines, for programs: plan, splits, rows in quarantine, lost workers, "
    "progress, the end. -: standard output.",
)
@option(
    "--in-process",
    is_flag=True,
    help="Compute here, one split after the other, without workers: a debugger, or breakpoint(), reaches the row. "
    "What hangs or ends its process does so to the run.",
)
@option(
    "--executor",
    type=click.Choice(["local", "ray"]),
    default="local",
    help="Where rows are computed: in processes of this machine, or on the nodes of a Ray cluster, all of which must "
    "see INPUT and OUTPUT under the same paths; the model is shipped to them.",
)
@option("--address", metavar="HOST:PORT", help="The Ray cluster. Default: RAY_ADDRESS, or the one of this machine.")
@json_option
def command(
    model: ModelChoice, source: str, output: str, as_json: bool, keep: str | None, dry_run: bool, **rest: Any
) -> int:
    """Answer every row of INPUT with MODEL and write OUTPUT: the same rows in the same order, with all their columns
    and the answers beside them."""
    if rest["priority"] == "idle":
        from twofold._batch.priority import be_idle

        be_idle()
    from twofold._batch import run_batch
    from twofold._batch.places import shown
    from twofold._batch.progress import showing
    from twofold._options import BatchOptions

    columns, rename = pairs("--map", rest.pop("columns"), "FIELD=COLUMN"), pairs("--rename", rest.pop("rename"))
    options = BatchOptions(map=columns, rename=rename, keep=None if keep is None else names(keep), **rest)
    if dry_run:
        return _dry_run(model, source, output, options, as_json=as_json)
    if as_json and options.events == "-":
        raise UsageError("--json and --events - would mix on standard output. The last event, done, is the report.")
    with showing(shown(output), plain=options.in_process) as on_progress:
        report = run_batch(model.ref(), source, output, options, on_progress=on_progress)
    click.echo(summary(report), err=True)
    if as_json:
        values = report.to_json()
        click.echo(json.dumps({key: values[key] for key in SHOWN}), err=output == "-")
    return report.exit_code


def _dry_run(model: ModelChoice, source: str, output: str, options: BatchOptions, *, as_json: bool) -> int:
    from twofold._batch.dry import dry_run
    from twofold._cli.dry import text

    found = dry_run(model.ref(), source, output, options)
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else text(found))
    return 0


SHOWN = (
    "rows_in",
    "rows_out",
    "rows_quarantined",
    "seconds",
    "rows_per_second",
    "splits",
    "splits_resumed",
    "output",
)


def summary(report: BatchReport) -> str:
    """What a run did, for people: one line, and the rows in quarantine."""
    from twofold._batch.report import error_lines

    if report.splits and report.splits_resumed == report.splits:
        lines = [f"{report.output}: {report.rows_out:,} rows, all done before"]
    else:
        resumed = f", {report.splits_resumed} of {report.splits} splits done before" if report.splits_resumed else ""
        speed = f"{report.seconds:.3g} s ({report.rows_per_second:,.0f} rows/s{resumed})"
        lines = [f"{report.output}: {report.rows_out:,} rows in {speed}"]
    if report.rows_quarantined:
        rows = "1 row is" if report.rows_quarantined == 1 else f"{report.rows_quarantined:,} rows are"
        lines.append(f"{rows} in quarantine: {report.quarantine}")
        lines += error_lines(report.reasons, report.first_errors)
    return "\n".join(lines)
