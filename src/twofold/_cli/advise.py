"""twofold advise: which mode a job should use."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from twofold._cli.base import ModelChoice, at_least, choosing, json_option, names, option, pairs, subcommand
from twofold._cli.units import COUNT, DURATION, HOURLY, PER_MILLION, RATE
from twofold._errors import UsageError

if TYPE_CHECKING:
    from twofold._advice.need import Costs, Need
    from twofold._compare.report import Comparison

PEAK = 3.0  # times the mean, where no peak is stated
CLOCK = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})")


@subcommand(
    "advise",
    examples="""
Examples:
  twofold advise fraud.onnx sample.parquet --rows-per-day 2M --p99 50ms --price 0.10/h
  twofold advise --row-time 5ms --rows-per-day 300k --window 01:00-05:00 --price 0.10/h
  twofold advise --row-time 2ms --p99 20ms --entities 1M --uses-per-entity 3 --freshness 1d --price 0.10/h \\
      --write-price 1.25/M --read-price 0.25/M

With MODEL and DATA, what a row costs is measured in both modes, as in compare. Without, it is computed on paper from
--row-time. Prices are yours, in any one currency; nothing is known about them here. The page "Advice" of the
documentation has all formulas.

Exit code: 0 a mode is advised; 1 none does, or the model is broken; 2 usage.
""",
)
@click.argument("model", required=False)
@click.argument("data", required=False)
@choosing
@option("--row-time", type=DURATION, metavar="TIME", help="Without MODEL: a call with one row takes so long.")
@option(
    "--batch-row-time",
    type=DURATION,
    metavar="TIME",
    help="Without MODEL: what each row of a large call takes. Default: --row-time; calls of many gain nothing then.",
)
@option("--rows-per-day", type=COUNT, metavar="N", help="Predictions that are used a day: 2M.")
@option("--peak-rate", type=RATE, metavar="N/s", help="The most that are asked for. Default: 3 times the mean.")
@option(
    "--p99",
    "p99_s",
    type=DURATION,
    metavar="TIME",
    help="99 % of those who ask must have their answer within. Default: nobody waits.",
)
@option(
    "--freshness",
    "max_age_s",
    type=DURATION,
    metavar="TIME",
    help="What an answer rests on is at most so old when it is used: 15m, 1d. Default: any age.",
)
@option(
    "--entities",
    type=COUNT,
    metavar="N",
    help="How many things are asked about, where they are known before: customers, products.",
)
@option(
    "--uses-per-entity",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="How often one of them is asked about a day; stands for --rows-per-day.",
)
@option(
    "--skew",
    type=click.FloatRange(0),
    metavar="S",
    help="How unevenly: the exponent of a Zipf law. 1 is usual for people's choices.",
)
@option(
    "--changes-per-day",
    type=click.FloatRange(0, min_open=True),
    metavar="N",
    help="How often the fields of one of them change, which tells how many stored answers are stale.",
)
@option("--window", metavar="HH:MM-HH:MM", help="Batch may run in this time of the day, or for so long: 4h.")
@option("--price", type=HOURLY, default=1.0, metavar="X/h", help="Of a worker (a core) for an hour.")
@option("--write-price", type=PER_MILLION, default=0.0, metavar="X/M", help="Of storing a million answers.")
@option("--read-price", type=PER_MILLION, default=0.0, metavar="X/M", help="Of looking a million answers up.")
@option("--read-time", type=DURATION, default="1ms", metavar="TIME", help="Looking one answer up takes so long.")
@option("--spare", type=at_least(0), default=0, metavar="N", help="Workers held ready beside those the peak needs.")
@option(
    "--map",
    "columns",
    metavar="FIELD=COLUMN",
    multiple=True,
    help="Read a field from a column of another name, as in batch. May be repeated.",
)
@option(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a report with charts, too: one page that needs nothing else.",
)
@json_option
def command(
    model: str | None,
    data: str | None,
    settings: tuple[str, ...],
    outputs: str,
    nulls: Literal["refuse", "nan"],
    as_json: bool,
    html: Path | None,
    **given: Any,
) -> int:
    """Say which mode a job should use (real time, batch, precomputed answers that are looked up, or both), how large it
    must be, what it costs, and which input would change that."""
    from twofold._advice.flips import flips
    from twofold._advice.need import Case, Prices
    from twofold._advice.report import as_json as json_of
    from twofold._advice.report import as_text
    from twofold._advice.rules import advise
    from twofold._batch.sinks import writing
    from twofold._compare.costs import costs_of

    need, assumed = _need(given)
    found: Comparison | None = None
    if model is None:
        costs = _stated(given, assumed)
    elif data is None or given["row_time"] is not None:
        raise UsageError(
            "A model is measured over rows: twofold advise MODEL DATA …; or, on paper, without MODEL: --row-time 5ms."
        )
    else:
        choice = ModelChoice(model, pairs("--set", settings), names(outputs), nulls)
        found = _measured(choice, data, given)
        costs = costs_of(found, given["read_time"], assumed)
    prices = Prices(given["price"], given["write_price"], given["read_price"])
    advice = advise(Case(need, costs, prices, given["spare"]))
    changes = flips(advice.case)
    if html is not None:
        from twofold._compare.page import report_page

        with writing(html):
            html.write_text(report_page(found, advice, changes, assumed), encoding="utf-8")
    click.echo(json.dumps(json_of(advice, changes, assumed)) if as_json else as_text(advice, changes, assumed))
    return 0 if advice.mode else 1


def _need(given: dict[str, Any]) -> tuple[Need, list[str]]:
    from twofold._advice.need import DAY_S, Need

    rows, uses, entities = given["rows_per_day"], given["uses_per_entity"], given["entities"]
    if uses is not None and (rows is not None or entities is None):
        raise UsageError("--uses-per-entity goes with --entities, and stands for --rows-per-day.")
    rows = entities * uses if uses is not None else rows
    if rows is None:
        raise UsageError("How many predictions are used? --rows-per-day 2M, or --entities 1M --uses-per-entity 3.")
    if given["skew"] is not None and entities is None:
        raise UsageError("--skew says how unevenly --entities are used: give both.")
    assumed = []
    peak = given["peak_rate"]
    if peak is None:
        peak = PEAK * rows / DAY_S
        assumed.append(f"The peak is taken for {PEAK:g} times the mean: {peak:,.3g}/s (--peak-rate).")
    need = Need(
        rows_per_day=rows,
        peak_rate=peak,
        p99_s=given["p99_s"],
        max_age_s=given["max_age_s"],
        entities=entities,
        skew=given["skew"],
        changes_per_day=given["changes_per_day"],
        window_s=_window_s(given["window"]),
    )
    return need, assumed


def _window_s(text: str | None) -> float:
    """Seconds of "22:00-06:00", or of "4h"."""
    if text is None:
        return 86_400.0
    clock = CLOCK.fullmatch(text.strip())
    if clock is None:
        try:
            return DURATION.convert(text, None, None)
        except click.BadParameter:
            raise UsageError(f"--window {text!r} is no window. It looks like 22:00-06:00, or 4h.") from None
    first_h, first_m, last_h, last_m = map(int, clock.groups())
    if max(first_h, last_h) > 24 or max(first_m, last_m) > 59:
        raise UsageError(f"--window {text!r}: there is no such time of the day.")
    return float((last_h * 60 + last_m - first_h * 60 - first_m) * 60 % 86_400) or 86_400.0


def _stated(given: dict[str, Any], assumed: list[str]) -> Costs:
    from twofold._advice.need import Costs
    from twofold._advice.queueing import CallCost
    from twofold._advice.words import span

    row_s, each_s = given["row_time"], given["batch_row_time"]
    if row_s is None:
        raise UsageError("What does a row cost? Give MODEL and DATA to measure it, or --row-time 5ms.")
    each_s = row_s if each_s is None else each_s
    if each_s > row_s:
        raise UsageError("--batch-row-time is what a row of a large call takes: at most --row-time.")
    assumed.append(f"On paper: {span(row_s)} for a call with one row, {span(each_s)} for each row of a large one.")
    return Costs(CallCost(row_s - each_s, each_s), each_s, read_s=given["read_time"])


def _measured(choice: ModelChoice, data: str, given: dict[str, Any]) -> Comparison:
    from twofold._compare.measure import measure
    from twofold._options import CompareOptions

    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))  # so that what was started is ended
    options = CompareOptions(
        map=pairs("--map", given["columns"], "FIELD=COLUMN"),
        p99_s=given["p99_s"],
        core_hour=given["price"],
        rows_per_day=given["rows_per_day"],
    )
    return measure(choice.ref().to_json(), data, options, _say)


def _say(stage: str) -> None:
    if sys.stderr.isatty():
        click.echo(f"twofold: {stage}", err=True)
