"""A process that has loaded a model and calls it as it is told: `python -m twofold._verify.host`.

{"rows": path}      the table of rows from now on
{"ask": [[…], …]}   makes these calls, answers {"asked": [[[json, error], …], …]}
{"time": [n, …]}    answers {"timed": [seconds of a call with n rows, …]}
"""

from __future__ import annotations

from collections.abc import Sequence

from twofold._supervisor import Channel, error_to_message, worker_channel


def main() -> None:
    channel = worker_channel()
    try:
        _answer(channel)
    except BaseException as error:
        channel.send({"failed": error_to_message(error)})
        raise SystemExit(1) from None


def _answer(channel: Channel) -> None:
    from twofold._model import ModelRef, load
    from twofold._runner import Runner
    from twofold._verify.asking import Row, in_calls, median_s, rows_at

    model = load(ModelRef.from_json(channel.args["model"]))
    runner = Runner(model)
    rows: Sequence[Row] = ()
    channel.send({"ready": {"name": model.name, "version": model.version, "signature": model.signature.to_json()}})
    while True:  # until the parent ends it
        message = channel.receive()
        if "rows" in message:
            rows = rows_at(message["rows"])
            channel.send({"rows": len(rows)})
        elif "ask" in message:
            asked = in_calls(runner, rows, message["ask"])
            channel.send({"asked": [[[a.encoded.decode(), a.error] for a in answers] for answers in asked]})
        else:
            channel.send({"timed": [median_s(runner, rows, size) for size in message["time"]]})


if __name__ == "__main__":
    main()
