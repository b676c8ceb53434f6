"""twofold verify: the same rows, asked in every way there is."""

from __future__ import annotations

import json
import signal
import sys
from typing import Any

import click

from twofold._cli.base import ModelChoice, at_least, json_option, model_options, option, pairs, subcommand


@subcommand(
    "verify",
    examples="""
Examples:
  twofold verify parity.py numbers.parquet
  twofold verify fraud.onnx sample.csv --map features=f0..f29 --limit 5000 --json
  twofold verify fraud.onnx sample.parquet --rtol 0 --atol 0    every byte counts
  twofold verify new.onnx sample.parquet --expect score --against old.onnx
  twofold verify new.onnx sample.parquet --against http://10.0.0.7:8000/v2/models/fraud

Each row is asked alone, and then alone again, in another order and in a fresh process; in batches of
2, 4, 8 … and of all rows, in order and shuffled; through a server (HTTP JSON, lists, OIP binary, Arrow,
CSV); and in batch (DATA itself, Parquet, CSV). Where answers differ from those of the rows alone, an
experiment finds the cause: unseeded randomness, state kept between calls, row order, batch-dependent
preprocessing, batch size, coercion of a field through a protocol, or the place where the model runs.

A URL whose path has /v2/models/NAME is asked by the Open Inference Protocol, any other with a row as a
JSON object (no path: /predict). The rows of a file of predictions are those of DATA, in order; its columns
have the names of outputs. Another model reads DATA by its own signature.

Floats are the same when they differ by no more than --atol + --rtol * |the row's answer alone|; all else
must be equal.

Exit code: 0 the answers are the same; 4 they differ; 1 broken input or model; 2 usage.
""",
)
@model_options
@click.argument("source", metavar="DATA")
@option(
    "--limit",
    "limit_rows",
    type=at_least(1),
    default=1000,
    metavar="N",
    help="Ask the first N rows of DATA.",
)
@option(
    "--rtol",
    type=click.FloatRange(0),
    metavar="X",
    help="Relative tolerance of floats. Default: 1e-7 of 64 bits, 1.3e-6 of 32, 1e-3 of 16.",
)
@option(
    "--atol",
    type=click.FloatRange(0),
    metavar="X",
    help="Absolute tolerance of floats. Default: 1e-7 of 64 bits, 1e-5 of less.",
)
@option(
    "--map",
    "columns",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="Read a field from a column of another name, as in batch. May be repeated.",
)
@option(
    "--expect",
    metavar="[OUTPUT=]COLUMN",
    multiple=True,
    help="Compare with the answers that stand in this column of DATA. May be repeated.",
)
@option(
    "--against",
    metavar="MODEL|URL|FILE",
    multiple=True,
    help="Compare with another model, what is served at a URL, or a file of predictions. May be repeated.",
)
@json_option
def command(model: ModelChoice, source: str, columns: tuple[str, ...], as_json: bool, **compared: Any) -> int:
    """Ask the rows of DATA in every way there is, alone and together, in both modes; show whether the answers are the
    same, and if not, why."""
    from twofold._verify.check import VerifyOptions
    from twofold._verify.verify import verify

    options = VerifyOptions(map=pairs("--map", columns, "FIELD=COLUMN"), **compared)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    found = verify(model.ref().to_json(), source, options, _say)
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else str(found))
    return found.exit_code


def _say(stage: str) -> None:
    """What is going on, for somebody who waits at a terminal."""
    if sys.stderr.isatty():
        click.echo(f"twofold: {stage}", err=True)
