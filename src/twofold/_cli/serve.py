"""twofold serve: real time."""

from __future__ import annotations

from typing import Any, Literal

import click

from twofold._cli.base import ModelChoice, at_least, option, subcommand
from twofold._cli.several import models_options
from twofold._cli.units import SHARE, SIZE
from twofold._errors import TwofoldError, UsageError


@subcommand(
    "serve",
    examples="""
Examples:
  twofold serve parity.py
  twofold serve fraud.onnx --host 0.0.0.0 --port 80 --workers 8 --api-key keys.txt
  twofold serve slow.py --isolate --deadline 5
  twofold serve risk.py --reload
  twofold serve fraud=a.py:Fraud b.onnx --set fraud.threshold=0.5
  twofold serve fraud.onnx --grpc-port 8001

Then:
  curl -H 'Content-Type: application/json' -d '{"number": 7}' http://127.0.0.1:8000/predict

  POST /predict              a row (an object), or a list of rows
  GET  /                     a page with a form, to try the model
  GET  /docs, /openapi.json  what it takes and answers
  GET  /health/live, /health/ready
  GET  /v2/models/NAME       the Open Inference Protocol; POST /v2/models/NAME/infer
  GET  /metrics              counts and times, for Prometheus

SIGTERM or Ctrl-C: no new requests, those in flight are answered, exit 0. A second Ctrl-C ends at once.
SIGHUP: the models are loaded again, and every process is replaced; no request is lost.
""",
)
@models_options
@option("--host", default="127.0.0.1", metavar="ADDRESS", help="The address to listen on; 0.0.0.0 is all of them.")
@option(
    "--port",
    type=at_least(0, 65535),
    default=8000,
    metavar="PORT",
    help="The port to listen on; 0 picks a free one.",
)
@option(
    "--workers",
    type=at_least(1),
    metavar="N",
    help="How many processes compute. Default: one a core.",
)
@option(
    "--inline",
    is_flag=True,
    help="Compute in the server processes: fastest for models that take less than about 0.5 ms a row.",
)
@option(
    "--isolate",
    is_flag=True,
    help="Compute in model processes beside one server process: a crash or a hang costs one call only. "
    "Default: one row is measured, and the better of the two is chosen.",
)
@option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="A request that is not answered by then gets a 504.",
)
@option(
    "--max-body",
    "max_body_bytes",
    type=SIZE,
    default="32MiB",
    metavar="SIZE",
    help="The largest request body: a number of bytes, or 500kB, 32MiB, 1GB.",
)
@option(
    "--batch-rows",
    type=at_least(1),
    default=1024,
    metavar="N",
    help="The most rows that one model call sees.",
)
@option(
    "--max-streams",
    type=at_least(1),
    default=64,
    metavar="N",
    help="The most answers that are streamed at once, or wait for their turn; one more gets a 429.",
)
@option(
    "--reload", is_flag=True, help="Load a model again when one of its files has changed; a failed load keeps the old."
)
@option(
    "--drain-delay",
    type=click.FloatRange(0),
    default=0.0,
    metavar="SECONDS",
    help="When told to stop: be not ready, and go on accepting connections for so long.",
)
@option(
    "--drain-timeout",
    type=click.FloatRange(0, min_open=True),
    default=30.0,
    metavar="SECONDS",
    help="When told to stop: what is not answered after so long gets a 503.",
)
@option(
    "--metrics-port",
    type=at_least(0, 65535),
    metavar="PORT",
    help="Show /metrics on this port instead; 0 picks a free one.",
)
@option(
    "--api-key",
    type=click.Path(dir_okay=False),
    metavar="FILE",
    help="Answer only those who send a key of this file (one a line) as Authorization: Bearer KEY. "
    "TWOFOLD_API_KEY in the environment does the same for one key.",
)
@option("--no-auth", is_flag=True, help="Listen on an address that other machines reach, and ask nobody for a key.")
@option(
    "--cors",
    "cors_origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let pages of this origin (https://shop.example) ask from a browser; * is any. May be repeated.",
)
@option("--tls-certificate", type=click.Path(), metavar="FILE", help="Serve HTTPS with this certificate chain (PEM).")
@option(
    "--tls-key",
    type=click.Path(),
    metavar="FILE",
    help="Its private key, where that has a file of its own.",
)
@option(
    "--grpc-port",
    type=at_least(0, 65535),
    metavar="PORT",
    help="Answer the Open Inference Protocol over gRPC on this port, too (8001 is usual; 0 picks a free one).",
)
@option("--access-log", is_flag=True, help="Log a line for each request. Requests take longer then.")
@option("--log-json", is_flag=True, help="All lines on standard error are JSON, one object a line.")
@option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="warning",
    help="The least that is shown of what the model and its libraries log. Of the server's own few lines `error` "
    "leaves out all but errors.",
)
@option(
    "--log-predictions",
    type=SHARE,
    metavar="SHARE",
    help="Keep this share of the answered rows, 1% or 0.01, with their answers, in Parquet files.",
)
@option(
    "--log-folder",
    type=click.Path(file_okay=False),
    default="twofold-predictions",
    metavar="FOLDER",
    help="Where these files are, in a folder for each model.",
)
def command(
    models: list[tuple[str, ModelChoice]],
    inline: bool,
    isolate: bool,
    deadline: float,
    drain_delay: float,
    drain_timeout: float,
    api_key: str | None,
    log_predictions: float | None,
    log_json: bool,
    **rest: Any,
) -> int:
    """Answer requests for MODEL over HTTP, in real time.

    Several models are served under their names, /models/NAME/predict, the first at /predict as well.
    Rows that arrive together are computed together; nothing waits for more to come.
    """
    from twofold._options import ServeOptions
    from twofold._realtime.api import serve_references
    from twofold._realtime.http.keys import read_keys
    from twofold._realtime.logs import Lines

    if inline and isolate:
        raise UsageError("--inline and --isolate exclude each other: give one, or none to have it measured.")
    layout: Literal["auto", "inline", "isolate"] = "inline" if inline else "isolate" if isolate else "auto"
    options = ServeOptions(
        layout=layout,
        deadline_s=deadline,
        drain_delay_s=drain_delay,
        drain_timeout_s=drain_timeout,
        api_keys=read_keys(api_key),
        log_predictions=log_predictions or 0.0,
        log_json=log_json,
        **rest,
    )
    try:
        return serve_references([(name, choice.ref()) for name, choice in models], options)
    except TwofoldError as error:
        if not log_json:
            raise
        Lines(options).say(error.message, "error")
        return error.exit_code
