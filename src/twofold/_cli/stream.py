"""twofold stream: messages."""

from __future__ import annotations

import json
from typing import Any

import click

from twofold._cli.base import ModelChoice, at_least, json_option, model_options, names, option, pairs, subcommand


@subcommand(
    "stream",
    examples="""
Examples:
  twofold stream parity.py - - < numbers.jsonl
  tail -f events.jsonl | twofold stream fraud.onnx - - --keep id
  twofold stream fraud.onnx 'kafka://localhost:9092/payments?group=fraud' kafka://localhost:9092/scores
  twofold stream fraud.onnx 'nats://localhost:4222/payments?group=fraud' nats://localhost:4222/scores

A message is a JSON object. Its answer has the message's fields, the model's, and _id: where the message stands in
SOURCE, the same however often it is read. Messages are answered at least once, in order, and SOURCE is committed after
SINK has acknowledged; drop repeated ids, and each answer is there once.
What has arrived is computed together; nothing waits for more to come.

SIGTERM or Ctrl-C: what is in flight is answered and committed, exit 0. A second one ends at once.

Exit code: 0 done; 1 broken model, or a broker failed for good; 2 usage; 3 standard input has ended, and messages went
to the dead letters.
""",
)
@model_options
@click.argument("source", metavar="SOURCE")
@click.argument("sink", metavar="SINK")
@option(
    "--dead-letters",
    metavar="SINK",
    help="Where messages go that have no answer, with the reason. Default: the topic SINK-dead; for -, standard error.",
)
@option("--keep", metavar="FIELD,…", help="The message's fields that its answer has. Default: all; '' for none.")
@option(
    "--rename",
    metavar="ANSWER=FIELD",
    multiple=True,
    help="Give one of the model's answers another name. May be repeated.",
)
@option(
    "--batch-rows",
    type=at_least(1),
    default=1024,
    metavar="N",
    help="The most messages that one model call sees.",
)
@option(
    "--drain-timeout",
    "drain_timeout_s",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="When told to stop: what is not delivered after so long is left for the next start.",
)
@option(
    "--metrics-port",
    type=at_least(0, 65535),
    metavar="PORT",
    help="Show lag, rate and seconds at http://127.0.0.1:PORT/metrics; 0 picks a free port.",
)
@json_option
def command(
    model: ModelChoice,
    source: str,
    sink: str,
    as_json: bool,
    keep: str | None,
    rename: tuple[str, ...],
    **rest: Any,
) -> int:
    """Answer each message of SOURCE with MODEL, and put the answer into SINK."""
    from twofold._options import StreamOptions
    from twofold._stream.api import run_stream

    options = StreamOptions(keep=None if keep is None else names(keep), rename=pairs("--rename", rename), **rest)
    done = run_stream(model.load(), source, sink, options)
    if as_json:
        click.echo(json.dumps(done), err=sink == "-")
    else:
        dead = f", {done['dead_letters']:,} without an answer" if done["dead_letters"] else ""
        click.echo(
            f"{done['messages']:,} messages{dead} in {done['seconds']:.3g} s "
            f"({done['messages_per_second']:,.0f} messages/s)",
            err=True,
        )
    return 3 if source == "-" and done["dead_letters"] else 0
