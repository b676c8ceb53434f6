"""twofold bench: requests at a rate, or as many as come back."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from twofold._cli.base import ModelChoice, at_least, json_option, model_options, option, pairs, subcommand
from twofold._cli.units import DURATION, RATE
from twofold._errors import UsageError

if TYPE_CHECKING:
    from twofold._load.bench import BenchOptions
    from twofold._load.plan import Progress
    from twofold._load.report import BenchReport


@subcommand(
    "bench",
    examples="""
Examples:
  twofold bench parity.py                               64 busy connections for 10 s, on a server of its own
  twofold bench http://127.0.0.1:8000 --rate 500/s --deadline 20ms
  twofold bench localhost:8000 --data rows.parquet --map features=f0..f29 --duration 1m --json

With --rate, requests fall due at random moments (Poisson), whatever the server does, and latency counts from that
moment: also while all connections are busy, or the generator is late. A server that stalls is charged with all that
fell due meanwhile. With --connections, each sends its next request when it has its answer: it shows what the server
can do at most, and its latencies say nothing about a stream of users. A tenth of the time (at most 1 s) is spent
before anything is measured.

A percentile is the latency of which it is 99 % certain that no more than that share of all requests take longer: p99
takes 459 requests at least, p99.9 4,603. A server that asks for a key gets that of TWOFOLD_API_KEY.

Exit code: 0 measured; 1 no request was answered, there is no server, or it went away (what was measured before is
printed); 2 usage; 130 stopped by Ctrl-C, after printing what was measured until then.
""",
)
@model_options
@option("--data", metavar="FILE", help="Rows to send: a file, folder or glob of any format that batch reads. "
        "Default: the model's example, or an invented row.")  # fmt: skip
@option("--rate", type=RATE, metavar="N/s", help="Requests fall due at this rate: 500/s, 30/min.")
@option(
    "--connections",
    type=at_least(1),
    metavar="N",
    help="So many connections, each busy all the time. Default: 64. With --rate: the most that are opened (900).",
)
@option("--duration", type=DURATION, default="10s", metavar="TIME", help="How long to measure: 10s, 500ms, 2m.")
@option(
    "--deadline",
    type=DURATION,
    metavar="TIME",
    help="Tell the server with each request to answer within this time (X-Deadline-Ms), and count who was.",
)
@option(
    "--map", "columns", metavar="FIELD=COLUMN", multiple=True,
    help="Read a field from a column of another name, as in batch. May be repeated.",
)  # fmt: skip
@option("--limit", type=at_least(1), default=10_000, metavar="N", help="Send the first N rows, again and again.")
@option("--name", "named", metavar="NAME", default="", help="Which model, where the server at URL has several.")
@option("--ca", metavar="FILE", default="", help="The certificate of the authority that signed the server's (https).")
@option("--workers", type=at_least(1), metavar="N", help="Of the server that is started for MODEL, as in serve.")
@json_option
def command(
    model: ModelChoice, data: str | None, columns: tuple[str, ...], as_json: bool, workers: int | None, **rest: Any
) -> int:
    """Send requests to the server at URL, or to one that is started for MODEL, and show how it answers: requests/s,
    latency, errors, and the share within a deadline."""
    from twofold._load.bench import BenchOptions
    from twofold._load.target import is_url

    options = BenchOptions(
        rate=rest["rate"],
        connections=rest["connections"],
        duration_s=rest["duration"],
        deadline_s=rest["deadline"],
        data=data or "",
        map=pairs("--map", columns, "FIELD=COLUMN"),
        limit_rows=rest["limit"],
        model=rest["named"],
        ca=rest["ca"],
    )
    if is_url(model.reference):
        if model.settings or model.outputs or workers:
            raise UsageError("--set, --outputs and --workers are of a server that is started here, and not of a URL.")
        found = _measured(model.reference, options)
    else:
        from twofold._realtime.api import serve

        _say("starting a server")
        with serve(model.ref(), background=True, workers=workers) as served:
            found = _measured(served.url, options)
    click.echo(json.dumps(found.to_json(), ensure_ascii=False) if as_json else str(found))
    return found.exit_code


def _measured(url: str, options: BenchOptions) -> BenchReport:
    from twofold._load.bench import bench

    with _showing(options.duration_s) as on_progress:
        return bench(url, options, on_progress)


@contextmanager
def _showing(duration_s: float) -> Iterator[Callable[[Progress], None]]:
    """A bar for somebody who waits at a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"))
    with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task("warming up", total=duration_s, said="")

        def show(progress: Progress) -> None:
            if progress.seconds < 0:
                return
            failed = f", {progress.failed:,} failed" if progress.failed else ""
            left = max(0.0, duration_s - progress.seconds)
            said = f"{progress.answered:,} answered{failed}, {left:.0f} s left"
            bars.update(task, description="measuring", completed=progress.seconds, said=said)

        yield show


def _say(stage: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"twofold: {stage}", err=True)
