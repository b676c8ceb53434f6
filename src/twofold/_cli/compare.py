"""twofold compare: both modes over the same rows."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import click

from twofold._cli.base import ModelChoice, at_least, json_option, model_options, option, pairs, subcommand
from twofold._cli.units import COUNT, DURATION, HOURLY


@subcommand(
    "compare",
    examples="""
Examples:
  twofold compare parity.py numbers.parquet
  twofold compare parity.py numbers.parquet --p99 50ms --price 0.10/h --rows-per-day 2M
  twofold compare fraud.onnx sample.csv --map features=f0..f29 --limit 50000 --json

Latency is that of single rows asked one at a time over HTTP. Its p99 is the latency of which it is 99 % certain that at
most 1 % of all answers take longer; that takes 459 samples at least. Throughput and CPU time of real time are those at
--connections busy connections. Batch is measured as a whole process. Floats count as the same when they differ by no
more than the usual tolerance of their width; all else must be equal.

Exit code: 0 the answers are the same; 4 they differ beyond tolerance; 1 broken input or model; 2 usage.
""",
)
@model_options
@click.argument("source", metavar="INPUT")
@option(
    "--limit",
    "limit_rows",
    type=at_least(1),
    default=10_000,
    metavar="N",
    help="Compare over the first N rows of INPUT.",
)
@option(
    "--connections",
    type=at_least(1),
    default=64,
    metavar="N",
    help="Connections of the throughput measurement.",
)
@option(
    "--seconds",
    "min_seconds",
    type=click.FloatRange(0, min_open=True),
    default=3.0,
    metavar="SECONDS",
    help="The throughput measurement takes this long at least.",
)
@option(
    "--workers",
    type=at_least(1),
    metavar="N",
    help="How many processes compute, in both modes. Default: one a core.",
)
@option(
    "--map",
    "columns",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="Read a field from a column of another name, as in batch. May be repeated.",
)
@option(
    "--p99",
    "p99_s",
    type=DURATION,
    metavar="TIME",
    help="Seek the highest rate of requests at random moments of which 99 % are answered within this time.",
)
@option("--price", "core_hour", type=HOURLY, metavar="X/h", help="Of a core for an hour: shows what both modes cost.")
@option("--rows-per-day", type=COUNT, metavar="N", help="For the prices. Default: the rows compared.")
@json_option
def command(
    model: ModelChoice,
    source: str,
    columns: tuple[str, ...],
    as_json: bool,
    limit_rows: int,
    connections: int,
    min_seconds: float,
    workers: int | None,
    **need: Any,
) -> int:
    """Answer the rows of INPUT in real time (a real server, over HTTP) and in batch; show both side by side, and
    whether their answers are the same."""
    from twofold._compare.measure import measure
    from twofold._options import CompareOptions

    options = CompareOptions(
        limit_rows=limit_rows,
        connections=connections,
        min_seconds=min_seconds,
        workers=workers,
        map=pairs("--map", columns, "FIELD=COLUMN"),
        **need,
    )
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    found = measure(model.ref().to_json(), source, options, _say)
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else str(found))
    return found.exit_code


def _say(stage: str) -> None:
    """What is going on, for somebody who waits at a terminal."""
    if sys.stderr.isatty():
        click.echo(f"twofold: {stage}", err=True)
